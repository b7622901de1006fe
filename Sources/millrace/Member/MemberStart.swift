// Everything that can refuse a member's start, in order: addresses, keys, state, sockets.
import Engine
import Glibc
import Logging
import Membership
import NIOCore
import Wire

/// What a member is made of, before it runs.
struct MemberStart {
  let settings: MemberSettings
  let options: MemberOptions
  let logger: Logger
  var setup: MemberSetup
  /// Where the sockets are to be bound.
  let bind: SocketAddress
  let keyFile: KeyFile?
  /// Holds the directory's lock as long as it lives.
  let disk: PosixDisk?
  let snapshotFile: SnapshotFile?

  init(
    _ settings: MemberSettings, _ options: MemberOptions, keyFile: String?
  ) throws(StartFailure) {
    self.settings = settings
    self.options = options
    let logger = Self.makeLogger(options.logFormat)
    self.logger = logger
    bind = try Self.resolve("--bind", settings.bind)
    let advertised = try Self.advertised(settings, bind: bind)
    self.keyFile = keyFile.map { KeyFile($0) }
    let keyring = try self.keyFile.map { file throws(StartFailure) in
      do throws(KeyFileFault) { return try file.read() } catch {
        throw StartFailure(error, path: file.path)
      }
    }
    (disk, snapshotFile) = try Self.openState(options.state, settings.id)
    setup = MemberSetup(
      id: settings.id, startedAt: UInt64(max(0, SystemTime().now.milliseconds)),
      seed: Self.randomNumber(), session: Self.randomNumber())
    setup.advertised = advertised
    setup.label = options.label
    setup.keyring = keyring
    setup.join = settings.join
    setup.impairment = settings.impairment
    if let snapshotFile {
      setup.remembered = try Self.remembered(snapshotFile, logger)
      try Self.store(setup.firstSnapshot, snapshotFile)
    }
  }

  private static func makeLogger(_ format: LogFormat) -> Logger {
    Logger(label: "millrace.member") { label in
      LineLogHandler(format: format, clock: SystemTime(), label: label, logLevel: .info)
    }
  }

  private static func randomNumber() -> UInt64 {
    SecretBytes.generate(count: 8).withUnsafeBytes { $0.loadUnaligned(as: UInt64.self) }
  }

  // MARK: Addresses

  private static func resolve(
    _ flag: String, _ address: ListenAddress
  ) throws(StartFailure) -> SocketAddress {
    do {
      return try address.resolved()
    } catch {
      throw StartFailure(
        reason: "\(flag): the name \(address.host) cannot be looked up",
        remedy: "Give an address of this machine; `ip address` shows them.")
    }
  }

  private static func advertised(
    _ settings: MemberSettings, bind: SocketAddress
  ) throws(StartFailure) -> Endpoint? {
    guard let advertise = settings.advertise else {
      guard !bind.isAnyAddress else {
        throw StartFailure(
          reason: "--bind: others cannot reach \(settings.bind.host), which is every address here",
          remedy: "Say which one to tell them, as in --advertise 10.0.0.7:\(settings.bind.port).")
      }
      return nil
    }
    let address = try resolve("--advertise", advertise)
    guard let endpoint = Endpoint(address), endpoint.isUnicast else {
      throw StartFailure(
        reason: "--advertise: others cannot reach \(advertise)",
        remedy: "Give an address of one machine, with the port that reaches this member.")
    }
    return endpoint
  }

  // MARK: State

  private static func openState(
    _ directory: String?, _ id: MemberID
  ) throws(StartFailure) -> (PosixDisk?, SnapshotFile?) {
    guard let directory else { return (nil, nil) }
    do throws(StoreOpenError) {
      let disk = try PosixDisk(directory, access: .exclusive)
      return (disk, SnapshotFile(directory: directory, id: id))
    } catch {
      switch error {
      case .locked(let process):
        throw StartFailure(
          reason: "--state: \(directory) is in use by another member"
            + (process.map { ", process \($0)" } ?? ""),
          remedy: "Stop that one first, or give this one a directory of its own.")
      default:
        throw StartFailure(
          reason: "--state: \(directory) cannot be used: \(error)",
          remedy: "Check that this user may write there, and that the disk has room.")
      }
    }
  }

  /// A state that cannot be read is done without: the cluster knows more of this member than it does.
  private static func remembered(
    _ file: SnapshotFile, _ logger: Logger
  ) throws(StartFailure) -> Snapshot? {
    do throws(SnapshotFault) {
      return try file.read()
    } catch {
      if case .foreign(let owner) = error {
        throw StartFailure(
          reason: "--state: \(file.path) is that of member \(owner)",
          remedy:
            "Give each member a directory of its own, or remove this one to give up what it holds.")
      }
      logger.warning(
        "the member's state cannot be read; starting without",
        metadata: ["file": "\(file.path)", "reason": "\(error)"])
      return nil
    }
  }

  private static func store(
    _ snapshot: Snapshot, _ file: SnapshotFile
  ) throws(StartFailure) {
    do throws(SnapshotFault) {
      try file.write(snapshot)
    } catch {
      throw StartFailure(
        reason: "--state: \(file.path) cannot be written: \(error)",
        remedy: "Check that this user may write there, and that the disk has room.")
    }
  }
}

extension MemberSetup {
  /// What is kept before anybody hears of this life.
  var firstSnapshot: Snapshot {
    Snapshot(
      generation: generation, peers: remembered?.peers ?? [], keys: keyring?.ids ?? [])
  }
}

extension StartFailure {
  init(_ fault: KeyFileFault, path: String) {
    reason = "--key-file: \(path) cannot be used: \(fault)"
    remedy =
      switch fault {
      case .exposed: "Keep it to its owner: chmod 600 \(path)"
      case .system(_, ENOENT):
        "Make one, and copy it to every member: millrace member keys generate --key-file \(path)"
      case .system: "Check the path, and who may read it."
      case .tooLarge, .badLine, .badCount:
        "Keys are made by `millrace member keys generate`, one line each; a member has 1 to 8."
      }
  }

  init(_ failure: SocketFailure, bind: ListenAddress) {
    reason = "--bind: cannot listen on \(bind) with \(failure)"
    remedy =
      switch failure.code {
      case EADDRINUSE:
        """
        Another program has the port (`ss -lntup` shows it), perhaps a member that still runs. \
        Choose another, or 0 for any.
        """
      case EADDRNOTAVAIL: "No interface of this machine has this address; `ip address` shows them."
      case EACCES: "Ports below 1024 need a right (CAP_NET_BIND_SERVICE); choose a higher one."
      default: "Choose another address or port."
      }
  }
}

extension SocketAddress {
  /// 0.0.0.0 or [::]: every address of this machine.
  var isAnyAddress: Bool {
    switch self {
    case .v4(let address): address.address.sin_addr.s_addr == 0
    case .v6(let address):
      withUnsafeBytes(of: address.address.sin6_addr) { $0.allSatisfy { $0 == 0 } }
    case .unixDomainSocket: false
    }
  }
}
