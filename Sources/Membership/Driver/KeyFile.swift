// The file of a member's keys: base64 of 32 bytes a line, the one in use first, for its owner alone.
import Glibc
import Wire

public enum KeyFileFault: Error, Equatable, CustomStringConvertible {
  case system(operation: String, code: CInt)
  /// Others than the owner may read or write it.
  case exposed(mode: UInt32)
  case tooLarge
  /// A line that is no key; which one, not what stands there.
  case badLine(number: Int)
  /// No key, or more than a ring holds, or one twice.
  case badCount(keys: Int)

  public var description: String {
    switch self {
    case .system(let operation, let code): "\(operation): \(String(cString: strerror(code)))"
    case .exposed(let mode):
      "its mode is 0\(String(mode, radix: 8)), so others than its owner can get at the keys"
    case .tooLarge: "it is larger than any file of keys"
    case .badLine(let number):
      "line \(number) is not a key: a key is base64 of \(MemberKey.byteCount) bytes, 44 characters"
    case .badCount(let keys):
      keys == 0 ? "there is no key in it" : "there are \(keys) keys in it, or one of them twice"
    }
  }
}

/// Secrets are read from it and written to it, and shown nowhere.
public struct KeyFile: Sendable {
  public let path: String
  static let bytesMax = 16 << 10

  public init(_ path: String) { self.path = path }

  public func read() throws(KeyFileFault) -> Keyring {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw .system(operation: "open", code: errno) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw .system(operation: "fstat", code: errno) }
    guard status.st_mode & 0o077 == 0 else {
      throw .exposed(mode: UInt32(status.st_mode & 0o777))
    }
    let bytes: [UInt8]
    do throws(FileFault) {
      bytes = try SmallFile.read(descriptor, bytesMax: Self.bytesMax)
    } catch {
      throw KeyFileFault(error)
    }
    return try Self.parse(bytes)
  }

  /// Lines that are empty or begin with # are passed over.
  static func parse(_ bytes: [UInt8]) throws(KeyFileFault) -> Keyring {
    var keys: [MemberKey] = []
    let lines = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false)
    for (index, line) in lines.enumerated() {
      let text = line.filter { !" \t\r".utf8.contains($0) }
      guard let first = text.first, first != UInt8(ascii: "#") else { continue }
      guard let key = MemberKey(base64: String(decoding: text, as: UTF8.self)) else {
        throw .badLine(number: index + 1)
      }
      keys.append(key)
    }
    guard let keyring = Keyring(keys) else { throw .badCount(keys: keys.count) }
    return keyring
  }

  /// Replaces the file as a whole; what read it before or reads it meanwhile has the old keys or the new ones.
  public func write(_ keyring: Keyring) throws(KeyFileFault) {
    do throws(FileFault) {
      // The process's number keeps two commands apart; the rename decides who was last.
      try SmallFile.replace(
        path, with: Self.text(keyring).utf8, mode: 0o600, suffix: ".new-\(getpid())")
    } catch {
      throw KeyFileFault(error)
    }
  }

  /// Makes the file; refuses if there is one.
  public func create(_ keyring: Keyring) throws(KeyFileFault) {
    do throws(FileFault) {
      try SmallFile.create(path, with: Self.text(keyring).utf8, mode: 0o600)
    } catch {
      throw KeyFileFault(error)
    }
  }

  private static func text(_ keyring: Keyring) -> String {
    keyring.keys.map { $0.text + "\n" }.joined()
  }

  /// Changes whenever the file is changed or replaced; nil if it is not there. To be looked at, not kept.
  public struct Mark: Equatable, Sendable {
    var file: UInt64
    var bytes: Int64
    var seconds: Int64
    var nanoseconds: Int64
  }

  public var mark: Mark? {
    var status = stat()
    guard stat(path, &status) == 0 else { return nil }
    return Mark(
      file: UInt64(status.st_ino), bytes: Int64(status.st_size),
      seconds: Int64(status.st_ctim.tv_sec), nanoseconds: Int64(status.st_ctim.tv_nsec))
  }
}

extension KeyFileFault {
  fileprivate init(_ fault: FileFault) {
    switch fault {
    case .system(let operation, let code): self = .system(operation: operation, code: code)
    case .tooLarge: self = .tooLarge
    }
  }
}
