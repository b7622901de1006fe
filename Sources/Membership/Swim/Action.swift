// What the core asks of its shell.
import NIOCore

public enum Action: Sendable {
  case send(ByteBuffer, to: Endpoint)
  /// By a socket that is connected to `to`, so that a refusal by the other machine is told by `Swim.refused`.
  case sendAsking(ByteBuffer, to: Endpoint)
  /// The core numbers the streams that it opens, with even numbers; the shell those that it accepts, with odd ones.
  case openStream(StreamID, to: Endpoint)
  /// One frame; the shell sets its length before it. To a stream that is gone: nothing.
  case write(StreamID, ByteBuffer)
  /// When all that was written before is out. Nothing is heard of the stream afterwards.
  case closeStream(StreamID)
  case emit(Event)
  /// Before any packet that comes after it in the list: nobody may hear of a generation that a crash could forget.
  case persist(Snapshot)
  /// The last action. Everything else was said; the core answers nothing any more.
  case stop(StopReason)
}

public enum StopReason: Hashable, Sendable {
  case left
  /// The same id is alive elsewhere, in a later generation.
  case superseded
}

public struct StreamID: Hashable, Comparable, Sendable, CustomStringConvertible {
  public let rawValue: UInt64
  public init(_ rawValue: UInt64) { self.rawValue = rawValue }

  /// Opened by the core of this node.
  public var isOwn: Bool { rawValue & 1 == 0 }

  public static func < (left: StreamID, right: StreamID) -> Bool { left.rawValue < right.rawValue }
  public var description: String { String(rawValue) }
}
