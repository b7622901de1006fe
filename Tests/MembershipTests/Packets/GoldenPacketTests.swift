// Golden packets: what version 1 sends stays understood, and is still what is sent.
//
// The files were made by Golden/encode.py, an encoder in another language. Never change one once it is released: a new
// version of the format gets new files beside them.
import NIOCore
import Testing

@testable import Membership

private let session: UInt64 = 0x0102_0304_0506_0708
private let otherSession: UInt64 = 0x1112_1314_1516_1718

private func envelope(_ session: UInt64, isSealed: Bool) -> Envelope {
  Envelope(
    keyring: isSealed ? keyring(memberKey(0..<32)) : nil, label: "golden", session: session)
}

private func file(isSealed: Bool) throws -> [String: [UInt8]] {
  try goldenPackets("packets-v1-\(isSealed ? "sealed" : "clear").txt")
}

@Suite struct GoldenPacketTests {
  @Test(arguments: [false, true]) func `the packets are still written so`(isSealed: Bool) throws {
    let golden = try file(isSealed: isSealed)
    var envelope = envelope(session, isSealed: isSealed)
    var other = Membership.Envelope(
      keyring: envelope.keyring, label: envelope.label, session: otherSession)
    var stream = StreamEnvelope(number: 2, isOpener: true)
    var accepted = StreamEnvelope(number: 3, isOpener: false)
    var written: [String: [UInt8]] = [:]
    for (name, packet) in GoldenSamples.datagrams {
      written[name] = Array(envelope.seal(encoded(packet)).readableBytesView)
    }
    for (name, packet) in GoldenSamples.opened {
      let frame = envelope.seal(encoded(packet), on: &stream)
      _ = try other.open(frame.readableBytesView, on: &accepted)
      written[name] = Array(frame.readableBytesView)
    }
    for (name, packet) in GoldenSamples.accepted {
      written[name] = Array(other.seal(encoded(packet), on: &accepted).readableBytesView)
    }
    #expect(written.keys.sorted() == golden.keys.sorted())
    for (name, bytes) in golden { #expect(written[name] == bytes, "\(name)") }
  }

  @Test(arguments: [false, true]) func `the packets are understood`(isSealed: Bool) throws {
    let golden = try file(isSealed: isSealed)
    var receiver = envelope(99, isSealed: isSealed)
    var opener = envelope(session, isSealed: isSealed)
    var stream = StreamEnvelope(number: 2, isOpener: true)
    var accepted = StreamEnvelope(number: 9, isOpener: false)
    for (name, packet) in GoldenSamples.datagrams {
      let bytes = ByteBuffer(bytes: golden[name] ?? []).readableBytesView
      #expect(try Codec.decode(receiver.open(bytes)) == packet, "\(name)")
    }
    for (name, packet) in GoldenSamples.opened {
      let bytes = ByteBuffer(bytes: golden[name] ?? []).readableBytesView
      #expect(try Codec.decode(receiver.open(bytes, on: &accepted)) == packet, "\(name)")
    }
    for (name, packet) in GoldenSamples.accepted {
      let bytes = ByteBuffer(bytes: golden[name] ?? []).readableBytesView
      #expect(try Codec.decode(opener.open(bytes, on: &stream)) == packet, "\(name)")
    }
  }

  /// Every byte changed in each of its bits, and every shorter packet, and one byte more.
  @Test(arguments: [false, true])
  func `no packet that was changed anywhere is opened, and none changes anything`(
    isSealed: Bool
  ) throws {
    let golden = try file(isSealed: isSealed)
    var receiver = envelope(99, isSealed: isSealed)
    var opener = envelope(session, isSealed: isSealed)
    var stream = StreamEnvelope(number: 2, isOpener: true)
    var accepted = StreamEnvelope(number: 9, isOpener: false)
    for (name, packet) in GoldenSamples.datagrams {
      try refuseChanges(of: golden[name] ?? []) { _ = try receiver.open($0) }
      let bytes = ByteBuffer(bytes: golden[name] ?? []).readableBytesView
      #expect(try Codec.decode(receiver.open(bytes)) == packet, "\(name)")
    }
    for (name, packet) in GoldenSamples.opened {
      try refuseChanges(of: golden[name] ?? []) { _ = try receiver.open($0, on: &accepted) }
      let bytes = ByteBuffer(bytes: golden[name] ?? []).readableBytesView
      #expect(try Codec.decode(receiver.open(bytes, on: &accepted)) == packet, "\(name)")
    }
    for (name, packet) in GoldenSamples.accepted {
      try refuseChanges(of: golden[name] ?? []) { _ = try opener.open($0, on: &stream) }
      let bytes = ByteBuffer(bytes: golden[name] ?? []).readableBytesView
      #expect(try Codec.decode(opener.open(bytes, on: &stream)) == packet, "\(name)")
    }
    #expect(receiver.sessions.count == (isSealed ? 1 : 0))
  }
}

private func refuseChanges(
  of packet: [UInt8], _ open: (ByteBufferView) throws -> Void
) throws {
  try #require(!packet.isEmpty)
  var taken: [String] = []
  func attempt(_ bytes: [UInt8], _ what: @autoclosure () -> String) {
    do {
      try open(ByteBuffer(bytes: bytes).readableBytesView)
      taken.append(what())
    } catch {}
  }
  for place in packet.indices {
    var changed = packet
    for bit in 0..<8 as Range<UInt8> {
      changed[place] = packet[place] ^ 1 << bit
      attempt(changed, "bit \(bit) of byte \(place)")
    }
    attempt(Array(packet[..<place]), "cut to \(place)")
  }
  attempt(packet + [0], "one byte more")
  #expect(taken == [])
}
