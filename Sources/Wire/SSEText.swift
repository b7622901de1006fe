// Server-sent events as text (WHATWG HTML, section 9.2): the fields that every event has, each a line; LF only.
import NIOCore

/// Writers of single fields. An event is its fields and then `endEvent`.
public enum SSEText {
  public static func writeID(_ cursor: Cursor, into buffer: inout ByteBuffer) {
    buffer.writeStaticString("id: ")
    cursor.write(into: &buffer)
    buffer.writeInteger(lineFeed)
  }

  /// How long a client waits before it connects again.
  public static func writeRetry(after delay: Duration, into buffer: inout ByteBuffer) {
    precondition(delay >= .zero)
    buffer.writeStaticString("retry: ")
    JSONText.writeDecimal(UInt64(delay.milliseconds), into: &buffer)
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
}
