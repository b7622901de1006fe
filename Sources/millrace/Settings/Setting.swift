// One setting: its three names, its meaning, and how its text is read and shown.
import Wire

/// Something an operator may set: as a flag, in the environment, or in the configuration file.
struct Setting: Sendable {
  /// The flag without its dashes; the other names follow from it.
  let name: String
  /// What stands for its value in help; nil for a switch.
  let placeholder: String?
  let help: String
  /// Reads a value into the configuration, or says what is wrong with it.
  let read: @Sendable (String, inout Configuration) throws(Refusal) -> Void
  /// The value as it would stand in a configuration file; nil if it is not set.
  let show: @Sendable (Configuration) -> JSONValue?

  var flag: String { "--" + name }
  var environmentName: String { "MILLRACE_" + fileName.uppercased() }
  var fileName: String { String(name.map { $0 == "-" ? "_" : $0 }) }

  /// Why a value was not taken, and what to write instead.
  struct Refusal: Error, Equatable {
    var reason: String
    var remedy: String
  }
}

/// A setting that cannot be, for a person to mend.
struct SettingFault: Error, Equatable, CustomStringConvertible {
  /// The name under which it was set: `--listen`, `MILLRACE_LISTEN`, or a line of the file.
  var place: String
  var reason: String
  var remedy: String
  var description: String { "\(place): \(reason). \(remedy)" }
}

typealias ConfigurationPath<Value> = WritableKeyPath<Configuration, Value> & Sendable

extension Setting {
  private init<Value>(
    _ name: String, _ placeholder: String?, _ help: String,
    _ path: ConfigurationPath<Value>,
    read: @escaping @Sendable (String) throws(Refusal) -> Value,
    show: @escaping @Sendable (Value) -> JSONValue?
  ) {
    self.name = name
    self.placeholder = placeholder
    self.help = help
    self.read = { (text, configuration) throws(Refusal) in
      configuration[keyPath: path] = try read(text)
    }
    self.show = { show($0[keyPath: path]) }
  }

  /// A file or directory.
  static func path(_ name: String, _ help: String, _ path: ConfigurationPath<String>) -> Setting {
    Setting(name, "PATH", help, path, read: nonempty, show: JSONValue.string)
  }

  static func path(_ name: String, _ help: String, _ path: ConfigurationPath<String?>) -> Setting {
    Setting(
      name, "PATH", help, path, read: { text throws(Refusal) in try nonempty(text) },
      show: { $0.map(JSONValue.string) })
  }

  private static let nonempty: @Sendable (String) throws(Refusal) -> String = {
    text throws(Refusal) in
    guard !text.isEmpty else {
      throw Refusal(reason: "it is empty", remedy: "Give a path, or leave the setting out.")
    }
    return text
  }

  static func address(
    _ name: String, _ help: String, _ path: ConfigurationPath<ListenAddress>
  ) -> Setting {
    Setting(
      name, "HOST:PORT", help, path,
      read: { text throws(Refusal) in
        guard let address = ListenAddress(text) else {
          throw Refusal(
            reason: "\"\(text)\" is not a host and a port",
            remedy: "Write it as in 127.0.0.1:8420, localhost:8420 or [::1]:8420.")
        }
        return address
      }, show: { .string($0.description) })
  }

  static func toggle(_ name: String, _ help: String, _ path: ConfigurationPath<Bool>) -> Setting {
    Setting(
      name, nil, help, path,
      read: { text throws(Refusal) in
        switch text {
        case "true", "1": true
        case "false", "0": false
        default:
          throw Refusal(reason: "\"\(text)\" is neither yes nor no", remedy: "Say true or false.")
        }
      }, show: JSONValue.bool)
  }

  static func count(
    _ name: String, _ help: String, _ path: ConfigurationPath<Int>, in range: ClosedRange<Int>
  ) -> Setting {
    Setting(
      name, "COUNT", help, path,
      read: { text throws(Refusal) in try number(text, in: range) },
      show: { .integer(Int64($0)) })
  }

  static func count(
    _ name: String, _ help: String, _ path: ConfigurationPath<Int?>, in range: ClosedRange<Int>
  ) -> Setting {
    Setting(
      name, "COUNT", help, path,
      read: { text throws(Refusal) in try number(text, in: range) },
      show: { $0.map { .integer(Int64($0)) } })
  }

  private static func number(_ text: String, in range: ClosedRange<Int>) throws(Refusal) -> Int {
    guard let value = Int(text), range.contains(value) else {
      throw Refusal(
        reason: "\"\(text)\" is not a whole number from \(range.lowerBound) to \(range.upperBound)",
        remedy: "Choose one within.")
    }
    return value
  }

  static func bytes(
    _ name: String, _ help: String, _ path: ConfigurationPath<Int>, in range: ClosedRange<Int>
  ) -> Setting {
    Setting(
      name, "BYTES", help, path,
      read: { text throws(Refusal) in
        guard let value = ByteCount.parse(text), range.contains(value) else {
          throw Refusal(
            reason: "\"\(text)\" is not a size from \(ByteCount.format(range.lowerBound))"
              + " to \(ByteCount.format(range.upperBound))",
            remedy: "Write bytes, or as in 512KiB, 4MiB, 2GiB.")
        }
        return value
      }, show: { .string(ByteCount.format($0)) })
  }

  static func duration(
    _ name: String, _ help: String, _ path: ConfigurationPath<Duration>,
    in range: ClosedRange<Duration>
  ) -> Setting {
    Setting(
      name, "DURATION", help, path,
      read: { text throws(Refusal) in
        guard let value = DurationText.parse(text), range.contains(value) else {
          throw Refusal(
            reason: "\"\(text)\" is not a time from \(DurationText.format(range.lowerBound))"
              + " to \(DurationText.format(range.upperBound))",
            remedy: "Write it as in 500ms, 30s, 5m, 2h.")
        }
        return value
      }, show: { .string(DurationText.format($0)) })
  }

  /// Several values; one text holds them with commas between.
  static func list(
    _ name: String, _ placeholder: String, _ help: String, _ path: ConfigurationPath<[String]>,
    check: @escaping @Sendable (String) throws(Refusal) -> Void
  ) -> Setting {
    Setting(
      name, placeholder, help, path,
      read: { text throws(Refusal) in
        let items = text.split { $0 == "," || $0 == " " }.map(String.init)
        for item in items { try check(item) }
        return items
      }, show: { .array($0.map(JSONValue.string)) })
  }

  static func choice<Value: RawRepresentable<String> & CaseIterable & Sendable>(
    _ name: String, _ help: String, _ path: ConfigurationPath<Value>
  ) -> Setting {
    let names = Value.allCases.map(\.rawValue).joined(separator: "|")
    return Setting(
      name, names, help, path,
      read: { text throws(Refusal) in
        guard let value = Value(rawValue: text) else {
          throw Refusal(reason: "\"\(text)\" is not known", remedy: "Choose one of \(names).")
        }
        return value
      }, show: { .string($0.rawValue) })
  }
}

/// Sizes as people write them: "4MiB".
enum ByteCount {
  private static let units = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]

  static func parse(_ text: String) -> Int? {
    for (unit, scale) in units where text.hasSuffix(unit) {
      guard let count = Int(text.dropLast(unit.count)), count >= 0 else { return nil }
      let (bytes, overflows) = count.multipliedReportingOverflow(by: scale)
      return overflows ? nil : bytes
    }
    return Int(text).flatMap { $0 >= 0 ? $0 : nil }
  }

  /// With the largest unit that says it exactly.
  static func format(_ bytes: Int) -> String {
    for (unit, scale) in units where bytes >= scale && bytes % scale == 0 {
      return "\(bytes / scale)\(unit)"
    }
    return String(bytes)
  }
}
