// Settings: what wins, what is refused and in which words, and that every one can be set in three ways.
import ArgumentParser
import Logging
import NIOCore
import Testing
import Wire

@testable import millrace

private func configuration(
  flags: [(setting: String, text: String)] = [], environment: [String: String] = [:],
  file: String = "{}"
) throws -> Configuration {
  try Configuration(layers: [
    .flags(flags), .environment(environment), try SettingLayer.file("millrace.json", file),
  ])
}

private func faults(_ make: () throws -> Configuration) -> [SettingFault] {
  do {
    _ = try make()
    return []
  } catch {
    return (error as? SettingFaults)?.faults ?? []
  }
}

@Suite struct `Settings` {
  @Test func `a flag wins over the environment, that over the file, that over the default`() throws
  {
    let file = #"{"loops": 1, "connections_max": 1, "batch_records_max": 1}"#
    let environment = ["MILLRACE_LOOPS": "2", "MILLRACE_CONNECTIONS_MAX": "2"]
    let found = try configuration(flags: [("loops", "3")], environment: environment, file: file)
    #expect(found.loops == 3)
    #expect(found.connectionsMax == 2)
    #expect(found.batchRecordsMax == 1)
    #expect(found.bodyBytesMax == Configuration().bodyBytesMax)
  }

  @Test(arguments: Setting.all.map(\.name))
  func `every setting has a flag`(name: String) throws {
    let setting = Setting.named(name)
    let arguments = setting.placeholder == nil ? [setting.flag] : [setting.flag, "text"]
    let options = try ServeOptions.parse(arguments)
    #expect(options.given.map(\.setting) == [name])
    #expect(options.given.map(\.text) == [setting.placeholder == nil ? "true" : "text"])
  }

  @Test func `a switch can be turned off again by its flag`() throws {
    let options = try ServeOptions.parse(["--no-insecure"])
    let found = try configuration(
      flags: options.given, environment: ["MILLRACE_INSECURE": "true"])
    #expect(!found.insecure)
  }

  @Test func `ranges for webhooks are given one by one, or all in one`() throws {
    let options = try ServeOptions.parse([
      "--webhook-allow", "127.0.0.0/8", "--webhook-allow", "::1/128,10.0.0.0/8",
    ])
    let found = try configuration(flags: options.given)
    #expect(found.webhookAllow == ["127.0.0.0/8", "::1/128", "10.0.0.0/8"])
  }

  @Test(arguments: ["10.0.0.0", "10.0.0.1/8", "10.0.0.0/33", "10.0.0/8", "localhost/8", "/8", "*"])
  func `what is not quite a range is refused, not widened`(text: String) {
    #expect(faults { try configuration(flags: [("webhook-allow", text)]) }.count == 1)
  }

  @Test func `names are unique, and none can be mistaken for a variable that Kubernetes makes`() {
    let names = Setting.all.map(\.name)
    #expect(Set(names).count == names.count)
    for setting in Setting.all {
      #expect(!setting.environmentName.hasPrefix("MILLRACE_SERVICE_"))
      #expect(!setting.environmentName.hasPrefix("MILLRACE_PORT"))
    }
  }

  @Test func `what is printed as a configuration file reads back as the same configuration`() throws
  {
    var wanted = Configuration()
    wanted.data = "/var/lib/\"mill\" race"
    wanted.listen = ListenAddress(host: "::1", port: 0)
    wanted.loops = 7
    wanted.bodyBytesMax = 5_000_001
    wanted.recordBytesMax = 3 << 20
    wanted.corsOrigins = ["https://a.example", "http://localhost:3000"]
    wanted.webhookAllow = ["127.0.0.0/8", "fd00::/8"]
    wanted.stopTimeout = .milliseconds(1500)
    wanted.logLevel = .warning
    wanted.logFormat = .json
    wanted.truncateDamaged = true
    let found = try configuration(file: wanted.fileText)
    #expect(found == wanted)
  }

  @Test func `every fault is told at once, each with the name it was set by`() {
    let found = faults {
      try configuration(
        flags: [("listen", "8420")], environment: ["MILLRACE_LOOPS": "0"],
        file: #"{"body_bytes_max": "4MB", "insecure": "perhaps", "log_level": "loud"}"#)
    }
    #expect(
      found.map(\.place) == [
        "--listen", "millrace.json, \"insecure\"", "MILLRACE_LOOPS",
        "millrace.json, \"body_bytes_max\"", "millrace.json, \"log_level\"",
      ])
    for fault in found { #expect(!fault.reason.isEmpty && !fault.remedy.isEmpty) }
  }

  @Test(arguments: [
    #"{"colour": "red"}"#, #"{"loops": null}"#, #"{"loops": 1.5}"#, #"{"cors_origins": [1]}"#,
    #"{"loops": {}}"#, "[]", "", "{", #"{"loops": 1, "loops": 2}"#,
  ])
  func `a file that holds anything else is refused`(file: String) {
    #expect(faults { try configuration(file: file) }.count == 1)
  }

  @Test func `a file that is not there is refused by its name`() {
    #expect(throws: SettingFaults.self) {
      try SettingLayer.file(at: "/nonexistent/millrace.json")
    }
  }

  @Test func `variables that are no settings are noticed, but not those of Kubernetes`() {
    let environment = [
      "MILLRACE_LISTN": "x", "MILLRACE_PORT_8420_TCP": "x", "MILLRACE_SERVICE_HOST": "x",
      "MILLRACE_DATA": "x", "MILLRACE_CONFIG": "x", "HOME": "x",
    ]
    #expect(SettingLayer.unknownVariables(environment) == ["MILLRACE_LISTN"])
  }
}

@Suite struct `Where to listen` {
  @Test(arguments: [
    ("127.0.0.1:8420", "127.0.0.1", 8420), ("localhost:0", "localhost", 0),
    ("[::1]:65535", "::1", 65535),
  ])
  func `a host and a port are read and written alike`(text: String, host: String, port: Int) {
    let address = ListenAddress(text)
    #expect(address == ListenAddress(host: host, port: port))
    #expect(address?.description == text)
  }

  @Test(arguments: [
    "", ":", "8420", ":8420", "a:", "a:65536", "a:-1", "::1:8420", "[a]:1", "http://a:1", "a b:1",
  ])
  func `anything else is not an address`(text: String) {
    #expect(ListenAddress(text) == nil)
  }

  @Test(arguments: ["127.0.0.1:1", "127.8.9.1:1", "[::1]:1", "[::ffff:127.0.0.1]:1", "localhost:1"])
  func `this machine alone can reach loopback, so nothing more is asked`(text: String) {
    #expect(faults { try configuration(flags: [("listen", text)]) }.isEmpty)
  }

  @Test(arguments: ["0.0.0.0:1", "[::]:1", "192.0.2.1:1", "[::ffff:192.0.2.1]:1", "128.0.0.1:1"])
  func `other machines may reach it only with insecure said`(text: String) {
    let found = faults { try configuration(flags: [("listen", text)]) }
    #expect(found.count == 1)
    #expect(found.first?.place == "--listen")
    #expect(found.first?.remedy.contains("--insecure") == true)
    #expect(
      faults { try configuration(flags: [("listen", text), ("insecure", "true")]) }.isEmpty)
  }
}

@Suite struct `Rules between settings` {
  @Test func `a certificate and its key come together`() {
    #expect(faults { try configuration(flags: [("tls-cert", "/dev/null")]) }.count == 1)
    #expect(faults { try configuration(flags: [("tls-key", "/dev/null")]) }.count == 1)
    let both = [("tls-cert", "/dev/null"), ("tls-key", "/dev/null")]
    #expect(faults { try configuration(flags: both) }.isEmpty)
  }

  @Test func `asking clients for certificates needs TLS`() {
    #expect(faults { try configuration(flags: [("tls-client-ca", "/dev/null")]) }.count == 1)
  }

  @Test func `a file that cannot be read is named`() {
    let flags = [("tls-cert", "/nonexistent/a.pem"), ("tls-key", "/dev/null")]
    let found = faults { try configuration(flags: flags) }
    #expect(found.count == 1)
    #expect(found.first?.reason.contains("/nonexistent/a.pem") == true)
  }

  @Test func `a record must fit into a body`() {
    let flags = [("record-bytes-max", "2MiB"), ("body-bytes-max", "1MiB")]
    #expect(faults { try configuration(flags: flags) }.map(\.place) == ["--record-bytes-max"])
  }
}

@Suite struct `Values as people write them` {
  @Test(arguments: [("0", 0), ("1KiB", 1024), ("4MiB", 4 << 20), ("2GiB", 2 << 30), ("1025", 1025)])
  func `sizes are read and written alike`(text: String, bytes: Int) {
    #expect(ByteCount.parse(text) == bytes)
    #expect(ByteCount.format(bytes) == text)
  }

  @Test(arguments: ["", "-1", "1KB", "1 MiB", "MiB", "1.5MiB", "9223372036854775807KiB"])
  func `anything else is no size`(text: String) {
    #expect(ByteCount.parse(text) == nil)
  }

  @Test func `origins are what a browser sends`() throws {
    let found = try configuration(
      environment: ["MILLRACE_CORS_ORIGINS": "https://a.example, http://localhost:3000"])
    #expect(found.corsOrigins == ["https://a.example", "http://localhost:3000"])
    for text in ["a.example", "https://a.example/", "https://", "ftp://a"] {
      #expect(faults { try configuration(flags: [("cors-origins", text)]) }.count == 1)
    }
  }

  @Test func `cores are counted from the kernel's mask`() {
    #expect(Cores.countedMask(inStatus: "Name:\tx\nCpus_allowed:\tff,00000003\nMems:\t1\n") == 10)
    #expect(Cores.countedMask(inStatus: "Name:\tx\n") == nil)
    #expect(Cores.allowed >= 1)
  }
}

@Suite struct `Log lines` {
  private func line(
    _ format: LogFormat, _ message: Logger.Message, _ metadata: Logger.Metadata
  ) -> String {
    let handler = LineLogHandler(
      format: format, clock: FixedTime(), label: "test", logLevel: .info,
      metadata: ["loop": "1"])
    let event = LogEvent(
      level: .warning, message: message, error: nil, metadata: metadata, source: "test",
      file: #fileID, function: #function, line: #line)
    return String(buffer: handler.line(for: event, at: Timestamp(milliseconds: 1_767_225_600_123)))
  }

  @Test func `people read one line an event, whatever is in it`() {
    #expect(
      line(.human, "a\nb", ["path": "/v1\n2026 forged", "n": "1"])
        == "2026-01-01T00:00:00.123Z warning  a b loop=1 n=1 path=\"/v1\\n2026 forged\"\n")
  }

  @Test func `machines read JSON, nested fields too`() throws {
    let text = line(.json, "a \"b\"\n", ["x": ["y", "z"], "m": ["k": "v"], "level": "forged"])
    let value = try JSONValue.parse(text)
    #expect(value["time"] == "2026-01-01T00:00:00.123Z")
    #expect(value["level"] == "warning")
    #expect(value["message"] == "a \"b\"\n")
    #expect(value["x"] == ["y", "z"])
    #expect(value["m"]?["k"] == "v")
    #expect(text.split(separator: "\n").count == 1)
  }
}
