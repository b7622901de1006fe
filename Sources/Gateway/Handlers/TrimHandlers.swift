// Trims: records below an offset or a time are dropped, of one shard or of all.
import Engine
import NIOCore
import Wire

enum TrimHandlers {
  /// What `before` says.
  private enum Place {
    case offset(Offset)
    case time(Timestamp)
    case tail
  }

  /// `POST /v1/streams/{stream}:trim {"before":"@2026-01-01T00:00:00Z"}`.
  static func trimStream(_ request: Request) throws(Problem) {
    _ = try request.query([])
    let stream = try request.stream()
    let place = try place(request, takesOffset: false)
    let join = Confined(TrimJoin(request, stream), to: request.executor)
    for shard in stream.shards {
      trim(shard, place, request) { join.value.receive($0, of: shard) }
    }
  }

  /// `POST /v1/streams/{stream}/shards/{shard}:trim {"before":"500"}`.
  static func trimShard(_ request: Request) throws(Problem) {
    _ = try request.query([])
    let stream = try request.stream()
    let shard = try request.shard(of: stream)
    let place = try place(request, takesOffset: true)
    if case .offset(let offset) = place, offset > shard.tail {
      throw Problem(
        .beyondTail, "The shard's tail is \(shard.tail).",
        facts: [("tail", .text(shard.tail.description))])
    }
    let confined = request.confined
    trim(shard, place, request) {
      switch $0 {
      case .success(let earliest):
        confined.value.respondJSON { write(shard, earliest, into: &$0) }
      case .failure(let problem): confined.value.fail(problem)
      }
    }
  }

  private static func place(_ request: Request, takesOffset: Bool) throws(Problem) -> Place {
    let forms = takesOffset ? "an offset, @TIME or tail" : "@TIME or tail"
    guard let body = try request.jsonBody(),
      let text = try JSONFields(body, known: ["before"]).text("before")
    else {
      throw Problem(
        .missingField, "A trim says before: \(forms).", facts: [("pointer", .text("/before"))])
    }
    if text == "tail" { return .tail }
    if text.hasPrefix("@"), let time = RFC3339.parse(String(text.dropFirst())) {
      return .time(time)
    }
    if takesOffset, let offset = UInt64(decimal: text) { return .offset(Offset(offset)) }
    throw JSONFields.badValue("/before", "it is \(forms), such as \"@2026-01-01T00:00:00Z\".")
  }

  private static func trim(
    _ shard: Shard, _ place: Place, _ request: Request,
    reply: @escaping @Sendable (Result<Offset, Problem>) -> Void
  ) {
    let executor = request.executor
    let engine = request.engine
    @Sendable func trim(before offset: Offset) {
      engine.trim(shard, before: offset, on: executor) { reply($0.mapError { Problem($0) }) }
    }
    switch place {
    case .offset(let offset): trim(before: offset)
    case .tail: trim(before: shard.tail)
    case .time(let time):
      engine.find(time, in: shard, on: executor) {
        switch $0 {
        case .success(let offset): trim(before: offset)
        case .failure(let error): reply(.failure(Problem(error)))
        }
      }
    }
  }

  static func write(_ shard: Shard, _ earliest: Offset, into buffer: inout ByteBuffer) {
    buffer.writeString("{\"shard\":\(shard.index),\"earliest\":\"\(earliest)\"}")
  }
}

/// Waits for all shards of a trimmed stream.
final class TrimJoin {
  private let request: Request
  private let stream: Stream
  private var earliest: [Offset?]
  private var missing: Int
  private var problem: Problem?

  init(_ request: Request, _ stream: Stream) {
    self.request = request
    earliest = Array(repeating: nil, count: stream.shards.count)
    missing = stream.shards.count
    self.stream = stream
  }

  func receive(_ result: Result<Offset, Problem>, of shard: Shard) {
    switch result {
    case .success(let offset): earliest[shard.index] = offset
    case .failure(let failure): problem = failure
    }
    missing -= 1
    guard missing == 0 else { return }
    let done = stream.shards.filter { earliest[$0.index] != nil }
    if var problem {
      if !done.isEmpty {
        problem = Problem(
          .partlyApplied,
          "\(done.count) of \(stream.shards.count) shards were trimmed; trim again. "
            + problem.detail,
          applied: .maybe)
      }
      return request.fail(problem)
    }
    request.respondJSON(bytesHint: 48 * done.count + 32) { buffer in
      buffer.writeString("{\"items\":[")
      for (place, shard) in done.enumerated() {
        if place > 0 { buffer.writeString(",") }
        TrimHandlers.write(shard, earliest[shard.index]!, into: &buffer)
      }
      buffer.writeString("]}")
    }
  }
}
