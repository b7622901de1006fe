// A member's figures for Prometheus: the core's counts, the driver's, and how many members are in which state.
import Engine
import Membership
import Wire

enum MemberMetrics {
  static func samples(_ driver: MemberDriver) -> [MetricSample] {
    let core = driver.core
    return state(core) + packets(core.counters) + doings(core.counters) + sockets(driver.counters)
  }

  private static func state(_ core: Swim) -> [MetricSample] {
    var counts: [Status: Int] = [:]
    for member in core.members { counts[member.status, default: 0] += 1 }
    var samples = Status.allCases.map { status in
      MetricSample(
        "millrace_member_members", .gauge, "Members known, by status; this one too.",
        labels: [("status", "\(status)")], value: Double(counts[status] ?? 0))
    }
    samples += [
      gauge("view_members", "Members of the last view.", core.view?.members.count ?? 0),
      gauge("local_health", "0 in good health, to 8.", core.localHealthScore),
      gauge("queued_rumours", "Rumours that are still being told.", core.queuedRumours),
      MetricSample(
        "millrace_member_round_trip_seconds", .gauge, "Of direct pings, smoothed.",
        value: Double((core.roundTrip ?? .zero).nanoseconds) / 1e9),
    ]
    return samples
  }

  private static func packets(_ counters: SwimCounters) -> [MetricSample] {
    var samples: [MetricSample] = []
    func both(_ name: String, _ help: String, _ received: UInt64, _ sent: UInt64) {
      samples += [("in", received), ("out", sent)].map { direction, count in
        counter(name, help, count, [("direction", direction)])
      }
    }
    both(
      "datagrams", "Datagrams, whatever they held.", counters.datagramsReceived,
      counters.datagramsSent)
    both(
      "datagram_bytes", "Bytes of datagrams, without the headers of UDP and IP.",
      counters.datagramBytesReceived, counters.datagramBytesSent)
    both("frames", "Frames of streams.", counters.framesReceived, counters.framesSent)
    both(
      "frame_bytes", "Bytes of frames.", counters.frameBytesReceived, counters.frameBytesSent)
    both("rumours", "Rumours told.", counters.rumoursReceived, counters.rumoursSent)
    for kind in PacketKind.allCases {
      for (direction, count) in [("in", counters.received[kind]), ("out", counters.sent[kind])] {
        samples.append(
          counter(
            "packets", "Packets understood, and packets sent, by kind.", count,
            [("direction", direction), ("kind", "\(kind)")]))
      }
    }
    samples += PacketRefusal.allCases.map { reason in
      counter(
        "refused_packets", "Packets that changed nothing, by reason.", counters.refused[reason],
        [("reason", "\(reason)")])
    }
    return samples
  }

  private static func doings(_ counters: SwimCounters) -> [MetricSample] {
    EventKind.allCases.map { kind in
      counter("events", "Events told, by kind.", counters.events[kind], [("event", "\(kind)")])
    } + [
      counter("probes", "Probes begun, of all kinds.", counters.probes),
      counter(
        "probes_urgent", "Of these, because of evidence or of a suspicion.",
        counters.probesUrgent),
      counter("probes_of_the_dead", "Pings to members held for dead.", counters.probesOfTheDead),
      counter("probes_failed", "Probes without any answer.", counters.probesFailed),
      counter(
        "probes_helped", "Probes answered only over TCP or by way of others.",
        counters.probesHelped),
      counter("accusations", "Suspicions that this member began.", counters.accusations),
      counter("refutations", "Claims about itself that it refuted.", counters.refutations),
      counter("stalls", "Times that it stood still and noticed.", counters.stalls),
      counter("syncs", "Exchanges of views.", counters.syncs),
      counter("syncs_failed", "Of these, not finished.", counters.syncsFailed),
      counter("lifelines_lost", "Idle connections that ended.", counters.lifelinesLost),
    ]
  }

  private static func sockets(_ counters: DriverCounters) -> [MetricSample] {
    [
      counter("sends_failed", "Datagrams that the system did not take.", counters.sendsFailed),
      counter("refusals", "Datagrams that nothing listened for.", counters.refusals),
      counter("impaired", "Datagrams lost or late on purpose.", counters.impaired),
      counter("timers_late", "Timers more than 100 ms late.", counters.timersLate),
      gauge("streams_open", "Streams, lifelines among them.", counters.streamsOpen),
      counter(
        "streams", "Streams begun, by who opened them.", counters.streamsAccepted,
        [("opener", "other")]),
      counter(
        "streams", "Streams begun, by who opened them.", counters.streamsOpened,
        [("opener", "self")]),
      counter("streams_cut_off", "Streams ended by a limit.", counters.streamsCutOff),
    ]
  }

  private static func counter(
    _ name: String, _ help: String, _ value: UInt64, _ labels: [(name: String, value: String)] = []
  ) -> MetricSample {
    MetricSample(
      "millrace_member_\(name)_total", .counter, help, labels: labels, value: Double(value))
  }

  private static func gauge(_ name: String, _ help: String, _ value: Int) -> MetricSample {
    MetricSample("millrace_member_\(name)", .gauge, help, value: Double(value))
  }
}
