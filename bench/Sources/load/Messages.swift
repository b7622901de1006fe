// Messages of a subscription as they come over pull and SSE: finding them, checking them, and acknowledging them.
import CLinux
import Glibc

/// What a message says of itself; `ackID` points into the bytes it was found in.
struct Message {
  let ackID: UnsafeRawBufferPointer
  let delivery: Int
  let shard: Int
  let offset: Int
  /// The digits of a key "ord-00001234"; -1 without one.
  let key: Int

  private static let beforeAckID = Array("\"ack_id\":\"".utf8)
  private static let beforeDelivery = Array("\"delivery\":".utf8)
  private static let beforeShard = Array("\"shard\":".utf8)
  private static let beforeOffset = Array("\"offset\":\"".utf8)
  private static let beforeKey = Array("\"key\":\"ord-".utf8)
  /// No message's fields before its value take more.
  private static let fieldsBytesMax = 512

  /// Calls `each` with every message in `bytes`, which hold none in part; the `valueBytes` behind each message's fields
  /// are not looked at.
  static func scan(
    _ bytes: UnsafeRawBufferPointer, valueBytes: Int, isKeyed: Bool, each: (Message) -> Void
  ) {
    guard let start = bytes.baseAddress else { return }
    let end = start + bytes.count
    var position = start
    while let ackID = after(beforeAckID, from: position, to: end) {
      let fieldsEnd = min(end, ackID + fieldsBytesMax)
      guard let quote = memchr(ackID, 34, fieldsEnd - ackID),
        let delivery = after(beforeDelivery, from: UnsafeRawPointer(quote), to: fieldsEnd),
        let shard = after(beforeShard, from: delivery, to: fieldsEnd),
        let offset = after(beforeOffset, from: shard, to: fieldsEnd)
      else { fail("no message: \(String(decoding: bytes.prefix(600), as: UTF8.self))") }
      var key: UnsafeRawPointer?
      if isKeyed {
        key = after(beforeKey, from: offset, to: fieldsEnd)
        if key == nil { fail("no key: \(String(decoding: bytes.prefix(600), as: UTF8.self))") }
      }
      each(
        Message(
          ackID: UnsafeRawBufferPointer(start: ackID, count: UnsafeRawPointer(quote) - ackID),
          delivery: decimal(delivery, to: end), shard: decimal(shard, to: end),
          offset: decimal(offset, to: end), key: key.map { decimal($0, to: end) } ?? -1))
      position = min(end, (key ?? offset) + valueBytes)
    }
  }

  @inline(__always)
  private static func after(
    _ name: [UInt8], from start: UnsafeRawPointer, to end: UnsafeRawPointer
  ) -> UnsafeRawPointer? {
    guard let found = memmem(start, end - start, name, name.count) else { return nil }
    return UnsafeRawPointer(found) + name.count
  }

  private static func decimal(_ digits: UnsafeRawPointer, to end: UnsafeRawPointer) -> Int {
    var value = 0
    var position = digits
    while position < end, case let byte = position.load(as: UInt8.self), byte >= 48, byte <= 57 {
      value = value * 10 + Int(byte - 48)
      position += 1
    }
    return value
  }
}

/// What has been delivered: each record once, keys or shards in order.
struct Tally {
  enum Ordering: String { case key, shard, none }

  private let ordering: Ordering
  private var seen: [[Bool]] = []
  private var lastOfKey: [Int: Int] = [:]
  private var lastOfShard: [Int] = []
  private(set) var messages = 0
  /// Deliveries of a record that had been delivered before, and deliveries that say so themselves.
  private(set) var repeats = 0
  private(set) var outOfOrder = 0

  init(_ ordering: Ordering) { self.ordering = ordering }

  mutating func note(_ message: Message) {
    messages += 1
    while seen.count <= message.shard {
      seen.append([])
      lastOfShard.append(-1)
    }
    if seen[message.shard].count <= message.offset {
      let missing = message.offset + 1 - seen[message.shard].count
      seen[message.shard].append(contentsOf: repeatElement(false, count: missing + 65_536))
    }
    if seen[message.shard][message.offset] || message.delivery != 1 { repeats += 1 }
    seen[message.shard][message.offset] = true
    switch ordering {
    case .none: break
    case .shard:
      if message.offset <= lastOfShard[message.shard] { outOfOrder += 1 }
      lastOfShard[message.shard] = message.offset
    case .key:
      if message.offset <= lastOfKey[message.key] ?? -1 { outOfOrder += 1 }
      lastOfKey[message.key] = message.offset
    }
  }
}

/// Acknowledgements that wait to be sent, oldest first, in the portions they are sent in.
struct AckQueue {
  private struct Portion {
    var text: [UInt8] = []
    var count = 0
  }
  private var portions: [Portion] = []
  private var first = 0
  private var open = Portion()
  private let portionMax: Int
  /// Acknowledgements that have not been taken.
  private(set) var count = 0

  init(portionMax: Int) { self.portionMax = portionMax }

  mutating func append(_ ackID: UnsafeRawBufferPointer) {
    if open.count > 0 { open.text.append(44) }
    open.text.append(34)
    open.text.append(contentsOf: ackID)
    open.text.append(34)
    open.count += 1
    count += 1
    if open.count == portionMax { closePortion() }
  }

  /// What has been gathered is a portion, though it is a small one.
  mutating func closePortion() {
    guard open.count > 0 else { return }
    portions.append(open)
    open = Portion()
    open.text.reserveCapacity(portionMax * 48)
  }

  var hasPortion: Bool { first < portions.count }

  /// The oldest portion as the request that acknowledges it.
  mutating func takePortion(path: String) -> (request: [UInt8], count: Int) {
    let portion = portions[first]
    portions[first].text = []
    first += 1
    if first == 4096 {
      portions.removeFirst(first)
      first = 0
    }
    count -= portion.count
    let head =
      "POST \(path) HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
      + "Content-Length: \(portion.text.count + 10)\r\n\r\n{\"ack\":["
    var request = [UInt8]()
    request.reserveCapacity(head.utf8.count + portion.text.count + 2)
    request.append(contentsOf: head.utf8)
    request.append(contentsOf: portion.text)
    request.append(contentsOf: [93, 125])
    return (request, portion.count)
  }

  private static let okStatus = Array("\"status\":\"ok\"".utf8)

  /// How many of an answer's results are "ok".
  static func accepted(_ body: UnsafeRawBufferPointer) -> Int {
    guard var position = body.baseAddress else { return 0 }
    let end = position + body.count
    var total = 0
    while let found = memmem(position, end - position, okStatus, okStatus.count) {
      total += 1
      position = UnsafeRawPointer(found) + okStatus.count
    }
    return total
  }
}
