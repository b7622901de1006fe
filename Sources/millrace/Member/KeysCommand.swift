// `millrace member keys`: change the key of a cluster without a gap, one step after the other.
import ArgumentParser
import Glibc
import Membership

struct MemberKeys: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "keys",
    abstract: "Look after a key file: generate, install, use, remove, list.",
    discussion: """
      Members seal what they say with the first key of their file and open with any of them. So a \
      key is changed in three steps, each on every member before the next begins:

        millrace member keys generate --key-file new      once; copy it everywhere
        millrace member keys install --key-file k --from new
        millrace member keys use 0badc0de --key-file k --http 127.0.0.1:9000
        millrace member keys remove c0ffee00 --key-file k --http 127.0.0.1:9000

      A running member notices within a second (or at once at SIGHUP) and tells the others which \
      keys it has, by their names; keys themselves are never sent and never shown. With --http, \
      `use` and `remove` ask a running member first, and refuse what would cut somebody off.

      Exit codes: 0 done; 1 not done, with the reason; 64 the flags are wrong.
      """,
    subcommands: [
      KeysGenerate.self, KeysInstall.self, KeysUse.self, KeysRemove.self, KeysList.self,
    ])
}

struct KeysGenerate: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "generate", abstract: "Make a new key file with one new key.")
  @OptionGroup var options: MemberKeyOptions

  func run() throws {
    let file = try options.file()
    let key = MemberKey.generate()
    guard let keyring = Keyring([key]) else { preconditionFailure("one key is a ring") }
    try attempt(file) { file throws(KeyFileFault) in try file.create(keyring) }
    Console.output("\(key.id)\n")
  }
}

struct KeysInstall: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "install",
    abstract: "Add the keys of another file behind those that are there.",
    discussion: "The key file is made if there is none yet.")
  @OptionGroup var options: MemberKeyOptions
  @Option(help: ArgumentHelp("The key file with the new keys.", valueName: "FILE")) var from: String

  func run() throws {
    let file = try options.file()
    let new = try attempt(KeyFile(from)) { file throws(KeyFileFault) in try file.read() }
    guard access(file.path, F_OK) == 0 else {
      try attempt(file) { file throws(KeyFileFault) in try file.create(new) }
      return show(new)
    }
    try change(file) { keyring throws(KeyringError) in
      for key in new.keys { try keyring.install(key) }
    }
  }
}

struct KeysUse: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "use", abstract: "Put a key first: what is said from now on is sealed with it.")
  @OptionGroup var options: MemberKeyOptions
  @OptionGroup var target: KeyTarget

  func run() throws {
    let file = try options.file()
    let key = try target.id()
    try target.ask(options) { $0.trouble(using: key) }
    try change(file) { keyring throws(KeyringError) in try keyring.use(key) }
  }
}

struct KeysRemove: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "remove",
    abstract: "Take a key out: what is sealed with it is not opened any more.")
  @OptionGroup var options: MemberKeyOptions
  @OptionGroup var target: KeyTarget

  func run() throws {
    let file = try options.file()
    let key = try target.id()
    try target.ask(options) { $0.trouble(removing: key) }
    try change(file) { keyring throws(KeyringError) in try keyring.remove(key) }
  }
}

struct KeysList: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list",
    abstract: "Show the names of the keys, the one in use first.",
    discussion: "With --http, who has each key and who uses it, as a running member knows.")
  @OptionGroup var options: MemberKeyOptions

  func run() throws {
    let file = try options.file()
    let keyring = try attempt(file) { file throws(KeyFileFault) in try file.read() }
    guard let check = try options.check() else { return show(keyring) }
    // The file's own, then what others have beside.
    var ids = keyring.ids
    for id in check.members.flatMap(\.keys) where !ids.contains(id) { ids.append(id) }
    for id in ids {
      let place =
        id == ids.first ? "in use" : keyring[id] == nil ? "not here" : "installed"
      let having = check.members.filter { $0.keys.contains(id) }.count
      let using = check.members.filter { $0.keys.first == id }.count
      Console.output(
        "\(id) \(place); of \(check.members.count) members \(having) have it, \(using) use it\n")
    }
  }
}

struct KeyTarget: ParsableArguments {
  @Argument(help: ArgumentHelp("Its name, eight digits, as `list` shows it.", valueName: "KEY"))
  var key: String
  @Flag(help: "Do it although it cuts members off.") var force = false

  func id() throws -> KeyID {
    guard let id = KeyID(hexadecimal: key) else {
      throw complaint(
        "\"\(key)\" is no name of a key",
        "Names have eight hexadecimal digits; `millrace member keys list` shows them.", EX_USAGE)
    }
    return id
  }

  /// Asks a running member, if one is named, whether anything stands in the way.
  func ask(_ options: MemberKeyOptions, _ trouble: (KeyCheck) -> String?) throws {
    guard let check = try options.check() else {
      if !force {
        Console.error(
          "millrace: nobody was asked whether all members are ready (--http asks one)\n")
      }
      return
    }
    guard let trouble = trouble(check), !force else { return }
    throw complaint(trouble, "Bring these members along first; --force does it all the same.")
  }
}

extension MemberKeyOptions {
  func file() throws -> KeyFile {
    guard let keyFile else {
      throw complaint("--key-file is missing", "Name the file of keys.", EX_USAGE)
    }
    return KeyFile(keyFile)
  }

  /// nil if no member is named.
  func check() throws -> KeyCheck? {
    guard var text = http else { return nil }
    if text.hasPrefix("http://") { text.removeFirst("http://".count) }
    if text.hasSuffix("/") { text.removeLast() }
    guard let address = ListenAddress(text) else {
      throw complaint(
        "--http: \"\(text)\" is not HOST:PORT", "Write as in 127.0.0.1:9000.", EX_USAGE)
    }
    do throws(QueryFault) {
      return try MemberQuery.keys(at: address)
    } catch {
      throw complaint("--http: \(error)", "Name a member that runs with --http, or leave it out.")
    }
  }
}

private func complaint(_ reason: String, _ remedy: String, _ code: CInt = EXIT_FAILURE) -> ExitCode
{
  Console.error("millrace: \(reason). \(remedy)\n")
  return ExitCode(code)
}

@discardableResult
private func attempt<Value>(
  _ file: KeyFile, _ body: (KeyFile) throws(KeyFileFault) -> Value
) throws -> Value {
  do throws(KeyFileFault) {
    return try body(file)
  } catch {
    if case .system(_, EEXIST) = error {
      throw complaint(
        "--key-file: \(file.path) is there already",
        "Choose a new file, and `install` its key where it is needed.")
    }
    throw complaint(
      "\(StartFailure(error, path: file.path).reason)",
      StartFailure(error, path: file.path).remedy)
  }
}

/// Reads, changes and replaces the file, and shows what it holds then.
private func change(
  _ file: KeyFile, _ body: (inout Keyring) throws(KeyringError) -> Void
) throws {
  var keyring = try attempt(file) { file throws(KeyFileFault) in try file.read() }
  do throws(KeyringError) {
    try body(&keyring)
  } catch {
    let (reason, remedy): (String, String) =
      switch error {
      case .full(let keysMax):
        ("there are \(keysMax) keys already", "Remove one that nobody uses.")
      case .idTaken(let id):
        ("another key is called \(id)", "Generate a new one.")
      case .notInstalled(let id):
        ("\(id) is not in \(file.path)", "`millrace member keys install` brings it there.")
      case .inUse(let id):
        ("\(id) is in use", "Use another key first.")
      }
    throw complaint(reason, remedy)
  }
  try attempt(file) { file throws(KeyFileFault) in try file.write(keyring) }
  show(keyring)
}

private func show(_ keyring: Keyring) {
  for (index, id) in keyring.ids.enumerated() {
    Console.output("\(id) \(index == 0 ? "in use" : "installed")\n")
  }
}
