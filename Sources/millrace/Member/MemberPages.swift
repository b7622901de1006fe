// What a running member shows over HTTP: /members for people and scripts, /metrics for Prometheus.
import Engine
import Gateway
import Membership
import NIOCore
import Wire

enum MemberPages {
  static func make(for driver: MemberDriver, loopbackHostsOnly: Bool) -> StatusPages {
    let pages = StatusPages(loopbackHostsOnly: loopbackHostsOnly)
    pages.add("/members", contentType: "application/json") { [unowned driver] in
      writeMembers(driver.core, monotonic: MemberDriver.now, wall: SystemTime().now, into: &$0)
    }
    pages.add("/metrics", contentType: PrometheusText.contentType) { [unowned driver] in
      PrometheusText.write(MemberMetrics.samples(driver) + ProcessMetrics.samples, into: &$0)
    }
    return pages
  }

  static func writeMembers(
    _ core: Swim, monotonic: Instant, wall: Timestamp, into buffer: inout ByteBuffer
  ) {
    buffer.writeString("{\"self\":\"\(core.id)\",\"local_health\":\(core.localHealthScore)")
    buffer.writeString(",\"view\":")
    if let view = core.view {
      buffer.writeString("{")
      EventLines.write(view, into: &buffer)
      buffer.writeString("}")
    } else {
      buffer.writeString("null")
    }
    buffer.writeString(",\"members\":[")
    for (index, member) in core.members.sorted(by: { $0.id < $1.id }).enumerated() {
      buffer.writeString(index > 0 ? ",\n" : "\n")
      buffer.writeString(
        "{\"id\":\"\(member.id)\",\"status\":\"\(member.status)\""
          + ",\"address\":\"\(member.endpoint)\",\"generation\":\(member.claim.generation)"
          + ",\"incarnation\":\(member.claim.incarnation),\"since\":\"")
      let age = (monotonic - member.since).milliseconds
      RFC3339.write(Timestamp(milliseconds: wall.milliseconds - age), into: &buffer)
      buffer.writeString("\",\"metadata\":")
      member.profile.metadata.writeJSON(into: &buffer)
      let keys = member.profile.keys.map { "\"\($0)\"" }.joined(separator: ",")
      buffer.writeString(",\"keys\":[\(keys)]}")
    }
    buffer.writeString("\n]}\n")
  }
}
