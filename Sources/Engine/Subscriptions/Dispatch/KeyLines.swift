// The records of each key of a track that are not settled, in line.

/// The records of one key: those held (in flight, parked, or settled but not durably) before those that wait. The
/// links between them run through the slots.
struct Line {
  var key: UInt64
  /// Of the lease that holds it, while it is held.
  var holder: UInt64 = 0
  /// The back-off that the queue of due times knows of.
  var timer: Int64 = 0
  /// The low bits of the first offset that waits, if any.
  var next: UInt32 = 0
  /// Of the last in line.
  var tail: UInt32 = 0
  var held: UInt32 = 0
  var waiting: UInt32 = 0
  /// How many waited when it was put into its track's queue.
  var queued: UInt32 = 0
  var isQueued = false
}

struct KeyLines {
  /// Line n is at n - 1; 0 is no line.
  private(set) var lines: [Line] = []
  private var free: [UInt32] = []
  private var numbers: [UInt64: UInt32] = [:]
  private var lastKey: UInt64 = 0
  private var lastNumber: UInt32 = 0

  subscript(number: UInt32) -> Line {
    get { lines[Int(number) - 1] }
    _modify { yield &lines[Int(number) - 1] }
  }

  /// False for numbers of before everything was let go of.
  func has(_ number: UInt32) -> Bool { Int(number) <= lines.count }

  func number(of key: UInt64) -> UInt32? { numbers[key] }

  /// The key's line, made if there is none.
  mutating func line(for key: UInt64) -> UInt32 {
    if lastNumber != 0, lastKey == key { return lastNumber }
    let number = numbers[key] ?? make(key)
    lastKey = key
    lastNumber = number
    return number
  }

  private mutating func make(_ key: UInt64) -> UInt32 {
    let number: UInt32
    if let reused = free.popLast() {
      number = reused
      lines[Int(number) - 1] = Line(key: key)
    } else {
      lines.append(Line(key: key))
      number = UInt32(lines.count)
    }
    numbers[key] = number
    return number
  }

  /// Lets a line go that holds nobody and that nobody waits in.
  mutating func end(_ number: UInt32) {
    let line = self[number]
    precondition(
      line.held == 0 && line.waiting == 0 && !line.isQueued,
      "held \(line.held), waiting \(line.waiting)")
    numbers[line.key] = nil
    if lastNumber == number { lastNumber = 0 }
    free.append(number)
    if free.count == lines.count, lines.count > 16 { self = KeyLines() }
  }

  var count: Int { numbers.count }
}
