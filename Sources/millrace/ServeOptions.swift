// The flags of `millrace serve`; what they mean stands in Settings.
import ArgumentParser

struct ServeOptions: ParsableArguments {
  @Option(
    help: ArgumentHelp(
      "A file of settings: a JSON object, names with _ for -. MILLRACE_CONFIG names one too.",
      valueName: "PATH"))
  var config: String?

  @Flag(help: "Print the settings that hold, as a configuration file, and exit.")
  var printConfig = false

  @Option(help: .setting("data")) var data: String?
  @Option(help: .setting("listen")) var listen: String?
  @Option(help: .setting("tls-cert")) var tlsCert: String?
  @Option(help: .setting("tls-key")) var tlsKey: String?
  @Option(name: .customLong("tls-client-ca"), help: .setting("tls-client-ca"))
  var tlsClientCA: String?
  @Flag(inversion: .prefixedNo, help: .setting("insecure")) var insecure: Bool?
  @Flag(inversion: .prefixedNo, help: .setting("truncate-damaged")) var truncateDamaged: Bool?
  @Option(help: .setting("loops")) var loops: String?
  @Option(help: .setting("connections-max")) var connectionsMax: String?
  @Option(help: .setting("record-bytes-max")) var recordBytesMax: String?
  @Option(help: .setting("body-bytes-max")) var bodyBytesMax: String?
  @Option(help: .setting("batch-records-max")) var batchRecordsMax: String?
  @Option(help: .setting("header-bytes-max")) var headerBytesMax: String?
  @Option(help: .setting("cors-origins")) var corsOrigins: String?
  /// May be given several times.
  @Option(parsing: .singleValue, help: .setting("webhook-allow")) var webhookAllow: [String] = []
  @Option(name: .customLong("webhook-ca"), help: .setting("webhook-ca")) var webhookCA: String?
  @Option(help: .setting("heartbeat")) var heartbeat: String?
  @Option(help: .setting("head-timeout")) var headTimeout: String?
  @Option(help: .setting("body-timeout")) var bodyTimeout: String?
  @Option(help: .setting("write-timeout")) var writeTimeout: String?
  @Option(help: .setting("idle-timeout")) var idleTimeout: String?
  @Option(help: .setting("stop-timeout")) var stopTimeout: String?
  @Option(help: .setting("log-level")) var logLevel: String?
  @Option(help: .setting("log-format")) var logFormat: String?

  /// The settings that flags were given for.
  var given: [(setting: String, text: String)] {
    let all: [(String, String?)] = [
      ("data", data), ("listen", listen), ("tls-cert", tlsCert), ("tls-key", tlsKey),
      ("tls-client-ca", tlsClientCA), ("insecure", insecure.map(String.init)),
      ("truncate-damaged", truncateDamaged.map(String.init)), ("loops", loops),
      ("connections-max", connectionsMax), ("record-bytes-max", recordBytesMax),
      ("body-bytes-max", bodyBytesMax), ("batch-records-max", batchRecordsMax),
      ("header-bytes-max", headerBytesMax), ("cors-origins", corsOrigins),
      ("webhook-allow", webhookAllow.isEmpty ? nil : webhookAllow.joined(separator: ",")),
      ("webhook-ca", webhookCA), ("heartbeat", heartbeat),
      ("head-timeout", headTimeout), ("body-timeout", bodyTimeout),
      ("write-timeout", writeTimeout), ("idle-timeout", idleTimeout),
      ("stop-timeout", stopTimeout), ("log-level", logLevel), ("log-format", logFormat),
    ]
    return all.compactMap { setting, text in text.map { (setting, $0) } }
  }
}

extension ArgumentHelp {
  /// A setting's help, with its default and the variable that sets it too.
  fileprivate static func setting(_ name: String) -> ArgumentHelp {
    let setting = Setting.named(name)
    let shown = setting.show(Configuration())
    let value = shown == .array([]) ? nil : shown.map { $0.asString ?? $0.text() }
    let details = [value, setting.environmentName].compactMap { $0 }.joined(separator: "; ")
    return ArgumentHelp("\(setting.help) [\(details)]", valueName: setting.placeholder)
  }
}
