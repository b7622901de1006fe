// Sockets that are connected to one member each, for a short while: they hear when nothing listens there any more.
import NIOCore

/// Lives on its event loop.
final class AskingPorts {
  /// As many as there are probes at once.
  static let countMax = 64
  /// Since it was last used: longer than a probe takes in good health.
  private static let keptFor = TimeAmount.seconds(3)

  private final class Entry {
    let port: DatagramPort
    var usedAt: NIODeadline
    init(port: DatagramPort, usedAt: NIODeadline) {
      self.port = port
      self.usedAt = usedAt
    }
  }

  private let source: SocketAddress
  private let loop: any EventLoop
  private let received: (ByteBuffer, SocketAddress) -> Void
  private let refused: (Endpoint) -> Void
  private var entries: [Endpoint: Entry] = [:]
  private var isClosed = false

  init(
    from source: SocketAddress, on loop: any EventLoop,
    received: @escaping (ByteBuffer, SocketAddress) -> Void, refused: @escaping (Endpoint) -> Void
  ) {
    self.source = source
    self.loop = loop
    self.received = received
    self.refused = refused
  }

  /// The socket for `endpoint`; nil if there can be none.
  func port(to endpoint: Endpoint) -> DatagramPort? {
    guard !isClosed else { return nil }
    if let entry = entries[endpoint] {
      entry.usedAt = .now()
      return entry.port
    }
    let isIPv6 = source.protocol == .inet6
    guard entries.count < Self.countMax, let address = endpoint.address(onIPv6: isIPv6),
      let socket = try? connectedDatagramSocket(from: source, to: address)
    else { return nil }
    let refused = refused
    let port = DatagramPort(
      socket, isIPv6: isIPv6, on: loop, received: received, refused: { refused(endpoint) })
    let entry = Entry(port: port, usedAt: .now())
    entries[endpoint] = entry
    look(after: entry, endpoint)
    return port
  }

  private func look(after entry: Entry, _ endpoint: Endpoint) {
    loop.assumeIsolated().scheduleTask(deadline: entry.usedAt + Self.keptFor) { [self] in
      guard !isClosed else { return }
      if entry.usedAt + Self.keptFor > .now() {
        look(after: entry, endpoint)
      } else {
        entries[endpoint] = nil
        entry.port.close()
      }
    }
  }

  func close() {
    isClosed = true
    for entry in entries.values { entry.port.close() }
    entries = [:]
  }
}
