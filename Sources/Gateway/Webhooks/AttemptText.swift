// Attempts and the state of a webhook as JSON.
import NIOCore
import Wire

/// How a webhook is doing.
struct WebhookStatus: Sendable {
  var circuit: Circuit.State
  var concurrency: Int
  var inFlight: Int
  var consecutiveFailures: Int
  /// Nothing begins before.
  var heldUntil: Timestamp?
  var lastSuccessAt: Timestamp?
  var lastFailure: WebhookAttempt?
}

enum WebhookStatusText {
  /// Writes `{"circuit":"closed","concurrency":4,"in_flight":3,"consecutive_failures":0,…}`.
  static func write(_ status: WebhookStatus, into buffer: inout ByteBuffer) {
    buffer.writeString(
      "{\"circuit\":\"\(status.circuit.rawValue)\",\"concurrency\":\(status.concurrency)"
        + ",\"in_flight\":\(status.inFlight)"
        + ",\"consecutive_failures\":\(status.consecutiveFailures)")
    AttemptText.write("held_until", status.heldUntil, into: &buffer)
    AttemptText.write("last_success_at", status.lastSuccessAt, into: &buffer)
    if let failure = status.lastFailure {
      buffer.writeString(",\"last_error\":{\"at\":\"")
      RFC3339.write(failure.startedAt, into: &buffer)
      buffer.writeString("\"")
      if let status = failure.httpStatus { buffer.writeString(",\"http_status\":\(status)") }
      buffer.writeString(",\"error\":")
      JSONText.writeEscapedString(failure.error ?? "", into: &buffer)
      buffer.writeString("}")
    }
    buffer.writeString("}")
  }
}

enum AttemptText {
  /// - Parameter epoch: of the server's life; serials begin anew with each.
  static func write(
    _ attempt: WebhookAttempt, epoch: UInt64, into buffer: inout ByteBuffer
  ) {
    buffer.writeString(
      "{\"id\":\"\(id(attempt.serial, epoch: epoch))\",\"cause\":\"\(attempt.cause.rawValue)\""
        + ",\"status\":\"\(attempt.status.rawValue)\",\"webhook_id\":\"\(attempt.webhookID)\"")
    buffer.writeString(",\"records\":[")
    for (place, records) in attempt.records.enumerated() {
      buffer.writeString("\(place > 0 ? "," : ""){\"shard\":\(records.shard),\"offsets\":[")
      for (place, offset) in records.offsets.enumerated() {
        if place > 0 { buffer.writeString(",") }
        JSONText.writeDecimalString(offset.rawValue, into: &buffer)
      }
      buffer.writeString("]}")
    }
    buffer.writeString("],\"delivery\":\(attempt.delivery),\"started_at\":\"")
    RFC3339.write(attempt.startedAt, into: &buffer)
    // Rounded up: nothing takes no time.
    let latency = attempt.latency + .microseconds(999)
    buffer.writeString("\",\"latency\":\"\(latency.milliseconds)ms\"")
    if let status = attempt.httpStatus { buffer.writeString(",\"http_status\":\(status)") }
    if let error = attempt.error {
      buffer.writeString(",\"error\":")
      JSONText.writeEscapedString(error, into: &buffer)
    }
    if let answer = attempt.answer {
      writeAnswer(answer, into: &buffer)
      if attempt.isCut { buffer.writeString(",\"answer_cut\":true") }
    }
    write("next_attempt", attempt.nextAttemptAt, into: &buffer)
    buffer.writeString("}")
  }

  /// As text if it is UTF-8 as far as it goes, but for a character cut off at the end.
  private static func writeAnswer(_ answer: ByteBuffer, into buffer: inout ByteBuffer) {
    answer.withUnsafeReadableBytes { bytes in
      for cut in 0...min(3, bytes.count) {
        let kept = UnsafeRawBufferPointer(rebasing: bytes[..<(bytes.count - cut)])
        guard FieldText.isUTF8(kept) else { continue }
        buffer.writeString(",\"answer\":")
        return JSONText.writeEscapedString(kept, into: &buffer)
      }
      buffer.writeString(",\"answer_base64\":\"")
      Base64.encode(bytes, into: &buffer)
      buffer.writeString("\"")
    }
  }

  static func write(
    _ name: StaticString, _ time: Timestamp?, into buffer: inout ByteBuffer
  ) {
    guard let time else { return }
    buffer.writeString(",\"\(name)\":\"")
    RFC3339.write(time, into: &buffer)
    buffer.writeString("\"")
  }

  static func id(_ serial: UInt64, epoch: UInt64) -> String { "\(epoch)-\(serial)" }

  /// The serial in an id of this life of the server; nil for any other text.
  static func serial(_ id: String, epoch: UInt64) -> UInt64? {
    let prefix = "\(epoch)-"
    guard id.hasPrefix(prefix) else { return nil }
    return UInt64(decimal: id.dropFirst(prefix.count))
  }
}
