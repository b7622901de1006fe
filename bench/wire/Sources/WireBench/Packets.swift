// Times what a packet between members costs at either end, and what refusing one costs.
import Membership
import NIOCore
import Wire

/// Bodies of 62 bytes, sealed 100: about what an idle cluster says.
func packets() {
  guard let keyring = Keyring([.generate()]), let id = MemberID("n1") else {
    fatalError("a key and a name")
  }
  let body = ByteBuffer(repeating: 7, count: 62)
  func envelope(_ session: UInt64) -> Envelope {
    Envelope(keyring: keyring, label: "bench", session: session)
  }
  var (sender, receiver) = (envelope(1), envelope(2))
  report("seal", bytes: 100, nanoseconds { sink &+= sender.seal(body).readableBytes })

  // Each packet is opened once: opening is measured with sealing, and that taken away.
  let both = nanoseconds { sink &+= open(sender.seal(body), &receiver) }
  let seal = nanoseconds { sink &+= sender.seal(body).readableBytes }
  report("open", bytes: 100, both - seal)

  let packet = sender.seal(body)
  sink &+= open(packet, &receiver)
  report("refuse one seen before", bytes: 100, nanoseconds { sink &+= open(packet, &receiver) })
  var forged = packet
  forged.setInteger(UInt64.max >> 1, at: 14)  // a counter that is still to come
  report("refuse a forged one", bytes: 100, nanoseconds { sink &+= open(forged, &receiver) })
  forged.setInteger(UInt64(3), at: 6)
  report(
    "refuse a forged one of a new session", bytes: 100,
    nanoseconds { sink &+= open(forged, &receiver) })

  let mark = ViewMark(hash: 1, settled: 2)
  let ping = Message.ping(
    Ping(
      sequence: 1, from: id, generation: 1_767_225_600_000, target: id,
      targetGeneration: 1_767_225_600_000, view: mark))
  var encoded = ByteBuffer()
  Codec.encode(ping, into: &encoded)
  var buffer = ByteBuffer()
  report(
    "encode a ping", bytes: encoded.readableBytes,
    nanoseconds {
      buffer.clear()
      Codec.encode(ping, into: &buffer)
      sink &+= buffer.readableBytes
    })
  report(
    "decode a ping", bytes: encoded.readableBytes,
    nanoseconds { sink &+= (try? Codec.decode(encoded.readableBytesView)) == nil ? 0 : 1 })
}

private func open(_ packet: ByteBuffer, _ envelope: inout Envelope) -> Int {
  (try? envelope.open(packet.readableBytesView))?.count ?? 0
}
