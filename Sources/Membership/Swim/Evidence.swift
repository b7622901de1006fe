// What other parts of the process, or the shell, notice of a member or a stream.
import NIOCore

/// A reason to look at once; never enough to hold somebody for dead.
public enum Evidence: Hashable, Sendable {
  /// A connection to it, of the gateway's, failed.
  case connectionFailed
}

public enum StreamEvent: Sendable {
  /// Another opened it; `from` is where its socket is.
  case accepted(from: Endpoint)
  case connected
  /// One frame, without its length.
  case frame(ByteBufferView)
  /// By the other end, by the network or by one of the shell's limits; never as the answer to `closeStream`.
  case closed(StreamEnd)
}

public enum StreamEnd: Hashable, Sendable {
  /// Nobody listens there.
  case refused
  case reset
  case ended
  case timedOut
  case unreachable
}
