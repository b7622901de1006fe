// Where settings come from: flag before environment before file before default, all checked at once.
import Wire

/// What a file, the environment or the command line says about settings, by setting name.
struct SettingLayer: Sendable {
  var texts: [String: (text: String, place: String)] = [:]

  static func flags(_ given: [(setting: String, text: String)]) -> SettingLayer {
    var layer = SettingLayer()
    for (setting, text) in given { layer.texts[setting] = (text, Setting.named(setting).flag) }
    return layer
  }

  static func environment(_ environment: [String: String]) -> SettingLayer {
    var layer = SettingLayer()
    for setting in Setting.all {
      guard let text = environment[setting.environmentName] else { continue }
      layer.texts[setting.name] = (text, setting.environmentName)
    }
    return layer
  }

  /// Variables that look like settings but are none: probably spelled wrong.
  ///
  /// Kubernetes makes MILLRACE_SERVICE_… and MILLRACE_PORT… for a service called millrace, so no setting is called so.
  static func unknownVariables(_ environment: [String: String]) -> [String] {
    let known = Set(Setting.all.map(\.environmentName) + ["MILLRACE_CONFIG"])
    return environment.keys.filter {
      $0.hasPrefix("MILLRACE_") && !known.contains($0)
        && !$0.hasPrefix("MILLRACE_SERVICE_") && !$0.hasPrefix("MILLRACE_PORT")
    }.sorted()
  }

  /// A JSON object of settings by file name: `{"listen": "127.0.0.1:8420", "loops": 2}`.
  static func file(at path: String) throws(SettingFaults) -> SettingLayer {
    switch Environment.text(of: path) {
    case .success(let text): return try file(path, text)
    case .failure(let fault):
      throw [
        SettingFault(
          place: path, reason: "the configuration file cannot be read: \(fault)",
          remedy: "Check --config or MILLRACE_CONFIG, and who may read the file.")
      ]
    }
  }

  static func file(_ path: String, _ text: String) throws(SettingFaults) -> SettingLayer {
    func notAnObject(_ reason: String) -> SettingFaults {
      [
        SettingFault(
          place: path, reason: reason,
          remedy: "Write one object, as in {\"listen\": \"127.0.0.1:8420\"}.")
      ]
    }
    let value: JSONValue
    do {
      value = try JSONValue.parse(text)
    } catch {
      throw notAnObject("it is not JSON: \(error.reason) at byte \(error.position)")
    }
    guard case .object(let members) = value else { throw notAnObject("it is not a JSON object") }
    var layer = SettingLayer()
    var faults: [SettingFault] = []
    for (name, value) in members {
      let place = "\(path), \"\(name)\""
      guard let setting = Setting.all.first(where: { $0.fileName == name }) else {
        faults.append(
          SettingFault(
            place: place, reason: "there is no such setting",
            remedy: "The settings are \(Setting.all.map(\.fileName).joined(separator: ", "))."))
        continue
      }
      guard let valueText = Self.text(of: value) else {
        faults.append(
          SettingFault(
            place: place, reason: "\(value.text()) is not a value it can have",
            remedy: "Write a string, a whole number, true or false, or a list of strings."))
        continue
      }
      layer.texts[setting.name] = (valueText, place)
    }
    guard faults.isEmpty else { throw SettingFaults(faults) }
    return layer
  }

  private static func text(of value: JSONValue) -> String? {
    switch value {
    case .string(let text): return text
    case .integer(let number): return String(number)
    case .bool(let flag): return String(flag)
    case .array(let items):
      var texts: [String] = []
      for item in items {
        guard case .string(let text) = item else { return nil }
        texts.append(text)
      }
      return texts.joined(separator: ",")
    case .null, .real, .object: return nil
    }
  }
}

/// Everything that is wrong with the settings, found in one go.
struct SettingFaults: Error, Equatable, ExpressibleByArrayLiteral, CustomStringConvertible {
  var faults: [SettingFault]
  init(_ faults: [SettingFault]) { self.faults = faults }
  init(arrayLiteral faults: SettingFault...) { self.faults = faults }
  var description: String { faults.map(\.description).joined(separator: "\n") }
}

extension Configuration {
  /// The configuration that `layers` give, the first that names a setting deciding it.
  /// - Throws: every fault there is, not only the first.
  init(layers: [SettingLayer]) throws(SettingFaults) {
    self.init()
    var faults: [SettingFault] = []
    var places: [String: String] = [:]
    for setting in Setting.all {
      guard let (text, place) = layers.lazy.compactMap({ $0.texts[setting.name] }).first else {
        continue
      }
      places[setting.name] = place
      do {
        try setting.read(text, &self)
      } catch {
        faults.append(SettingFault(place: place, reason: error.reason, remedy: error.remedy))
      }
    }
    // Rules between settings would only repeat what a value that cannot be read has broken.
    if faults.isEmpty {
      faults = self.faults { places[$0] ?? "\(Setting.named($0).flag) (default)" }
    }
    guard faults.isEmpty else { throw SettingFaults(faults) }
  }

  /// As a configuration file would say it, every setting on a line of its own.
  var fileText: String {
    let lines = Setting.all.compactMap { setting in
      setting.show(self).map { "  \"\(setting.fileName)\": \($0.text())" }
    }
    return "{\n" + lines.joined(separator: ",\n") + "\n}\n"
  }
}
