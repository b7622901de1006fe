// One batch that a client wants appended: the same bytes however often it is sent, each record naming its source.
import Engine
import NIOCore
import Wire

final class Request {
  let number: Int
  let shard: ShardModel
  /// Bytes of each record's value.
  let sizes: [Int]
  /// nil: nothing tells a repetition from a new batch, so it is sent once.
  let extras: FrameExtras
  let expectedTail: Offset?

  /// Where it is, once anyone was told or saw it.
  var place: Range<Offset>?
  /// An attempt was answered with success.
  var isAcknowledged = false
  /// Its idempotency key was another request's, which may still be remembered.
  var reusesKey = false
  /// An attempt was answered as the first that took effect.
  var wasAppended = false
  /// Some attempt may have taken effect although nobody saw it.
  var mayBeThere = false
  var attemptsInFlight = 0
  /// Lives of the server in which it was sent.
  var lives: Set<Int> = []
  /// It was not found when everything from here on was read; it may have been trimmed before that.
  var missedAboveEarliest: Offset?
  /// The shard's durable tail when it was last sent.
  var tailWhenSent = Offset.zero
  /// `SimTime.age` when it was first sent.
  var firstSent: Int64?

  init(
    number: Int, shard: ShardModel, sizes: [Int], extras: FrameExtras, expectedTail: Offset?
  ) {
    self.number = number
    self.shard = shard
    self.sizes = sizes
    self.extras = extras
    self.expectedTail = expectedTail
  }

  var count: Int { sizes.count }
  var isStamped: Bool { extras.producer != nil || extras.idempotencyKey != nil }

  var label: String {
    var text = "#\(number)"
    if let producer = extras.producer {
      text += " \(producer.id)/\(producer.epoch)/\(producer.sequence)"
    }
    if let key = extras.idempotencyKey { text += " \(key)" }
    return text
  }

  func draft() -> FrameDraft {
    var builder = FrameBuilder(extras: extras, valuesBytesHint: sizes.reduce(0, +))
    for index in 0..<count {
      let content = RecordContent(of: number, index: index, bytes: sizes[index])
      content.lend { value, attributes in builder.append(value, attributes) }
    }
    return builder.finish()
  }
}

/// What a record holds; follows from its request's number, its index and its size.
struct RecordContent {
  let value: [UInt8]
  let key: [UInt8]?
  let header: (name: [UInt8], value: [UInt8])?
  let contentType: [UInt8]?

  /// Bytes of any value at least: a quote, 8 and 4 hexadecimal digits with a hyphen after each, a quote.
  static let bytesMin = 16
  private static let pad: [UInt8] = {
    var random = Random(seed: 7)
    return (0..<65_536).map { _ in UInt8(ascii: "a") + UInt8(random.below(26)) }
  }()

  init(of request: Int, index: Int, bytes: Int) {
    precondition(bytes >= Self.bytesMin)
    let isOpaque = request % 11 == 3
    var value: [UInt8] = []
    value.reserveCapacity(bytes)
    value.append(isOpaque ? 0x0a : UInt8(ascii: "\""))
    Self.writeHex(request, digits: 8, into: &value)
    Self.writeHex(index, digits: 4, into: &value)
    let start = (request &* 131 &+ index &* 17) % 32_768
    value.append(contentsOf: Self.pad[start..<(start + bytes - Self.bytesMin)])
    value.append(isOpaque ? 0x0d : UInt8(ascii: "\""))
    self.value = value
    contentType = isOpaque ? Array("application/x-opaque".utf8) : nil
    key = Self.key(of: request, index: index)
    header = request % 5 == 2 ? (Array("from".utf8), Array("\(request)".utf8)) : nil
  }

  /// Two of three batches have keys, few enough to meet again soon.
  static func key(of request: Int, index: Int) -> [UInt8]? {
    request % 3 == 0 ? nil : Array("key\((request &+ index / 2) % 5)".utf8)
  }

  private static func writeHex(_ number: Int, digits: Int, into bytes: inout [UInt8]) {
    for digit in (0..<digits).reversed() {
      let nibble = UInt8((number >> (4 * digit)) & 15)
      bytes.append(nibble < 10 ? 48 + nibble : 87 + nibble)
    }
    bytes.append(UInt8(ascii: "-"))
  }

  func lend(_ body: (UnsafeRawBufferPointer, RecordAttributes) -> Void) {
    value.withUnsafeBytes { value in
      (key ?? []).withUnsafeBytes { keyBytes in
        (contentType ?? []).withUnsafeBytes { typeBytes in
          (header?.name ?? []).withUnsafeBytes { name in
            (header?.value ?? []).withUnsafeBytes { headerValue in
              var attributes = RecordAttributes()
              if key != nil { attributes.key = keyBytes }
              if contentType != nil { attributes.contentType = typeBytes }
              if header != nil { attributes.headers = [(name, headerValue)] }
              body(value, attributes)
            }
          }
        }
      }
    }
  }

  /// What differs between a record read and this; nil if nothing does.
  func difference(from record: RecordView) -> String? {
    guard record.value.elementsEqual(value) else { return "value" }
    guard Self.equal(record.key, key) else { return "key" }
    guard Self.equal(record.contentType, contentType) else { return "content type" }
    guard record.headerCount == (header == nil ? 0 : 1) else { return "header count" }
    var isSame = true
    record.forEachHeader { name, value in
      isSame = isSame && name.elementsEqual(header!.name) && value.elementsEqual(header!.value)
    }
    return isSame ? nil : "header"
  }

  /// True if `record` has this value, key and type, whatever its headers.
  func isBody(of record: RecordView) -> Bool {
    record.value.elementsEqual(value) && Self.equal(record.key, key)
      && Self.equal(record.contentType, contentType)
  }

  private static func equal(_ read: UnsafeRawBufferPointer?, _ expected: [UInt8]?) -> Bool {
    guard let read, let expected else { return read == nil && expected == nil }
    return read.elementsEqual(expected)
  }

  /// Which request and index a value names, if it is one of ours.
  static func origin(of value: UnsafeRawBufferPointer) -> (request: Int, index: Int)? {
    guard value.count >= bytesMin, let request = readHex(value[1..<9]),
      let index = readHex(value[10..<14])
    else { return nil }
    return (request, index)
  }

  private static func readHex(_ digits: Slice<UnsafeRawBufferPointer>) -> Int? {
    var number = 0
    for digit in digits {
      switch digit {
      case 48...57: number = number << 4 | Int(digit - 48)
      case 97...102: number = number << 4 | Int(digit - 87)
      default: return nil
      }
    }
    return number
  }
}
