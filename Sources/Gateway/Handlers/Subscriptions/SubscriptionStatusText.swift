// What is seen of a subscription at work, as JSON: the status beside its settings, its consumers, what is in flight.
import Engine
import NIOCore
import Wire

enum SubscriptionStatusText {
  static func write(_ backlog: Backlog, into buffer: inout ByteBuffer) {
    buffer.writeStaticString("{\"records\":")
    writeCount(backlog.records, into: &buffer)
    buffer.writeStaticString(",\"oldest_age\":")
    if let age = backlog.oldestAge {
      // For people: whole seconds are enough once there are some.
      let shown = age < .seconds(1) ? age : .seconds(age.components.seconds)
      buffer.writeString("\"\(DurationText.format(shown))\"}")
    } else {
      buffer.writeStaticString("null}")
    }
  }

  static func write(_ status: SubscriptionStatus, into buffer: inout ByteBuffer) {
    buffer.writeStaticString("{\"backlog\":")
    write(status.backlog, into: &buffer)
    buffer.writeString(",\"in_flight\":\(status.inFlight),\"consumers\":\(status.consumers)")
    buffer.writeStaticString(",\"blocked_by\":")
    write(status.blockedBy, into: &buffer)
    buffer.writeStaticString(",\"counts\":")
    write(status.counts, into: &buffer)
    buffer.writeStaticString(",\"shards\":[")
    writeList(status.shards, into: &buffer) { place, buffer in
      buffer.writeString("{\"shard\":\(place.shard),\"floor\":\"\(place.floor)\"")
      buffer.writeString(",\"tail\":\"\(place.tail)\",\"settled_above\":")
      writeCount(place.settledAbove, into: &buffer)
      buffer.writeStaticString("}")
    }
    buffer.writeStaticString("],\"gaps\":[")
    writeList(status.gaps, into: &buffer, writeGap)
    buffer.writeStaticString("],\"replays\":[")
    writeList(status.replays, into: &buffer, write)
    buffer.writeStaticString("]}")
  }

  private static func write(
    _ block: SubscriptionStatus.Block?, into buffer: inout ByteBuffer
  ) {
    switch block {
    case nil: buffer.writeStaticString("null")
    case .window(let records):
      let detail = "\(records) records lie between the floor and the newest delivered one."
      writeBlock("window", detail, into: &buffer)
    case .deadLetter(let reason): writeBlock("dead_letter", reason, into: &buffer)
    case .journal(let reason): writeBlock("journal", reason, into: &buffer)
    case .log(let reason): writeBlock("log", reason, into: &buffer)
    }
  }

  private static func writeBlock(
    _ reason: StaticString, _ detail: String, into buffer: inout ByteBuffer
  ) {
    buffer.writeStaticString("{\"reason\":\"")
    buffer.writeStaticString(reason)
    buffer.writeStaticString("\",\"detail\":")
    JSONText.writeEscapedString(detail, into: &buffer)
    buffer.writeStaticString("}")
  }

  private static func write(_ counts: SubscriptionCounts, into buffer: inout ByteBuffer) {
    let named: KeyValuePairs = [
      "acked": counts.acked, "redeliveries": counts.redeliveries,
      "dead_letters": counts.deadLetters, "dropped": counts.dropped, "missed": counts.missed,
    ]
    buffer.writeStaticString("{")
    writeList(named, into: &buffer) { pair, buffer in
      buffer.writeString("\"\(pair.key)\":\"\(pair.value)\"")
    }
    buffer.writeStaticString("}")
  }

  private static func writeGap(_ gap: SubscriptionStatus.Gap, into buffer: inout ByteBuffer) {
    buffer.writeString("{\"shard\":\(gap.shard),\"from\":\"\(gap.offsets.lowerBound)\"")
    buffer.writeString(",\"to\":\"\(gap.offsets.upperBound)\",\"reason\":\"\(gap.reason)\"}")
  }

  static func write(_ replay: SubscriptionStatus.Replay, into buffer: inout ByteBuffer) {
    buffer.writeString("{\"id\":\"\(replay.id)\",\"shard\":\(replay.shard)")
    buffer.writeString(",\"only\":\"\(replay.only.rawValue)\",\"place\":\"\(replay.place)\"")
    buffer.writeString(",\"end\":\"\(replay.end)\",\"left\":")
    writeCount(replay.left, into: &buffer)
    buffer.writeStaticString("}")
  }

  // MARK: Items of lists

  static func write(_ consumer: ConsumerInfo, into buffer: inout ByteBuffer) {
    buffer.writeStaticString("{\"consumer\":")
    JSONText.writeEscapedString(consumer.name, into: &buffer)
    buffer.writeString(",\"kind\":\"\(consumer.kind.rawValue)\"")
    buffer.writeString(",\"in_flight\":\(consumer.inFlight),\"waiting\":\(consumer.isWaiting)")
    buffer.writeString(",\"max_in_flight\":\(consumer.share.map(String.init) ?? "null")")
    buffer.writeStaticString(",\"since\":\"")
    RFC3339.write(consumer.since, into: &buffer)
    buffer.writeStaticString("\",\"last_seen\":\"")
    RFC3339.write(consumer.lastSeen, into: &buffer)
    buffer.writeStaticString("\"}")
  }

  static func write(
    _ record: MessageInFlight, salt: UInt64, into buffer: inout ByteBuffer
  ) {
    buffer.writeStaticString("{\"ack_id\":\"")
    record.ackID.write(into: &buffer, salt: salt)
    buffer.writeString("\",\"shard\":\(record.shard),\"offset\":\"\(record.offset)\"")
    buffer.writeString(",\"delivery\":\(record.delivery),\"consumer\":")
    JSONText.writeEscapedString(record.consumer, into: &buffer)
    buffer.writeStaticString(",\"deadline\":")
    if let deadline = record.deadline {
      buffer.writeStaticString("\"")
      RFC3339.write(deadline, into: &buffer)
      buffer.writeStaticString("\"}")
    } else {
      buffer.writeStaticString("null}")
    }
  }

  static func write(
    _ letter: DeadLetter, into buffer: inout ByteBuffer
  ) {
    buffer.writeString("{\"shard\":\(letter.shard),\"offset\":\"\(letter.offset)\"")
    buffer.writeString(",\"deliveries\":\(letter.deliveries),\"reason\":")
    JSONText.writeEscapedString(letter.reason, into: &buffer)
    buffer.writeStaticString(",\"at\":\"")
    RFC3339.write(letter.at, into: &buffer)
    buffer.writeStaticString("\",\"place\":")
    if let place = letter.place {
      buffer.writeString("{\"shard\":\(place.shard),\"offset\":\"\(place.offset)\"}}")
    } else {
      buffer.writeStaticString("null}")
    }
  }

  // MARK: Pieces

  private static func writeCount(_ count: Int, into buffer: inout ByteBuffer) {
    JSONText.writeDecimalString(UInt64(max(0, count)), into: &buffer)
  }

  static func writeList<Items: Sequence>(
    _ items: Items, into buffer: inout ByteBuffer,
    _ write: (Items.Element, inout ByteBuffer) -> Void
  ) {
    var isFirst = true
    for item in items {
      if !isFirst { buffer.writeStaticString(",") }
      isFirst = false
      write(item, &buffer)
    }
  }
}

extension SubscriptionSpec.State {
  /// As clients see it.
  var word: StaticString {
    switch self {
    case .active: "active"
    case .paused: "paused"
    case .disabled: "disabled"
    }
  }
}
