// What an operator decided, in the types the parts are built from; and what must hold between settings.
import Glibc
import Logging
import NIOCore

/// The values of every setting. `init()` gives the defaults.
struct Configuration: Sendable, Equatable {
  var data = "./data"
  var listen = ListenAddress(host: "127.0.0.1", port: 8420)
  /// Files in PEM; a certificate and its key come together.
  var tlsCert: String?
  var tlsKey: String?
  /// Only clients with a certificate signed by one of these are let in.
  var tlsClientCA: String?
  /// Listens beyond this machine though nobody is asked who they are.
  var insecure = false
  /// Cuts damaged logs at start instead of refusing.
  var truncateDamaged = false

  /// nil: one for each core this process may use.
  var loops: Int?
  var connectionsMax = 20_000
  var recordBytesMax = 1 << 20
  var bodyBytesMax = 4 << 20
  var batchRecordsMax = 10_000
  var headerBytesMax = 32 << 10
  var corsOrigins: [String] = []
  /// Ranges (CIDR) that webhooks may reach beside public addresses.
  var webhookAllow: [String] = []
  /// Whose certificates webhooks trust beside the system's authorities; a file in PEM.
  var webhookCA: String?

  var heartbeat = Duration.seconds(15)
  var headTimeout = Duration.seconds(10)
  var bodyTimeout = Duration.seconds(30)
  var writeTimeout = Duration.seconds(30)
  var idleTimeout = Duration.seconds(75)
  var stopTimeout = Duration.seconds(25)
  var logLevel = Logger.Level.info
  var logFormat = LogFormat.human
}

enum LogFormat: String, Sendable, CaseIterable { case human, json }

/// Where to listen: a host's name or address, and a port; 0 lets the system choose one.
struct ListenAddress: Sendable, Equatable, CustomStringConvertible {
  var host: String
  var port: Int

  init(host: String, port: Int) {
    self.host = host
    self.port = port
  }

  /// Reads "127.0.0.1:8420", "localhost:8420" or "[::1]:8420"; nil for anything else.
  init?(_ text: String) {
    guard let colon = text.lastIndex(of: ":"),
      let port = UInt16(text[text.index(after: colon)...])
    else { return nil }
    var host = text[..<colon]
    if host.hasPrefix("["), host.hasSuffix("]") {
      host = host.dropFirst().dropLast()
      guard host.contains(":") else { return nil }
    } else if host.contains(":") {
      return nil
    }
    guard !host.isEmpty, !host.contains(where: { $0.isWhitespace || $0 == "/" }) else {
      return nil
    }
    self.init(host: String(host), port: Int(port))
  }

  var description: String { host.contains(":") ? "[\(host)]:\(port)" : "\(host):\(port)" }

  /// The address the host's name stands for.
  func resolved() throws -> SocketAddress {
    try SocketAddress.makeAddressResolvingHost(host, port: port)
  }
}

extension SocketAddress {
  /// Whether only this machine can reach it: 127.0.0.0/8, ::1, or 127/8 within ::ffff:0:0/96.
  var isLoopback: Bool {
    switch self {
    case .v4(let address):
      return address.address.sin_addr.s_addr.bigEndian >> 24 == 127
    case .v6(let address):
      let bytes = withUnsafeBytes(of: address.address.sin6_addr) { Array($0) }
      let isMapped = bytes[..<10].allSatisfy { $0 == 0 } && bytes[10] == 255 && bytes[11] == 255
      return bytes == Array(repeating: 0, count: 15) + [1] || isMapped && bytes[12] == 127
    case .unixDomainSocket: return true
    }
  }
}

extension Configuration {
  /// What is wrong between settings that are each well written; `place` says where a setting came from.
  func faults(place: (String) -> String) -> [SettingFault] {
    var faults: [SettingFault] = []
    func refuse(_ setting: String, _ reason: String, _ remedy: String) {
      faults.append(SettingFault(place: place(setting), reason: reason, remedy: remedy))
    }
    if (tlsCert == nil) != (tlsKey == nil) {
      let (given, missing) = tlsCert == nil ? ("tls-key", "tls-cert") : ("tls-cert", "tls-key")
      refuse(given, "is given without \(missing)", "Give both, or neither to speak in clear.")
    }
    if tlsClientCA != nil, tlsCert == nil {
      refuse(
        "tls-client-ca", "asks clients for certificates, but there is no TLS",
        "Give tls-cert and tls-key too.")
    }
    for (setting, path) in [
      ("tls-cert", tlsCert), ("tls-key", tlsKey), ("tls-client-ca", tlsClientCA),
      ("webhook-ca", webhookCA),
    ] {
      guard let path, access(path, R_OK) != 0 else { continue }
      refuse(
        setting, "\(path) cannot be read: \(String(cString: strerror(errno)))",
        "Check the path and who may read the file.")
    }
    if recordBytesMax > bodyBytesMax {
      refuse(
        "record-bytes-max", "a record of this size would not fit into a request's body",
        "Raise body-bytes-max above it, or lower this.")
    }
    if let fault = listenFault(place: place("listen")) { faults.append(fault) }
    return faults
  }

  /// Without tokens nobody is asked who they are, so only this machine may connect, unless told otherwise.
  private func listenFault(place: String) -> SettingFault? {
    let address: SocketAddress
    do {
      address = try listen.resolved()
    } catch {
      return SettingFault(
        place: place, reason: "the host \(listen.host) is not known here",
        remedy: "Use an address of this machine, such as 127.0.0.1:\(listen.port).")
    }
    guard !address.isLoopback, !insecure else { return nil }
    return SettingFault(
      place: place,
      reason: "\(listen) can be reached from other machines, and no tokens are configured: "
        + "anyone who connects could read, write and delete everything",
      remedy: "Listen on 127.0.0.1:\(listen.port), behind a proxy that asks who is there; "
        + "or, on a network you trust, add --insecure.")
  }
}
