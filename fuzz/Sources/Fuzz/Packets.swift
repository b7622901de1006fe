// Packets between members: no bytes lead the codec or the envelopes astray, forged or sealed by one who has the key.
import Membership
import NIOCore

/// The first byte says how: 0 a body as it is, 1 a packet in clear as it is, 2 a sealed one as it is, 3 a body in clear
/// with a good checksum, 4 a body that is sealed. Each as a datagram and as frames of a stream.
func fuzzPacket(_ bytes: UnsafeRawBufferPointer) -> CInt {
  guard let mode = bytes.first else { return 0 }
  let input = ByteBuffer(bytes: bytes.dropFirst())
  switch mode % 5 {
  case 0: decode(input.readableBytesView)
  case 1: offer(input, to: nil)
  case 2: offer(input, to: fuzzKeyring)
  case 3: pass(input, through: nil)
  default: pass(input, through: fuzzKeyring)
  }
  return 0
}

/// What is read would be written just so.
private func decode(_ body: ByteBufferView) {
  guard let packet = try? Codec.decode(body) else { return }
  var again = ByteBuffer()
  Codec.encode(packet.message, rumours: packet.rumours.map(Codec.encode), into: &again)
  check(again.readableBytesView == body, "a packet has two forms")
  for rumour in packet.rumours {
    check(Codec.encode(rumour).count <= Codec.rumourBytesMax, "a rumour is too large")
  }
}

/// Bytes by nobody: seldom a packet, and a sealed one only if it is golden.
private func offer(_ packet: ByteBuffer, to keyring: Keyring?) {
  var receiver = Envelope(keyring: keyring, label: "golden", session: 99)
  if let body = try? receiver.open(packet.readableBytesView) {
    decode(body)
    check((try? receiver.open(packet.readableBytesView)) == nil || keyring == nil, "taken twice")
  }
  for isOpener in [false, true] {
    var stream = StreamEnvelope(number: 2, isOpener: isOpener)
    if let body = try? receiver.open(packet.readableBytesView, on: &stream) { decode(body) }
  }
  // Whatever it was, the next who has the key is heard.
  var sender = Envelope(keyring: keyring, label: "golden", session: 100)
  let next = sender.seal(ByteBuffer(string: "next"))
  check((try? receiver.open(next.readableBytesView)) != nil, "a good packet is refused")
}

/// A body by one who has the key.
private func pass(_ body: ByteBuffer, through keyring: Keyring?) {
  var sender = Envelope(keyring: keyring, label: "golden", session: 1)
  var receiver = Envelope(keyring: keyring, label: "golden", session: 2)
  let packet = sender.seal(body)
  do {
    let opened = try receiver.open(packet.readableBytesView)
    check(opened == body.readableBytesView, "what was sealed is opened")
    decode(opened)
  } catch {
    check(packet.readableBytes > Codec.datagramBytesMax, "a good packet is refused: \(error)")
  }
  var (stream, accepted) = (
    StreamEnvelope(number: 2, isOpener: true), StreamEnvelope(number: 3, isOpener: false)
  )
  for _ in 0..<2 {
    let frame = sender.seal(body, on: &stream)
    let opened = try? receiver.open(frame.readableBytesView, on: &accepted)
    check(opened == body.readableBytesView, "a frame that was sealed is opened")
  }
}

/// That of the golden packets: 00 01 … 1f.
let fuzzKeyring: Keyring = {
  guard let key = MemberKey(bytes: Array(0..<32)), let keyring = Keyring([key]) else {
    fatalError("32 bytes are a key")
  }
  return keyring
}()
