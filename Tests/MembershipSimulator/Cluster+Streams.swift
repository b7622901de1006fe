// Streams: connects, refusals, bytes in order, ends. What TCP does, as far as a member can tell.
import Membership
import NIOCore
import Wire

extension Cluster {
  private var handshake: Int64 { weather.drawDelay(&random) }

  func open(_ id: StreamID, _ process: Process, to endpoint: Endpoint) {
    if process.streams[id] != nil {
      world.violate("a stream is opened once", "\(promises.name(process)) opens \(id) again")
    }
    let host = host(at: endpoint)
    let connection = Connection(opener: process, stream: id, to: host ?? -1)
    process.streams[id] = (connection, 0)
    promises.counts.streamsOpened += 1
    guard let host, !cuts.areCut(from: process.host, to: host, isStream: true),
      !weather.loses(&random)
    else {
      return world.add(
        .connectFailed(connection, .timedOut), after: Connection.connectTimeout)
    }
    world.add(.knock(connection), after: handshake)
  }

  func knock(_ connection: Connection) {
    let opener = connection.ends[0].process
    let host = hosts[connection.hosts.acceptor]
    let isHeard =
      !cuts.areCut(from: connection.hosts.acceptor, to: opener.host, isStream: true)
      && !weather.loses(&random)
    let isFull = (host.process?.backlogStreams ?? 0) >= Process.backlogStreamsMax
    guard !host.isOff, isHeard, !isFull else {
      return world.add(
        .connectFailed(connection, .timedOut), after: Connection.connectTimeout)
    }
    guard let acceptor = host.process else {
      return world.add(.connectFailed(connection, .refused), after: handshake)
    }
    connection.isEstablished = true
    let id = acceptor.takeAcceptedID()
    connection.ends.append(Connection.End(process: acceptor, stream: id))
    acceptor.streams[id] = (connection, 1)
    arrive(.accepted(id, from: opener.endpoint), acceptor)
    world.add(.established(connection), after: handshake)
  }

  func establish(_ connection: Connection) {
    let opener = connection.ends[0]
    if opener.isOpen { arrive(.connected(opener.stream), opener.process) }
    arm(connection, from: 0)
    arm(connection, from: 1)
  }

  func connectFailed(_ connection: Connection, _ end: StreamEnd) {
    close(connection, 0, end)
  }

  /// One side hears that the stream is over.
  private func close(_ connection: Connection, _ side: Int, _ end: StreamEnd) {
    guard side < connection.ends.count, connection.ends[side].isOpen else { return }
    connection.ends[side].isOpen = false
    connection.lines[side].removeAll()
    let (process, id) = (connection.ends[side].process, connection.ends[side].stream)
    process.streams[id] = nil
    arrive(.closed(id, end), process)
  }

  func write(_ bytes: ByteBuffer, _ id: StreamID, _ process: Process) {
    if bytes.readableBytes > Promises.frameBytesMax {
      world.violate("frames are bounded", "\(promises.name(process)): \(bytes.readableBytes)")
    }
    process.traffic.count(bytes.readableBytes, at: world.now)
    guard let (connection, side) = process.streams[id] else { return }
    for bytes in process.saboteur?.outgoing(bytes) ?? [bytes] {
      append(.frame(bytes), to: connection, from: side)
    }
  }

  /// The core lets go of a stream: what it wrote still arrives, then the end.
  func close(_ id: StreamID, _ process: Process) {
    guard let (connection, side) = process.streams[id] else { return }
    process.streams[id] = nil
    connection.ends[side].isOpen = false
    append(.end(.ended), to: connection, from: side)
  }

  func append(_ item: Connection.Item, to connection: Connection, from side: Int) {
    connection.lines[side].items.append(item)
    if connection.isEstablished { arm(connection, from: side) }
  }

  /// Sees to it that the first item of a direction is due some time.
  private func arm(_ connection: Connection, from side: Int) {
    guard !connection.lines[side].isArmed, connection.lines[side].first != nil else { return }
    connection.lines[side].isArmed = true
    var delay = weather.drawDelay(&random)
    var resend = Connection.resendFirst
    while weather.loses(&random) && resend < Connection.resendMost {
      delay += resend
      resend *= 2
    }
    world.add(.line(connection, side), after: delay)
  }

  func deliverFirst(of connection: Connection, from side: Int) {
    connection.lines[side].isArmed = false
    guard let item = connection.lines[side].first else { return }
    let (from, to) = (connection.host(of: side), connection.host(of: 1 - side))
    let receiver = connection.ends[1 - side]
    if cuts.areCut(from: from, to: to, isStream: true) || hosts[to].isOff {
      return resend(connection, from: side)
    }
    connection.lines[side].removeFirst()
    switch item {
    case .end(let end):
      close(connection, 1 - side, end)
    case .frame(let bytes):
      if receiver.isOpen {
        arrive(.frame(receiver.stream, bytes), receiver.process)
      } else {
        // Nobody has this stream any more: its kernel resets it.
        close(connection, side, .reset)
      }
    }
    arm(connection, from: side)
  }

  private func resend(_ connection: Connection, from side: Int) {
    let since = connection.lines[side].stuckSince ?? world.now
    connection.lines[side].stuckSince = since
    guard world.now - since < Connection.patience else {
      connection.lines[side].removeAll()
      return close(connection, side, .timedOut)
    }
    let after = connection.lines[side].resendAfter
    connection.lines[side].resendAfter = min(2 * after, Connection.resendMost)
    connection.lines[side].isArmed = true
    world.add(.line(connection, side), after: after)
  }
}
