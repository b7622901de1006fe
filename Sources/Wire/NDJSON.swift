// Newline-delimited JSON: checks every line and says where the values lie, in one pass.
import NIOCore

/// How much a body of lines may hold.
public struct NDJSONLimits: Sendable {
  public var recordsMax: Int
  /// Of one value, without the whitespace around it.
  public var recordBytesMax: Int
  public init(recordsMax: Int, recordBytesMax: Int) {
    self.recordsMax = recordsMax
    self.recordBytesMax = recordBytesMax
  }
}

/// Which line is wrong, counted from 1, blank lines too.
public enum NDJSONFault: Error, Equatable, Sendable {
  /// The fault's position is counted from the start of the line.
  case line(Int, JSONFault)
  case recordTooLarge(line: Int, bytes: Int, bytesMax: Int)
  case tooManyRecords(recordsMax: Int)
}

/// The values of a checked body.
public struct NDJSONLines: Sendable {
  public fileprivate(set) var lengths: [UInt32] = []
  /// The body is the values, each followed by one LF (the last one's may be missing): it may be copied whole.
  public fileprivate(set) var isVerbatim = true
  /// At least one value has CR between its tokens and must be flattened.
  public fileprivate(set) var hasCarriageReturns = false
  /// Where each value starts; empty while `isVerbatim`.
  fileprivate var starts: [UInt32] = []

  public var count: Int { lengths.count }

  /// Each value's place in the body, in order.
  @inline(__always)
  public func forEachRange<E>(_ body: (Range<Int>) throws(E) -> Void) throws(E) {
    var next = 0
    for index in lengths.indices {
      let start = isVerbatim ? next : Int(starts[index])
      let end = start + Int(lengths[index])
      next = end + 1
      try body(start..<end)
    }
  }

  fileprivate mutating func spellOutStarts() {
    guard isVerbatim else { return }
    starts.reserveCapacity(lengths.capacity)
    forEachRange { starts.append(UInt32($0.lowerBound)) }
    isVerbatim = false
  }
}

extension JSONScanner {
  /// Checks each line of `bytes`, a JSON value with optional whitespace around. Blank lines are passed over. Lines
  /// end with LF or CRLF; the last one may end with the text.
  public static func lines(
    _ bytes: UnsafeRawBufferPointer, limits: NDJSONLimits
  ) throws(NDJSONFault) -> NDJSONLines {
    precondition(bytes.count <= UInt32.max, "bodies are below 4 GiB")
    var result = NDJSONLines()
    // A guess, so that the array seldom grows: 128 bytes a record.
    result.lengths.reserveCapacity(min(limits.recordsMax, bytes.count / 128 + 4))
    var scan = JSONScan(bytes)
    var line = 1
    while scan.position < scan.end {
      let lineStart = scan.position
      scan.hasLineBreaks = false
      scan.skipSpace(breaks: false)
      let start = scan.position
      if start == scan.end || scan.base[start] == 0x0a {
        result.spellOutStarts()
        scan.position = start + 1
        line += 1
        continue
      }
      scan.hasLineBreaks = false
      guard scan.scanValue(breaks: false) else {
        throw .line(line, scan.fault(from: lineStart))
      }
      let end = scan.position
      if scan.hasLineBreaks { result.hasCarriageReturns = true }
      scan.skipSpace(breaks: false)
      guard scan.position == scan.end || scan.base[scan.position] == 0x0a else {
        throw .line(
          line,
          JSONFault(position: scan.position - lineStart, reason: "something follows the value"))
      }
      guard end - start <= limits.recordBytesMax else {
        throw .recordTooLarge(line: line, bytes: end - start, bytesMax: limits.recordBytesMax)
      }
      guard result.lengths.count < limits.recordsMax else {
        throw .tooManyRecords(recordsMax: limits.recordsMax)
      }
      if start != lineStart || end != scan.position { result.spellOutStarts() }
      if !result.isVerbatim { result.starts.append(UInt32(start)) }
      result.lengths.append(UInt32(end - start))
      scan.position += 1
      line += 1
    }
    if result.hasCarriageReturns { result.spellOutStarts() }
    return result
  }
}
