// A directory of a test's own, gone with it.
import Glibc

final class TemporaryDirectory {
  let path: String

  init() {
    var template = Array("/tmp/millrace-member-XXXXXX".utf8CString)
    guard let made = mkdtemp(&template) else { preconditionFailure("no directory: errno \(errno)") }
    path = String(cString: made)
  }

  deinit {
    for name in names { unlink("\(path)/\(name)") }
    rmdir(path)
  }

  var names: [String] {
    guard let stream = opendir(path) else { return [] }
    defer { closedir(stream) }
    var names: [String] = []
    while let entry = readdir(stream) {
      let name = withUnsafePointer(to: &entry.pointee.d_name) {
        $0.withMemoryRebound(to: CChar.self, capacity: 256) { String(cString: $0) }
      }
      if name != ".", name != ".." { names.append(name) }
    }
    return names.sorted()
  }
}
