// Log lines on standard error: one event a line, for people or for machines.
import Engine
import Glibc
import Logging
import NIOCore
import Wire

/// Writes each event as one line with one `write(2)`, so that lines of several threads never mix.
struct LineLogHandler: LogHandler {
  let format: LogFormat
  let clock: any TimeSource
  let label: String
  var logLevel: Logger.Level
  var metadata: Logger.Metadata = [:]
  var metadataProvider: Logger.MetadataProvider?

  subscript(metadataKey key: String) -> Logger.Metadata.Value? {
    get { metadata[key] }
    set { metadata[key] = newValue }
  }

  func log(event: LogEvent) {
    let line = line(for: event, at: clock.now)
    line.withUnsafeReadableBytes { bytes in
      // A log that cannot be written has nobody left to tell.
      _ = write(STDERR_FILENO, bytes.baseAddress, bytes.count)
    }
  }

  func line(for event: LogEvent, at time: Timestamp) -> ByteBuffer {
    var fields = metadata
    if let provided = metadataProvider?.get() { fields.merge(provided) { $1 } }
    if let own = event.metadata { fields.merge(own) { $1 } }
    if let error = event.error { fields["error"] = "\(error)" }
    let sorted = fields.sorted { $0.key < $1.key }
    var line = ByteBuffer()
    line.reserveCapacity(160)
    switch format {
    case .human: writeHuman(event, sorted, time, into: &line)
    case .json: writeJSON(event, sorted, time, into: &line)
    }
    line.writeInteger(UInt8(ascii: "\n"))
    return line
  }

  private func writeHuman(
    _ event: LogEvent, _ fields: [(key: String, value: Logger.MetadataValue)], _ time: Timestamp,
    into line: inout ByteBuffer
  ) {
    RFC3339.write(time, into: &line)
    let level = event.level.rawValue
    line.writeString(" \(level)" + String(repeating: " ", count: max(1, 9 - level.count)))
    line.writeString(oneLine(event.message.description))
    for (key, value) in fields {
      let text = "\(value)"
      line.writeString(" \(key)=")
      if text.isEmpty || text.contains(where: { " \"=\n\r\t".contains($0) }) {
        JSONText.writeEscapedString(text, into: &line)
      } else {
        line.writeString(text)
      }
    }
  }

  /// What comes from outside may hold line ends, and must not look like lines of ours.
  private func oneLine(_ text: String) -> String {
    text.contains(where: \.isNewline) ? String(text.map { $0.isNewline ? " " : $0 }) : text
  }

  private func writeJSON(
    _ event: LogEvent, _ fields: [(key: String, value: Logger.MetadataValue)], _ time: Timestamp,
    into line: inout ByteBuffer
  ) {
    line.writeString("{\"time\":\"")
    RFC3339.write(time, into: &line)
    line.writeString("\",\"level\":\"\(event.level.rawValue)\",\"message\":")
    JSONText.writeEscapedString(event.message.description, into: &line)
    for (key, value) in fields where !["time", "level", "message"].contains(key) {
      line.writeString(",")
      JSONText.writeEscapedString(key, into: &line)
      line.writeString(":")
      writeJSON(value, into: &line)
    }
    line.writeString("}")
  }

  private func writeJSON(_ value: Logger.MetadataValue, into line: inout ByteBuffer) {
    switch value {
    case .array(let items):
      line.writeString("[")
      for (index, item) in items.enumerated() {
        if index > 0 { line.writeString(",") }
        writeJSON(item, into: &line)
      }
      line.writeString("]")
    case .dictionary(let items):
      line.writeString("{")
      for (index, item) in items.sorted(by: { $0.key < $1.key }).enumerated() {
        if index > 0 { line.writeString(",") }
        JSONText.writeEscapedString(item.key, into: &line)
        line.writeString(":")
        writeJSON(item.value, into: &line)
      }
      line.writeString("}")
    default:
      JSONText.writeEscapedString("\(value)", into: &line)
    }
  }
}
