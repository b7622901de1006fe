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
    let scan = JSONScan(bytes)
    var hasReturns = false
    var line = 1
    var lineStart = 0
    while lineStart < scan.end {
      var ignored = false
      let start = scan.skipSpace(lineStart, breakable: false, &ignored)
      if start == scan.end || scan.isLineFeed(start) {
        result.spellOutStarts()
        lineStart = start + 1
        line += 1
        continue
      }
      let end = scan.value(start, breakable: false, &hasReturns)
      guard end >= 0 else { throw .line(line, JSONScan.fault(end, from: lineStart)) }
      let lineEnd = scan.skipSpace(end, breakable: false, &ignored)
      guard lineEnd == scan.end || scan.isLineFeed(lineEnd) else {
        throw .line(line, JSONScan.trailing(lineEnd, from: lineStart))
      }
      guard end - start <= limits.recordBytesMax else {
        throw .recordTooLarge(line: line, bytes: end - start, bytesMax: limits.recordBytesMax)
      }
      guard result.lengths.count < limits.recordsMax else {
        throw .tooManyRecords(recordsMax: limits.recordsMax)
      }
      if start != lineStart || end != lineEnd { result.spellOutStarts() }
      if !result.isVerbatim { result.starts.append(UInt32(start)) }
      result.lengths.append(UInt32(end - start))
      lineStart = lineEnd + 1
      line += 1
    }
    if hasReturns {
      result.spellOutStarts()
      result.hasCarriageReturns = true
    }
    return result
  }
}
