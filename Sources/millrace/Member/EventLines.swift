// What happens among the members, a JSON object a line.
import Membership
import NIOCore
import Wire

enum EventLines {
  /// With its line end. `own` is the member that tells it.
  static func line(_ event: Event, own: MemberID, at time: Timestamp) -> ByteBuffer {
    var line = ByteBuffer()
    line.reserveCapacity(256)
    switch event {
    case .joined(let member): write("joined", member, time, into: &line)
    case .suspected(let member, let accuser):
      write("suspected", member, time, into: &line)
      if let accuser { line.writeString(",\"by\":\"\(accuser)\"") }
    case .refuted(let member): write("refuted", member, time, into: &line)
    case .died(let member): write("died", member, time, into: &line)
    case .left(let member): write("left", member, time, into: &line)
    case .updated(let member): write("updated", member, time, into: &line)
    case .view(let view):
      line.writeString("{\"event\":\"view\"")
      write(time, into: &line)
      line.writeString(",")
      write(view, into: &line)
    case .superseded(let claim, let endpoint):
      line.writeString("{\"event\":\"superseded\",\"member\":\"\(own)\"")
      write(time, into: &line)
      line.writeString(
        ",\"by\":{\"generation\":\(claim.generation),\"incarnation\":\(claim.incarnation),"
          + "\"address\":\"\(endpoint)\"}")
    }
    line.writeString("}\n")
    return line
  }

  /// That a reader was too slow for so many lines.
  static func lost(_ count: Int, at time: Timestamp) -> ByteBuffer {
    var line = ByteBuffer(string: "{\"event\":\"lost\"")
    write(time, into: &line)
    line.writeString(",\"count\":\(count)}\n")
    return line
  }

  /// `"id":"…","members":[…]`
  static func write(_ view: View, into buffer: inout ByteBuffer) {
    let digits = String(view.id, radix: 16)
    buffer.writeString("\"id\":\"\(String(repeating: "0", count: 16 - digits.count))\(digits)\"")
    buffer.writeString(",\"members\":[")
    for (index, member) in view.members.enumerated() {
      if index > 0 { buffer.writeString(",") }
      buffer.writeString("\"\(member)\"")
    }
    buffer.writeString("]")
  }

  private static func write(
    _ event: String, _ member: Member, _ time: Timestamp, into line: inout ByteBuffer
  ) {
    line.writeString("{\"event\":\"\(event)\",\"member\":\"\(member.id)\"")
    write(time, into: &line)
    line.writeString(
      ",\"generation\":\(member.claim.generation),\"incarnation\":\(member.claim.incarnation),"
        + "\"address\":\"\(member.endpoint)\",\"metadata\":")
    member.profile.metadata.writeJSON(into: &line)
  }

  private static func write(_ time: Timestamp, into line: inout ByteBuffer) {
    line.writeString(",\"at\":\"")
    RFC3339.write(time, into: &line)
    line.writeString("\"")
  }
}
