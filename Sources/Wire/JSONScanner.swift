// Checks that bytes are JSON (RFC 8259, strict) and says where the values lie; builds no tree.
import NIOCore

/// Why bytes are not JSON.
public struct JSONFault: Error, Equatable, Sendable, CustomStringConvertible {
  /// Bytes from the start of the text that was checked.
  public let position: Int
  /// A clause for people: "a string is not closed".
  public let reason: String

  public init(position: Int, reason: String) {
    self.position = position
    self.reason = reason
  }

  public var description: String { "\(reason) at byte \(position)" }
}

/// Where a value lies in a text.
public struct JSONExtent: Equatable, Sendable {
  /// The value without the whitespace around it.
  public let range: Range<Int>
  /// True if CR or LF stand between its tokens; it is then no single line until flattened.
  public let hasLineBreaks: Bool
}

/// Strict JSON: RFC 8259 grammar, UTF-8 without surrogates or overlong forms, escapes that name Unicode characters
/// (a lone surrogate is refused), containers at most `depthMax` deep. Any number is taken, whatever its size, and
/// so are duplicate names and NUL (`\u0000`): a record is kept as it is, not understood.
public enum JSONScanner {
  public static let depthMax = 512

  /// Checks that `bytes` is exactly one JSON value with optional whitespace around; returns its range without
  /// the whitespace. ` {"a":1}` gives 1..<8.
  public static func value(_ bytes: UnsafeRawBufferPointer) throws(JSONFault) -> Range<Int> {
    try extent(bytes).range
  }

  /// As `value`, and says whether the value is one line.
  public static func extent(_ bytes: UnsafeRawBufferPointer) throws(JSONFault) -> JSONExtent {
    let scan = JSONScan(bytes)
    var breaks = false
    let start = scan.skipSpace(0, breakable: true, &breaks)
    breaks = false
    let end = scan.value(start, breakable: true, &breaks)
    guard end >= 0 else { throw JSONScan.fault(end, from: 0) }
    let hasLineBreaks = breaks
    let rest = scan.skipSpace(end, breakable: true, &breaks)
    guard rest == bytes.count else { throw JSONScan.trailing(rest, from: 0) }
    return JSONExtent(range: start..<end, hasLineBreaks: hasLineBreaks)
  }

  /// A copy of a checked value in one line: CR and LF, which can only stand between tokens, become spaces.
  public static func flattened(
    _ value: UnsafeRawBufferPointer, allocator: ByteBufferAllocator = .init()
  ) -> ByteBuffer {
    var buffer = allocator.buffer(capacity: value.count)
    writeFlattened(value, into: &buffer)
    return buffer
  }

  /// Appends a checked value in one line to `buffer`.
  public static func writeFlattened(
    _ value: UnsafeRawBufferPointer, into buffer: inout ByteBuffer
  ) {
    buffer.writeWithUnsafeMutableBytes(minimumWritableBytes: value.count) { target in
      target.copyMemory(from: value)
      for index in 0..<value.count where target[index] == 0x0a || target[index] == 0x0d {
        target[index] = 0x20
      }
      return value.count
    }
  }
}
