// Server-sent events as text (WHATWG HTML, section 9.2): fields of an event, each a line; LF only.
import NIOCore

/// Writers of single fields. An event is its fields and then `endEvent`; what holds CR or LF cannot be a field of one
/// line and traps, but for data, which is cut into lines.
public enum SSEText {
  public static func writeEvent(_ name: StaticString, into buffer: inout ByteBuffer) {
    buffer.writeStaticString("event: ")
    buffer.writeStaticString(name)
    buffer.writeInteger(lineFeed)
  }

  /// A field of data a line of `text`; CR, LF and CRLF each end a line.
  public static func writeData(_ text: UnsafeRawBufferPointer, into buffer: inout ByteBuffer) {
    var rest = text[...]
    while true {
      buffer.writeStaticString("data: ")
      guard let end = rest.firstIndex(where: { $0 == lineFeed || $0 == carriageReturn }) else {
        buffer.writeBytes(rest)
        buffer.writeInteger(lineFeed)
        return
      }
      buffer.writeBytes(rest[..<end])
      buffer.writeInteger(lineFeed)
      let isPair = rest[end] == carriageReturn && rest[(end + 1)...].first == lineFeed
      rest = rest[(end + (isPair ? 2 : 1))...]
    }
  }

  public static func writeData(_ text: String, into buffer: inout ByteBuffer) {
    var text = text
    text.withUTF8 { writeData(UnsafeRawBufferPointer($0), into: &buffer) }
  }

  /// Starts a field of data that the caller writes: one line, closed with `endLine`.
  @inline(__always)
  public static func beginData(into buffer: inout ByteBuffer) {
    buffer.writeStaticString("data: ")
  }

  @inline(__always)
  public static func endLine(into buffer: inout ByteBuffer) { buffer.writeInteger(lineFeed) }

  public static func writeID(_ cursor: Cursor, into buffer: inout ByteBuffer) {
    buffer.writeStaticString("id: ")
    cursor.write(into: &buffer)
    buffer.writeInteger(lineFeed)
  }

  public static func writeID(_ id: String, into buffer: inout ByteBuffer) {
    precondition(!id.utf8.contains { $0 == lineFeed || $0 == carriageReturn || $0 == 0 })
    buffer.writeStaticString("id: ")
    buffer.writeString(id)
    buffer.writeInteger(lineFeed)
  }

  /// How long a client waits before it connects again.
  public static func writeRetry(milliseconds: Int, into buffer: inout ByteBuffer) {
    precondition(milliseconds >= 0)
    buffer.writeStaticString("retry: ")
    JSONText.writeDecimal(UInt64(milliseconds), into: &buffer)
    buffer.writeInteger(lineFeed)
  }

  /// A line that clients pass over: `: hb`.
  public static func writeComment(_ text: StaticString, into buffer: inout ByteBuffer) {
    buffer.writeStaticString(": ")
    buffer.writeStaticString(text)
    buffer.writeInteger(lineFeed)
  }

  /// The blank line that hands the event to the client.
  @inline(__always)
  public static func endEvent(into buffer: inout ByteBuffer) { buffer.writeInteger(lineFeed) }

  private static var lineFeed: UInt8 { 0x0a }
  private static var carriageReturn: UInt8 { 0x0d }
}
