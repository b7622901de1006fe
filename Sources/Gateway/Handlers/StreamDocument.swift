// A stream as clients see it: the document of GET and its ETag.
import Engine
import NIOCore
import Wire

enum StreamDocument {
  /// Changes with every change of the stream, and never repeats, not for a later stream of the name either.
  static func entityTag(of stream: Stream) -> String {
    "\"\(stream.incarnation)-\(stream.revision)\""
  }
}
