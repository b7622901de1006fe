// What the gateway counts: requests by route and status, and how long appends take. A fixed grid for each event loop.
import Engine
import NIOCore
import Synchronization
import Wire

/// The forms of answers that do not end by themselves.
enum LiveForm: String, CaseIterable, Sendable { case sse, ndjson, poll, messages, pull }

/// Counters of one event loop: written there, read by whoever answers `/metrics`. The lock is hardly ever contended.
final class LoopMetrics: Sendable {
  struct Counts {
    /// By route (the last is "none"), then by place in `statuses`.
    var answers: [Int]
    var appendLatency = LatencyHistogram()
    var recordsRead = 0
    /// Open now, by form.
    var liveReaders = [LiveForm: Int]()
  }

  /// Every status the gateway gives, and 0 for any other.
  static let statuses: [Int] =
    [0] + Set([200, 201, 204, 304] + ProblemCode.allCases.map(\.row.status)).sorted()
  private static let places: [UInt8] = {
    var places = [UInt8](repeating: 0, count: 600)
    for (place, status) in statuses.enumerated() { places[status] = UInt8(place) }
    return places
  }()

  private let routeCount: Int
  private let counts: Mutex<Counts>

  init(routeCount: Int) {
    self.routeCount = routeCount
    counts = Mutex(
      Counts(answers: [Int](repeating: 0, count: (routeCount + 1) * Self.statuses.count)))
  }

  func count(route: Int?, status: Int) {
    let place = Int(Self.places[min(status, Self.places.count - 1)])
    let cell = (route ?? routeCount) * Self.statuses.count + place
    counts.withLock { $0.answers[cell] += 1 }
  }

  func countAppend(took duration: Duration) {
    counts.withLock { $0.appendLatency.record(duration) }
  }

  func countRead(records: Int) { counts.withLock { $0.recordsRead += records } }

  func countLive(_ form: LiveForm, _ change: Int) {
    counts.withLock { $0.liveReaders[form, default: 0] += change }
  }

  func read() -> Counts { counts.withLock { $0 } }
}

/// The counters of all event loops.
final class GatewayMetrics: Sendable {
  private let routes: [Route]
  private let loops = Mutex<[LoopMetrics]>([])

  init(routes: [Route]) { self.routes = routes }

  func makeLoop() -> LoopMetrics {
    let loop = LoopMetrics(routeCount: routes.count)
    loops.withLock { $0.append(loop) }
    return loop
  }

  /// Prometheus text (exposition format 0.0.4) of the gateway's own counters, then of `others`.
  func write(_ others: [MetricSample], into buffer: inout ByteBuffer) {
    let all = loops.withLock { $0 }.map { $0.read() }
    buffer.writeString(
      "# HELP millrace_http_requests_total Answers by operation and status.\n"
        + "# TYPE millrace_http_requests_total counter\n")
    let width = LoopMetrics.statuses.count
    for route in 0...routes.count {
      let operation = route < routes.count ? routes[route].operation : "none"
      for place in 0..<width {
        let count = all.reduce(0) { $0 + $1.answers[route * width + place] }
        if count == 0 { continue }
        buffer.writeString(
          "millrace_http_requests_total{operation=\"\(operation)\","
            + "status=\"\(LoopMetrics.statuses[place])\"} \(count)\n")
      }
    }
    var appends = LatencyHistogram()
    for counts in all { appends.add(counts.appendLatency) }
    let ownSamples =
      [
        MetricSample(
          "millrace_append_duration_seconds", "From a whole request to its durable answer.",
          appends),
        MetricSample(
          "millrace_records_read_total", .counter, "Records given to readers.",
          value: Double(all.reduce(0) { $0 + $1.recordsRead })),
      ]
      + LiveForm.allCases.map { form in
        MetricSample(
          "millrace_live_readers", .gauge, "Answers that wait for records, by form.",
          labels: [("form", form.rawValue)],
          value: Double(all.reduce(0) { $0 + ($1.liveReaders[form] ?? 0) }))
      }
    PrometheusText.write(ownSamples + others, into: &buffer)
  }
}
