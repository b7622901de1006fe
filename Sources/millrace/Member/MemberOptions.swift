// The flags of `millrace member`, and what they say together.
import ArgumentParser
import Membership
import NIOCore
import Wire

/// Those that `member` and its `keys` share.
struct MemberKeyOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "The file of keys: base64 of 32 bytes a line, the one in use first, mode 0600.",
      valueName: "FILE"))
  var keyFile: String?

  @Option(
    help: ArgumentHelp(
      """
      Of member: where it answers GET /members and /metrics; without it there is no HTTP. \
      Of keys: a running member to ask.
      """, valueName: "HOST:PORT"))
  var http: String?
}

struct MemberOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "This member's name: 1 to 64 letters, digits, dots, underscores and hyphens. Required.",
      valueName: "NAME"))
  var id: String?

  @Option(
    help: ArgumentHelp(
      "Where it listens, with UDP and TCP; port 0 picks one.", valueName: "HOST:PORT"))
  var bind = "127.0.0.1:8421"

  @Option(
    help: ArgumentHelp(
      "Where others reach it, if not there; needed with 0.0.0.0 and [::].", valueName: "HOST:PORT"))
  var advertise: String?

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      """
      A member of the cluster, any one; may be given several times. Names are looked up again \
      until somebody is found there, and so is everybody tried again, for ever.
      """, valueName: "HOST:PORT"))
  var join: [String] = []

  @Option(
    help: ArgumentHelp(
      "A directory of its own, for what its next start should know: generation, where others were.",
      valueName: "DIR"))
  var state: String?

  @Option(
    help: ArgumentHelp(
      "The cluster's name. Members of another label are not heard.", valueName: "LABEL"))
  var label = ""

  @Option(
    parsing: .singleValue,
    help: ArgumentHelp(
      "What it tells of itself, 512 bytes in all; may be given several times.",
      valueName: "NAME=VALUE"))
  var metadata: [String] = []

  @Option(
    help: ArgumentHelp(
      "A file of NAME=VALUE lines beside these, read again at SIGHUP.", valueName: "FILE"))
  var metadataFile: String?

  @Option(help: ArgumentHelp("How log lines on standard error look.", valueName: "human|json"))
  var logFormat = LogFormat.human

  @Option(
    help: ArgumentHelp(
      "A bad network on purpose, for tests: loss=0.3,delay=5ms..20ms,seed=7,from=10s,until=70s",
      valueName: "SPEC", visibility: .hidden))
  var impair: String?
}

extension LogFormat: ExpressibleByArgument {}

/// What is wrong with a flag, and what to write instead.
struct FlagFault: Error, Equatable, CustomStringConvertible {
  var flag: String
  var reason: String
  var remedy: String
  var description: String { "\(flag): \(reason). \(remedy)" }
}

/// The flags, understood.
struct MemberSettings {
  var id: MemberID
  var bind: ListenAddress
  var advertise: ListenAddress?
  var join: [JoinTarget]
  var metadata: [(name: String, value: String)]
  var http: ListenAddress?
  var impairment: Impairment?

  init(_ options: MemberOptions, http: String?) throws(FlagFault) {
    guard let text = options.id else {
      throw FlagFault(
        flag: "--id", reason: "a member needs a name of its own",
        remedy: "Give one that stays the same over restarts, as in --id n1.")
    }
    guard let id = MemberID(text) else {
      throw FlagFault(
        flag: "--id", reason: "\"\(text)\" is no name of a member",
        remedy: "Use 1 to 64 letters, digits, dots, underscores and hyphens.")
    }
    self.id = id
    bind = try Self.address("--bind", options.bind)
    advertise = try options.advertise.map { text throws(FlagFault) in
      try Self.address("--advertise", text)
    }
    join = []
    for text in options.join {
      let address = try Self.address("--join", text)
      guard let target = JoinTarget(host: address.host, port: address.port) else {
        throw FlagFault(
          flag: "--join", reason: "\(text) has no port to send to",
          remedy: "Give the port that the other member listens on.")
      }
      join.append(target)
    }
    metadata = []
    for text in options.metadata { metadata.append(try Self.pair("--metadata", text)) }
    self.http = try http.map { text throws(FlagFault) in try Self.address("--http", text) }
    impairment = try options.impair.map { text throws(FlagFault) in
      guard let impairment = Impairment(text) else {
        throw FlagFault(
          flag: "--impair", reason: "\"\(text)\" cannot be read",
          remedy: "Write as in loss=0.3,delay=5ms..20ms,seed=7,from=10s,until=70s.")
      }
      return impairment
    }
  }

  private static func address(_ flag: String, _ text: String) throws(FlagFault) -> ListenAddress {
    guard let address = ListenAddress(text) else {
      throw FlagFault(
        flag: flag, reason: "\"\(text)\" is not HOST:PORT",
        remedy: "Write as in 127.0.0.1:8421, node7.example:8421 or [::1]:8421.")
    }
    return address
  }

  private static func pair(
    _ flag: String, _ text: some StringProtocol
  ) throws(FlagFault) -> (name: String, value: String) {
    guard let sign = text.firstIndex(of: "=") else {
      throw FlagFault(
        flag: flag, reason: "\"\(text)\" is not NAME=VALUE", remedy: "Write as in zone=b.")
    }
    return (String(text[..<sign]), String(text[text.index(after: sign)...]))
  }

  /// What the flags and the file say together; for a name in both the flag holds.
  static func metadata(
    _ flags: [(name: String, value: String)], file: String?
  ) throws(FlagFault) -> Metadata {
    var pairs = flags
    if let file {
      switch Environment.text(of: file, bytesMax: 64 << 10) {
      case .failure(let fault):
        throw FlagFault(
          flag: "--metadata-file", reason: "\(file) cannot be read: \(fault)",
          remedy: "Check the path, and who may read it.")
      case .success(let text):
        for line in text.split(whereSeparator: \.isNewline) {
          let line = line.drop { $0.isWhitespace }
          if line.isEmpty || line.hasPrefix("#") { continue }
          let pair = try pair("--metadata-file", line)
          if !flags.contains(where: { $0.name == pair.name }) { pairs.append(pair) }
        }
      }
    }
    do throws(MetadataError) {
      return try Metadata(pairs: pairs)
    } catch {
      let (reason, remedy) =
        switch error {
        case .invalidName(let name):
          (
            "\"\(name)\" is no name of a value",
            "Use 1 to 64 letters, digits, dots, underscores and hyphens."
          )
        case .repeatedName(let name):
          ("\(name) comes twice", "Give it once.")
        case .tooLarge(let bytes, let bytesMax):
          (
            "all names and values take \(bytes) bytes, and \(bytesMax) ride along",
            "Tell less, or tell where more is to be had."
          )
        }
      throw FlagFault(flag: "--metadata", reason: reason, remedy: remedy)
    }
  }
}

extension Impairment {
  /// "loss=0.3,delay=5ms..20ms,seed=7,from=10s,until=70s": each part once at most; nil for anything else.
  init?(_ text: String) {
    var parts: [Substring: Substring] = [:]
    for part in text.split(separator: ",") {
      guard let sign = part.firstIndex(of: "="),
        ["loss", "delay", "seed", "from", "until"].contains(part[..<sign]),
        parts.updateValue(part[part.index(after: sign)...], forKey: part[..<sign]) == nil
      else { return nil }
    }
    guard let loss = Double(parts["loss"] ?? "0"), 0...1 ~= loss,
      let seed = UInt64(parts["seed"] ?? "1"),
      let from = DurationText.parse(String(parts["from"] ?? "0s")),
      let until = DurationText.parse(String(parts["until"] ?? "36500d")), from <= until
    else { return nil }
    let delay = String(parts["delay"] ?? "0ms")
    let bounds = delay.split(separator: ".", omittingEmptySubsequences: true)
    guard let least = bounds.first.flatMap({ DurationText.parse(String($0)) }),
      let most = bounds.last.flatMap({ DurationText.parse(String($0)) }),
      bounds.count <= 2, least <= most, most <= .seconds(60)
    else { return nil }
    self.init(seed: seed, loss: loss, delay: least...most, window: from..<until)
  }
}
