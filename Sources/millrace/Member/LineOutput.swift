// Lines on standard output that never make the member wait: what a reader is slow to take is kept, up to a limit.
import Glibc
import NIOCore

/// Lives on its event loop.
///
/// The descriptor may be shared with other processes (a terminal's is), so it is not set to non-blocking; it is asked
/// whether it takes something instead. A pipe that does takes 4,096 bytes (pipe(7): PIPE_BUF) without waiting.
final class LineOutput {
  static let bytesMax = 4 << 20
  private static let pieceBytes = 4096
  private static let pause = TimeAmount.milliseconds(20)
  private static let longPause = TimeAmount.seconds(1)

  private let descriptor: CInt
  private let loop: any EventLoop
  /// Called once: nobody reads any more.
  private let closed: () -> Void
  /// Makes the line that tells how many were dropped.
  private let lost: (Int) -> ByteBuffer
  private var pending = ByteBuffer()
  /// Lines that a reader has missed and not been told of yet.
  private(set) var droppedCount = 0
  private var isWaiting = false
  private(set) var isClosed = false

  init(
    _ descriptor: CInt, on loop: any EventLoop, lost: @escaping (Int) -> ByteBuffer,
    closed: @escaping () -> Void
  ) {
    self.descriptor = descriptor
    self.loop = loop
    self.lost = lost
    self.closed = closed
  }

  func write(_ line: ByteBuffer) {
    guard !isClosed else { return }
    if pending.readableBytes + line.readableBytes > Self.bytesMax {
      droppedCount += 1
      return
    }
    if droppedCount > 0 {
      pending.writeImmutableBuffer(lost(droppedCount))
      droppedCount = 0
    }
    pending.writeImmutableBuffer(line)
    if !isWaiting { drain() }
  }

  /// Looks whether anybody still reads, as nothing else tells while there is nothing to say.
  func check() {
    if !isClosed, events() & Int16(POLLERR | POLLNVAL) != 0 { close() }
  }

  private func drain() {
    isWaiting = false
    while pending.readableBytes > 0, !isClosed {
      let events = events()
      if events & Int16(POLLERR | POLLNVAL) != 0 { return close() }
      guard events & Int16(POLLOUT) != 0 else { return wait(Self.pause) }
      let count = pending.withUnsafeReadableBytes {
        Glibc.write(descriptor, $0.baseAddress, min($0.count, Self.pieceBytes))
      }
      if count < 0, errno == EINTR { continue }
      if count < 0, errno == EPIPE || errno == EBADF { return close() }
      // A full disk, say: what is kept meanwhile is bounded.
      guard count > 0 else { return wait(Self.longPause) }
      pending.moveReaderIndex(forwardBy: count)
    }
    pending = ByteBuffer()
  }

  private func wait(_ pause: TimeAmount) {
    isWaiting = true
    loop.assumeIsolated().scheduleTask(in: pause) { self.drain() }
  }

  private func events() -> Int16 {
    var look = pollfd(fd: descriptor, events: Int16(POLLOUT), revents: 0)
    return poll(&look, 1, 0) >= 0 ? look.revents : 0
  }

  private func close() {
    isClosed = true
    pending = ByteBuffer()
    closed()
  }
}
