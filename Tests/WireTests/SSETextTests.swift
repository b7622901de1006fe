// Fields of server-sent events, byte for byte.
import Testing

@testable import Wire

@Suite struct SSETextTests {
  @Test func `an event is its fields and a blank line`() {
    let cursor = Cursor(incarnation: 1, place: .shard(0, Offset(5)))
    let text = written { buffer in
      SSEText.writeRetry(after: .seconds(2), into: &buffer)
      SSEText.writeID(cursor, into: &buffer)
      SSEText.endEvent(into: &buffer)
      SSEText.writeComment("hb", into: &buffer)
    }
    #expect(
      text == """
        retry: 2000
        id: \(cursor.encoded())

        : hb

        """)
  }
}
