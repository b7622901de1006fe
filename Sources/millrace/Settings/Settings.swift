// Every setting of the server, in the order in which help shows them.
import Gateway
import Logging

extension Setting {
  static let all: [Setting] = [
    .path("data", "The directory that holds everything; made if it is not there.", \.data),
    .address("listen", "Where to listen. Port 0 takes any free one.", \.listen),
    .path("tls-cert", "The server's certificate chain (PEM): speak TLS only.", \.tlsCert),
    .path("tls-key", "The private key of the certificate (PEM).", \.tlsKey),
    .path(
      "tls-client-ca", "Admit only clients with a certificate signed by one of these (PEM).",
      \.tlsClientCA),
    .toggle(
      "insecure", "Listen beyond this machine although anyone who connects may do everything.",
      \.insecure),
    .toggle(
      "truncate-damaged",
      "Where a log is damaged, drop what lies behind the damage, say what, and start.",
      \.truncateDamaged),
    .count(
      "loops", "Event loops, and lanes to the disk [one for each core].", \.loops, in: 1...256),
    .count(
      "connections-max", "Connections at a time; more are refused.", \.connectionsMax,
      in: 1...1_000_000),
    .bytes(
      "record-bytes-max", "The largest record, with key and headers.", \.recordBytesMax,
      in: 1...64 << 20),
    .bytes(
      "body-bytes-max", "The largest request body, inflated.", \.bodyBytesMax, in: 1...64 << 20),
    .count(
      "batch-records-max", "Records in one append.", \.batchRecordsMax, in: 1...1_000_000),
    .bytes(
      "header-bytes-max", "The largest head of a request.", \.headerBytesMax,
      in: 1 << 10...1 << 20),
    .list(
      "cors-origins", "ORIGIN,…",
      "Web pages' origins that may use this server; * for every page.", \.corsOrigins
    ) { origin throws(Refusal) in
      let isOrigin =
        origin == "*"
        || ["http://", "https://"].contains {
          origin.hasPrefix($0) && origin.count > $0.count
            && !origin.dropFirst($0.count).contains("/")
        }
      if !isOrigin {
        throw Refusal(
          reason: "\"\(origin)\" is not a web page's origin",
          remedy: "Write it as a browser sends it, as in https://app.example.org.")
      }
    },
    .list(
      "webhook-allow", "CIDR,…",
      "Ranges of addresses that webhooks may reach although they are not public.", \.webhookAllow
    ) { range throws(Refusal) in
      if AddressRange(range) == nil {
        throw Refusal(
          reason: "\"\(range)\" is not a range of addresses",
          remedy:
            "Write its first address and how many bits are fixed, as in 10.0.0.0/8 or ::1/128.")
      }
    },
    .path(
      "webhook-ca", "Authorities (PEM) that webhooks trust beside the system's.", \.webhookCA),
    .duration(
      "heartbeat", "Silence on a live stream after which a sign of life is sent.", \.heartbeat,
      in: .milliseconds(100) ... .seconds(3600)),
    .duration(
      "head-timeout", "How long a request's head, or a TLS handshake, may take.", \.headTimeout,
      in: .seconds(1) ... .seconds(3600)),
    .duration(
      "body-timeout", "A request's body must grow by 64 bytes a second over this time.",
      \.bodyTimeout, in: .seconds(1) ... .seconds(3600)),
    .duration(
      "write-timeout", "An answer must be taken at 64 bytes a second over this time.",
      \.writeTimeout, in: .seconds(1) ... .seconds(3600)),
    .duration(
      "idle-timeout", "How long a connection may stay without a request.", \.idleTimeout,
      in: .seconds(1) ... .seconds(86_400)),
    .duration(
      "stop-timeout", "After SIGTERM, how long requests in flight may take to finish.",
      \.stopTimeout, in: .zero ... .seconds(3600)),
    .choice("log-level", "How much to log.", \.logLevel),
    .choice("log-format", "How log lines look, on standard error.", \.logFormat),
  ]

  static func named(_ name: String) -> Setting {
    guard let setting = all.first(where: { $0.name == name }) else {
      preconditionFailure("no setting is called \(name)")
    }
    return setting
  }
}
