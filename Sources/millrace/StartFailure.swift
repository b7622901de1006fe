// Why the server did not start, in words that name what to do.
import Engine
import Gateway
import Glibc
import NIOCore
import Wire

/// For the person at the console: what is wrong, and the way out.
struct StartFailure: Error, CustomStringConvertible {
  var reason: String
  var remedy: String
  var description: String { "\(reason)\n\(remedy)" }
}

extension StartFailure {
  init(_ error: StoreOpenError, data: String, names: [ShardID: ShardName] = [:]) {
    switch error {
    case .locked(let process):
      reason = "\(data) is in use by another millrace" + (process.map { ", process \($0)" } ?? "")
      remedy = """
        Stop that one first (a server; or inspect or verify, which let none start meanwhile), \
        or choose another directory with --data.
        """
    case .disk(let error):
      reason = "--data: \(data) cannot be used: \(error)"
      remedy = "Check that the directory can be written by this user, and that the disk has room."
    case .checkpoint(let lane, let error):
      reason = "\(data)/lanes/\(lane)/checkpoint.db cannot be read: \(error)"
      remedy = Self.restore(data)
    case .foreign(let file, let what):
      reason = "\(data)/\(file): \(what)"
      remedy = "Choose the directory of a millrace of this version, or an empty one, with --data."
    case .mismatched(let file, let what):
      reason = "\(data)/\(file): \(what)"
      remedy = """
        What is in \(data) does not belong together; nothing was changed. \
        Put back what is missing, or restore the whole directory from one backup. \
        millrace inspect \(data) shows what is there.
        """
    case .damaged(let damages):
      reason = damages.map { damage in
        """
        \(data)/\(damage.file) is damaged at byte \(damage.position): \(damage.reason). \
        Records there were acknowledged, so they are not dropped in silence.

        """
      }.joined()
      remedy = """
        --truncate-damaged would start without what lies behind the damage in the log:
        \(damages.flatMap { $0.words(names) }.map { "  \($0)\n" }.joined())\
        Nothing was changed. millrace verify \(data) shows everything that is damaged. \
        Restore the directory from a backup; \
        or, after making a copy of it, start with --truncate-damaged.
        """
    }
  }

  init(_ damage: CatalogDamage, data: String) {
    reason = "the catalog in \(data) cannot be read: \(damage)"
    remedy = Self.restore(data)
  }

  init(_ error: MetaError, data: String) {
    reason = "\(data)/catalog.db cannot be opened: \(error)"
    remedy = "Check who may write there. " + Self.restore(data)
  }

  init(_ error: CatalogError, data: String) {
    reason = "the catalog in \(data) cannot be written: \(error)"
    remedy = "Check that the disk has room and takes writes, then start again."
  }

  init(_ error: TLSError) {
    let (setting, advice) =
      switch error {
      case .certificate: ("tls-cert", "It is a PEM file: the certificate, then those above it.")
      case .notInForce: ("tls-cert", "Have it renewed, and check this machine's clock.")
      case .key: ("tls-key", "It is a PEM file without a passphrase: the key of that certificate.")
      case .clientAuthority: ("tls-client-ca", "It is a PEM file of one or more authorities.")
      case .authority: ("webhook-ca", "It is a PEM file of one or more authorities.")
      }
    reason = "--\(setting): \(error)"
    remedy = advice
  }

  private static func restore(_ data: String) -> String {
    "Look at the disk (dmesg), and restore \(data) from a backup."
  }

  static func listening(
    flag: String = "--listen", on address: ListenAddress, _ error: any Error
  ) -> StartFailure {
    let code = (error as? IOError)?.errnoCode
    let words = code.map { String(cString: strerror($0)) } ?? "\(error)"
    let remedy =
      switch code {
      case EADDRNOTAVAIL: "No interface of this machine has this address; `ip address` shows them."
      case EACCES: "Ports below 1024 need a right (CAP_NET_BIND_SERVICE); choose a higher one."
      default: "Is another program using the port? `ss -ltnp` shows it; \(flag) chooses another."
      }
    return StartFailure(reason: "\(flag): cannot listen on \(address): \(words)", remedy: remedy)
  }
}

extension LogDamage {
  /// What goes when the log is cut there, a line each.
  func words(_ names: [ShardID: ShardName]) -> [String] {
    var words = losses.map { $0.words(names) }
    if unknownBytes > 0 {
      words.append("\(unknownBytes) bytes that cannot be told for records of any shard")
    }
    return words.isEmpty ? ["no records: nothing behind the damage can be told for any"] : words
  }
}
