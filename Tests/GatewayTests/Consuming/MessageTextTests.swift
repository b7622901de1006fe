// Delivered records as text: each in its envelope, in the order of the delivery, from whatever frames they lie in.
import Engine
import NIOCore
import Testing
import Wire

@testable import Gateway

private let salt: UInt64 = 5
private let lease = LeaseID(serial: 40, epoch: 3)

/// Frames of these many records from `start` on; record n is n.
private func chunk(_ counts: [Int], from start: UInt64) -> FrameChunk {
  var next = start
  let frames = counts.map { count in
    var builder = FrameBuilder(valuesBytesHint: 64)
    for number in next..<(next + UInt64(count)) {
      Array("\(number)".utf8).withUnsafeBytes { builder.appendPlain($0) }
    }
    defer { next += UInt64(count) }
    return builder.finish().seal(
      shard: ShardID(1), baseOffset: Offset(next), epoch: Epoch(1),
      timestamp: Timestamp(milliseconds: 1_767_225_600_000))
  }
  return FrameChunk(frames)
}

private func piece(
  _ chunk: FrameChunk, shard: Int, track: UInt32, _ offsets: [UInt64], delivery: UInt32 = 1
) -> Delivery.Piece {
  Delivery.Piece(
    track: track, shardIndex: shard, chunk: chunk,
    picks: offsets.map { Delivery.Pick(offset: Offset($0), delivery: delivery) })
}

private func text(_ pieces: [Delivery.Piece], deadline: Int64? = 1_767_225_630_000) -> [String] {
  let delivery = Delivery(
    lease: lease, pieces: pieces, recordCount: pieces.reduce(0) { $0 + $1.picks.count },
    deadline: deadline.map { Timestamp(milliseconds: $0) }, isUnit: false)
  var buffer = ByteBuffer()
  var text = MessageText(.events, salt: salt)
  text.write(delivery, into: &buffer)
  // Twice by one writer is twice the same: nothing is left over from the first.
  var again = ByteBuffer()
  text.write(delivery, into: &again)
  #expect(buffer == again)
  return String(buffer: buffer).split(separator: "\n\n").map { event in
    #expect(event.hasPrefix("event: message\ndata: {"))
    return String(event.dropFirst("event: message\ndata: ".count))
  }
}

private func message(
  _ offset: UInt64, shard: Int, track: UInt32, delivery: Int = 1,
  deadline: String = ",\"deadline\":\"2026-01-01T00:00:30.000Z\""
) -> String {
  let id = AckID(track: track, offset: Offset(offset), lease: 40, epoch: 3).encoded(salt: salt)
  return "{\"ack_id\":\"\(id)\",\"delivery\":\(delivery)\(deadline),\"record\":{\"shard\":\(shard),"
    + "\"offset\":\"\(offset)\",\"timestamp\":\"2026-01-01T00:00:00.000Z\",\"value\":\(offset)}}"
}

struct MessageTextTests {
  @Test func `a message is an envelope with the record as reads give it`() {
    #expect(
      text([piece(chunk([1], from: 7), shard: 2, track: 2, [7])]) == [
        message(7, shard: 2, track: 2)
      ])
  }

  @Test func `only the records that were picked, over frames, shards and tracks`() {
    let found = text([
      piece(chunk([3, 4, 2], from: 10), shard: 0, track: 0, [11, 13, 16, 18]),
      piece(chunk([2], from: 0), shard: 3, track: 3, [0, 1]),
      piece(chunk([5], from: 2), shard: 0, track: 9, [2]),
    ])
    #expect(
      found
        == [11, 13, 16, 18].map { message($0, shard: 0, track: 0) }
        + [0, 1].map { message($0, shard: 3, track: 3) } + [message(2, shard: 0, track: 9)])
  }

  @Test func `each has its own count of deliveries`() {
    let whole = chunk([4], from: 0)
    let found = text([
      piece(whole, shard: 0, track: 0, [0]),
      piece(whole, shard: 0, track: 0, [1, 2], delivery: 16),
      piece(whole, shard: 0, track: 0, [3]),
    ])
    #expect(
      found == [
        message(0, shard: 0, track: 0), message(1, shard: 0, track: 0, delivery: 16),
        message(2, shard: 0, track: 0, delivery: 16), message(3, shard: 0, track: 0),
      ])
  }

  @Test func `without a deadline there is none`() {
    #expect(
      text([piece(chunk([1], from: 0), shard: 0, track: 0, [0])], deadline: nil)
        == [message(0, shard: 0, track: 0, deadline: "")])
  }

  @Test func `the parts of an array have commas between them`() throws {
    let delivery = Delivery(
      lease: lease, pieces: [piece(chunk([2, 1], from: 0), shard: 0, track: 0, [0, 1, 2])],
      recordCount: 3, deadline: nil, isUnit: false)
    var buffer = ByteBuffer(string: "[")
    var text = MessageText(.array, salt: salt)
    text.write(delivery, into: &buffer)
    buffer.writeString("]")
    let array = try JSONValue.parse(buffer)
    #expect((0..<3).map { array[$0]?["record"]?["value"]?.asInteger } == [0, 1, 2])
    #expect(buffer.readableBytes <= MessageText.bytesHint(delivery) + 64)
  }
}
