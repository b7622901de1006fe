// A delivered record in its envelope, as JSON text: the one encoder behind pull answers and server-sent messages.
import Engine
import NIOCore
import Wire

/// Writes `{"ack_id":"a…","delivery":1,"deadline":"2026-01-01T00:00:30.000Z","record":{…}}`; the record is as in reads.
/// Never writes CR or LF. For one subscription.
struct MessageText {
  /// What stands before and after each message, and between two.
  struct Form {
    let lead: StaticString
    let separator: StaticString
    let trail: StaticString

    /// Elements of an array.
    static let array = Form(lead: "", separator: ",", trail: "")
    /// Events, each for itself. They have no id: the place is the server's, not the client's.
    static let events = Form(lead: "event: message\ndata: ", separator: "", trail: "\n\n")
  }

  private let salt: UInt64
  private let form: Form
  private let head: [UInt8]
  /// One a shard, made when the shard first comes.
  private var records: [RecordText?] = []
  /// Of the delivery being written: `,"deadline":"…"`, or nothing.
  private var deadline: [UInt8] = []
  /// `","delivery":1,"deadline":"…","record":`, of this count: most messages share it.
  private var middle: (delivery: UInt32, text: [UInt8]) = (0, [])

  /// - Parameter salt: the subscription's incarnation.
  init(_ form: Form, salt: UInt64) {
    self.salt = salt
    self.form = form
    head = form.lead.withUTF8Buffer { Array($0) } + Array("{\"ack_id\":\"".utf8)
  }

  /// About how many bytes `delivery` takes.
  static func bytesHint(_ delivery: Delivery) -> Int {
    delivery.pieces.reduce(160 * delivery.recordCount) { sum, piece in
      let held = max(1, piece.chunk.end.distance(from: piece.chunk.start))
      return sum + piece.chunk.byteCount / held * piece.picks.count
    }
  }

  /// Writes every record of `delivery`, in its order.
  mutating func write(_ delivery: Delivery, into buffer: inout ByteBuffer) {
    prepare(delivery)
    var isFirst = true
    for piece in delivery.pieces {
      var record = recordText(piece.shardIndex)
      var written = 0
      piece.forEachRecord { view, pick in
        if !isFirst { buffer.writeStaticString(form.separator) }
        isFirst = false
        if pick.delivery != middle.delivery { prepare(count: pick.delivery) }
        buffer.writeBytes(head)
        delivery.ackID(pick, in: piece).write(into: &buffer, salt: salt)
        buffer.writeBytes(middle.text)
        record.write(view, into: &buffer)
        buffer.writeInteger(UInt8(ascii: "}"))
        buffer.writeStaticString(form.trail)
        written += 1
        return true
      }
      precondition(written == piece.picks.count, "a chunk lacks records that were picked from it")
      records[piece.shardIndex] = record
    }
  }

  private mutating func recordText(_ shard: Int) -> RecordText {
    if shard >= records.count {
      records.append(contentsOf: repeatElement(nil, count: shard + 1 - records.count))
    }
    defer { records[shard] = nil }
    return records[shard] ?? RecordText(shard: shard)
  }

  private mutating func prepare(_ delivery: Delivery) {
    guard let time = delivery.deadline else {
      deadline = []
      return prepare(count: 1)
    }
    var text = ByteBuffer()
    text.writeStaticString(",\"deadline\":\"")
    RFC3339.write(time, into: &text)
    text.writeStaticString("\"")
    deadline = Array(text.readableBytesView)
    prepare(count: 1)
  }

  private mutating func prepare(count: UInt32) {
    middle = (
      count, Array("\",\"delivery\":\(count)".utf8) + deadline + Array(",\"record\":".utf8)
    )
  }
}
