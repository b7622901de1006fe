// `--name value` pairs of a load program's command line, and the way it gives up.
import Glibc

/// Prints `message` and ends the process: a load program has nobody to hand an error to.
func fail(_ message: String) -> Never {
  let line = Array("load: \(message)\n".utf8)
  _ = write(STDERR_FILENO, line, line.count)
  exit(1)
}

final class Options {
  private var values: [String: String] = [:]
  private var used: Set<String> = []

  init(_ arguments: [String]) {
    var index = 0
    while index < arguments.count {
      let name = arguments[index]
      guard name.hasPrefix("--"), index + 1 < arguments.count else {
        fail("expected --name value at \"\(name)\"")
      }
      values[String(name.dropFirst(2))] = arguments[index + 1]
      index += 2
    }
  }

  func text(_ name: String, _ fallback: String? = nil) -> String {
    used.insert(name)
    guard let value = values[name] ?? fallback else { fail("--\(name) is missing") }
    return value
  }

  func integer(_ name: String, _ fallback: Int? = nil) -> Int {
    let value = text(name, fallback.map { String($0) })
    guard let integer = Int(value) else { fail("--\(name) \(value) is no integer") }
    return integer
  }

  func seconds(_ name: String, _ fallback: Double) -> UInt64 {
    guard let value = Double(text(name, String(fallback))) else { fail("--\(name): no number") }
    return UInt64(value * 1e9)
  }

  /// Process ids, separated by commas: whose CPU time counts as the server's.
  func processes(_ name: String = "pids") -> [Int] {
    text(name, "").split(separator: ",").compactMap { Int($0) }
  }

  /// A misspelt option would silently measure something else.
  func refuseUnused() {
    let unused = Set(values.keys).subtracting(used)
    if !unused.isEmpty { fail("unknown: \(unused.sorted())") }
  }
}
