// Fields of server-sent events, byte for byte.
import Testing

@testable import Wire

@Suite struct SSETextTests {
  @Test func `an event is its fields and a blank line`() {
    let cursor = Cursor(incarnation: 1, place: .shard(0, Offset(5)))
    let text = written { buffer in
      SSEText.writeEvent("record", into: &buffer)
      SSEText.beginData(into: &buffer)
      buffer.writeString("{\"a\":1}")
      SSEText.endLine(into: &buffer)
      SSEText.writeRetry(milliseconds: 2000, into: &buffer)
      SSEText.writeID(cursor, into: &buffer)
      SSEText.endEvent(into: &buffer)
      SSEText.writeComment("hb", into: &buffer)
    }
    #expect(
      text == """
        event: record
        data: {"a":1}
        retry: 2000
        id: \(cursor.encoded())

        : hb

        """)
  }

  @Test(arguments: [
    ("", "data: \n"), ("a", "data: a\n"), ("a\nb", "data: a\ndata: b\n"),
    ("a\r\nb\rc\n", "data: a\ndata: b\ndata: c\ndata: \n"), ("\n", "data: \ndata: \n"),
    ("a\n\rb", "data: a\ndata: \ndata: b\n"), ("\r", "data: \ndata: \n"),
  ])
  func `data is cut into lines`(text: String, fields: String) {
    #expect(written { SSEText.writeData(text, into: &$0) } == fields)
  }
}
