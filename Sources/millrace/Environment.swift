// The process's environment variables, and small files, read without Foundation.
import Glibc

enum Environment {
  static var all: [String: String] {
    var variables: [String: String] = [:]
    var next = environ
    while let entry = next.pointee {
      let text = String(cString: entry)
      if let sign = text.firstIndex(of: "=") {
        variables[String(text[..<sign])] = String(text[text.index(after: sign)...])
      }
      next += 1
    }
    return variables
  }

  /// The text of a file of at most `bytesMax` bytes, or why it cannot be had.
  static func text(of path: String, bytesMax: Int = 1 << 20) -> Result<String, ReadFault> {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return .failure(.system(errno)) }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let count = read(descriptor, &piece, piece.count)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { return .failure(.system(errno)) }
      if count == 0 { break }
      bytes += piece[..<count]
      guard bytes.count <= bytesMax else { return .failure(.tooLarge(bytesMax: bytesMax)) }
    }
    guard let text = String(validating: bytes, as: UTF8.self) else { return .failure(.notUTF8) }
    return .success(text)
  }

  enum ReadFault: Error, CustomStringConvertible {
    case system(CInt)
    case tooLarge(bytesMax: Int)
    case notUTF8
    var description: String {
      switch self {
      case .system(let code): String(cString: strerror(code))
      case .tooLarge(let bytesMax): "it is larger than \(ByteCount.format(bytesMax))"
      case .notUTF8: "it is not UTF-8 text"
      }
    }
  }
}
