// Helpers of Wire's tests: texts lent as bytes, seeds, golden files.
import Glibc
import NIOCore

@testable import Wire

/// Lends the UTF-8 bytes of `text` at a place where reading past them would meet other memory.
@discardableResult
func withBytes<Result>(
  of text: String, _ body: (UnsafeRawBufferPointer) throws -> Result
) rethrows -> Result {
  try withBytes(of: Array(text.utf8), body)
}

@discardableResult
func withBytes<Result>(
  of bytes: [UInt8], _ body: (UnsafeRawBufferPointer) throws -> Result
) rethrows -> Result {
  // Exactly as many bytes as the text has, so that a sanitizer sees every read beyond it.
  let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
  defer { copy.deallocate() }
  copy.copyBytes(from: bytes)
  return try body(UnsafeRawBufferPointer(copy))
}

func string(_ bytes: UnsafeRawBufferPointer) -> String { String(decoding: bytes, as: UTF8.self) }

/// What `write` writes, as text.
func written(_ write: (inout ByteBuffer) -> Void) -> String {
  var buffer = ByteBuffer()
  write(&buffer)
  return String(buffer: buffer)
}

extension ByteBuffer {
  var array: [UInt8] { Array(readableBytesView) }
}

extension Random {
  mutating func bytes(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8(truncatingIfNeeded: next()) }
  }

  mutating func element<Element>(of choices: [Element]) -> Element { choices[below(choices.count)] }

  /// A number of any size: as often of one byte as of eight.
  mutating func anySize() -> UInt64 { next() >> UInt64(below(64)) }

  /// JSON text: any grammar, whitespace without line breaks, escapes, characters of all lengths.
  mutating func json(depth: Int = 0) -> String {
    switch below(depth > 4 ? 5 : 7) {
    case 0: return element(of: ["true", "false", "null"])
    case 1: return "\(Int64(truncatingIfNeeded: next()) >> Int64(below(63)))"
    case 2: return element(of: ["-0", "0.5", "1e9", "-1.25E-3", "0e+1", "12345678901234567890123"])
    case 3, 4: return jsonString()
    case 5:
      return "[" + (0..<below(4)).map { _ in json(depth: depth + 1) }.joined(separator: comma())
        + "]"
    default:
      let members = (0..<below(4)).map { _ in
        jsonString() + element(of: [":", " : ", ":\t"]) + json(depth: depth + 1)
      }
      return "{" + members.joined(separator: comma()) + "}"
    }
  }

  private mutating func comma() -> String { element(of: [",", ", ", " ,  ", "\t,"]) }

  mutating func jsonString() -> String {
    let pieces = [
      "a", "key", "0123456789abcdef", "é", "水", "🌊", "\\n", "\\\"", "\\\\", "\\/", "\\u0000",
      "\\u00e9", "\\ud83c\\udf0a", " ", "\u{7f}", "\u{2028}",
    ]
    return "\"" + (0..<below(12)).map { _ in element(of: pieces) }.joined() + "\""
  }
}

/// A golden file: bytes as hexadecimal numbers, `#` and what follows on its line being a comment.
func golden(_ name: String, folder: StaticString = #filePath) throws -> [UInt8] {
  var bytes: [UInt8] = []
  for line in try goldenLines(name, folder: folder) {
    let digits = line.prefix { $0 != "#" }.filter { $0 != " " }
    var rest = digits[...]
    while !rest.isEmpty {
      guard let byte = UInt8(rest.prefix(2), radix: 16), rest.count >= 2 else {
        throw GoldenFault(line: String(line))
      }
      bytes.append(byte)
      rest = rest.dropFirst(2)
    }
  }
  return bytes
}

func goldenLines(_ name: String, folder: StaticString = #filePath) throws -> [String] {
  let here = String(describing: folder)
  let path = here[..<(here.lastIndex(of: "/") ?? here.startIndex)] + "/Golden/" + name
  guard let file = fopen(String(path), "r") else { throw GoldenFault(line: "no file \(path)") }
  defer { fclose(file) }
  var bytes: [UInt8] = []
  while case let byte = fgetc(file), byte != EOF { bytes.append(UInt8(truncatingIfNeeded: byte)) }
  return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
}

struct GoldenFault: Error {
  let line: String
}
