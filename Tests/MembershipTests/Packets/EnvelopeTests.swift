// The envelope: who has the key is believed, each packet once, and nobody else ever.
import NIOCore
import Testing
import Wire

@testable import Membership

private let first = memberKey(0..<32)
private let second = memberKey(32..<64)

private func sender(_ keyring: Keyring?, label: String = "one", session: UInt64 = 1) -> Envelope {
  Envelope(keyring: keyring, label: label, session: session)
}

private func body(_ text: String) -> ByteBuffer { ByteBuffer(string: text) }

extension Envelope {
  /// The body as text.
  fileprivate mutating func text(_ packet: ByteBuffer) throws -> String {
    String(decoding: try open(packet.readableBytesView), as: UTF8.self)
  }

  fileprivate mutating func text(
    _ packet: ByteBuffer, on stream: inout StreamEnvelope
  ) throws -> String {
    String(decoding: try open(packet.readableBytesView, on: &stream), as: UTF8.self)
  }
}

@Suite struct EnvelopeTests {
  @Test(arguments: [nil, keyring(first)])
  func `bodies of all sizes come through, up to a full datagram`(ring: Keyring?) throws {
    var (alice, bob) = (sender(ring), sender(ring, session: 2))
    for count in [0, 1, 15, 16, 17, 100, alice.datagramBodyBytesMax] {
      let packet = alice.seal(ByteBuffer(repeating: 7, count: count))
      #expect(packet.readableBytes == count + (ring == nil ? 10 : 38))
      #expect(try bob.open(packet.readableBytesView).count == count)
    }
    #expect(
      alice.seal(ByteBuffer(repeating: 7, count: alice.datagramBodyBytesMax)).readableBytes == 1200)
    let large = alice.seal(ByteBuffer(repeating: 7, count: alice.datagramBodyBytesMax + 1))
    #expect(throws: OpenError.tooLong(bytes: 1201, bytesMax: 1200)) {
      try bob.open(large.readableBytesView)
    }
    var (stream, accepted) = (
      StreamEnvelope(number: 2, isOpener: true), StreamEnvelope(number: 1, isOpener: false)
    )
    let frame = alice.seal(ByteBuffer(repeating: 7, count: alice.frameBodyBytesMax), on: &stream)
    #expect(frame.readableBytes == 65_536)
    #expect(try bob.open(frame.readableBytesView, on: &accepted).count == alice.frameBodyBytesMax)
  }

  @Test func `a packet is taken once`() throws {
    var (alice, bob) = (sender(keyring(first)), sender(keyring(first), session: 2))
    let packets = (0..<5).map { alice.seal(body("\($0)")) }
    for index in [3, 0, 4, 1, 2] { #expect(try bob.text(packets[index]) == "\(index)") }
    for (index, packet) in packets.enumerated() {
      #expect(throws: OpenError.replayed(session: 1, counter: UInt64(index))) {
        try bob.text(packet)
      }
    }
    for _ in 0..<2000 { _ = try bob.text(alice.seal(body(""))) }
    let late = alice.seal(body("late"))
    for _ in 0..<1024 { _ = try bob.text(alice.seal(body(""))) }
    #expect(throws: OpenError.replayed(session: 1, counter: 2005)) { try bob.text(late) }
  }

  @Test func `the last of all counters and numbers is nobody's`() throws {
    var (alice, bob) = (sender(keyring(first)), sender(keyring(first), session: 2))
    var last = alice.seal(body(""))
    last.setInteger(UInt64.max, at: 14)
    #expect(throws: OpenError.replayed(session: 1, counter: .max)) { try bob.text(last) }
    var stream = StreamEnvelope(number: .max, isOpener: true)
    var accepted = StreamEnvelope(number: 1, isOpener: false)
    let frame = alice.seal(body(""), on: &stream)
    #expect(throws: OpenError.replayed(session: 1, counter: .max)) {
      try bob.text(frame, on: &accepted)
    }
  }

  @Test func `what is in clear, another's, or for others is refused by its reason`() throws {
    let ring = keyring(first)
    var bob = sender(ring, session: 2)
    var clearBob = sender(nil, session: 2)
    var (alice, clearAlice) = (sender(ring), sender(nil))
    #expect(throws: OpenError.notSealed) { try bob.text(clearAlice.seal(body(""))) }
    #expect(throws: OpenError.sealed) { try clearBob.text(alice.seal(body(""))) }
    var stranger = sender(keyring(second))
    #expect(throws: OpenError.unknownKey(second.id)) { try bob.text(stranger.seal(body(""))) }
    var elsewhere = sender(ring, label: "two")
    #expect(throws: OpenError.forged(first.id)) { try bob.text(elsewhere.seal(body(""))) }
    var clearElsewhere = sender(nil, label: "two")
    #expect(throws: OpenError.self) { try clearBob.text(clearElsewhere.seal(body(""))) }
    #expect(throws: OpenError.own) { try bob.text(bob.seal(body(""))) }
    // The id of a key that bob has, by one who has not the key.
    var forged = Array(stranger.seal(body("ping")).readableBytesView)
    for index in 0..<4 {
      forged[2 + index] = UInt8(truncatingIfNeeded: first.id.rawValue >> UInt32(24 - 8 * index))
    }
    #expect(throws: OpenError.forged(first.id)) { try bob.text(ByteBuffer(bytes: forged)) }
    #expect(bob.sessions.count == 0)
    // A datagram in a stream, and a frame in a datagram.
    var (stream, accepted) = (
      StreamEnvelope(number: 2, isOpener: true), StreamEnvelope(number: 1, isOpener: false)
    )
    #expect(throws: OpenError.unexpectedFlags(1)) {
      try bob.text(alice.seal(body("")), on: &accepted)
    }
    let frame = alice.seal(body(""), on: &stream)
    #expect(throws: OpenError.unexpectedFlags(3)) { try bob.text(frame) }
    #expect(try bob.text(frame, on: &accepted) == "")
  }

  @Test(arguments: 0..<8 as Range<UInt64>)
  func `no bytes at all trap or change anything`(seed: UInt64) throws {
    var random = Random(seed: seed)
    let ring = seed % 2 == 0 ? keyring(first) : nil
    var (alice, bob) = (sender(ring), sender(ring, session: 2))
    var accepted = StreamEnvelope(number: 1, isOpener: false)
    for _ in 0..<2000 {
      var bytes = (0..<random.below(80)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      if bytes.count > 6 {
        (bytes[0], bytes[1]) = (1, UInt8(random.below(8)))
        if random.oneIn(2) { bytes.replaceSubrange(2..<6, with: [0x9d, 0x0a, 0x14, 0x49]) }
      }
      let packet = ByteBuffer(bytes: bytes)
      #expect(throws: OpenError.self) { try bob.text(packet) }
      #expect(throws: OpenError.self) { try bob.text(packet, on: &accepted) }
    }
    #expect(bob.sessions.count == 0 && accepted.received == 0 && accepted.peer == nil)
    #expect(try bob.text(alice.seal(body("still"))) == "still")
  }

  @Test func `keys change without a packet lost`() throws {
    var (alice, bob) = (sender(keyring(first)), sender(keyring(first), session: 2))
    var (stream, accepted) = (
      StreamEnvelope(number: 2, isOpener: true), StreamEnvelope(number: 1, isOpener: false)
    )
    func exchange(_ text: String) throws {
      #expect(try bob.text(alice.seal(body(text))) == text)
      #expect(try alice.text(bob.seal(body(text))) == text)
      #expect(try bob.text(alice.seal(body(text), on: &stream), on: &accepted) == text)
      #expect(try alice.text(bob.seal(body(text), on: &accepted), on: &stream) == text)
    }
    try exchange("before")
    let old = alice.seal(body("old"))
    try alice.keyring?.install(second)
    try exchange("one has it")
    try bob.keyring?.install(second)
    try alice.keyring?.use(second.id)
    try exchange("one uses it")
    try bob.keyring?.use(second.id)
    try exchange("both use it")
    try bob.keyring?.remove(first.id)
    try exchange("one has no other")
    #expect(throws: OpenError.unknownKey(first.id)) { try bob.text(old) }
    try alice.keyring?.remove(first.id)
    try exchange("none has")
  }

  @Test func `a key that returns is the same session's: what was taken is not taken again`() throws
  {
    var (alice, bob) = (sender(keyring(first)), sender(keyring(first, second), session: 2))
    let packet = alice.seal(body("1"))
    #expect(try bob.text(packet) == "1")
    bob.keyring = keyring(second)
    bob.keyring = keyring(first)
    #expect(throws: OpenError.replayed(session: 1, counter: 0)) { try bob.text(packet) }
    #expect(try bob.text(alice.seal(body("2"))) == "2")
  }

  @Test func `frames come in their order, none missing, none twice`() throws {
    let ring = keyring(first)
    var (alice, bob) = (sender(ring), sender(ring, session: 2))
    var (stream, accepted) = (
      StreamEnvelope(number: 2, isOpener: true), StreamEnvelope(number: 1, isOpener: false)
    )
    let frames = (0..<3).map { alice.seal(body("\($0)"), on: &stream) }
    #expect(throws: OpenError.outOfOrder(counter: 1, expected: 0)) {
      try bob.text(frames[1], on: &accepted)
    }
    #expect(try bob.text(frames[0], on: &accepted) == "0")
    #expect(throws: OpenError.outOfOrder(counter: 0, expected: 1)) {
      try bob.text(frames[0], on: &accepted)
    }
    #expect(throws: OpenError.outOfOrder(counter: 2, expected: 1)) {
      try bob.text(frames[2], on: &accepted)
    }
    #expect(try bob.text(frames[1], on: &accepted) == "1")
    #expect(try bob.text(frames[2], on: &accepted) == "2")
  }

  @Test func `a whole stream that is played again is refused, and so is an answer to another`()
    throws
  {
    let ring = keyring(first)
    var (alice, bob) = (sender(ring), sender(ring, session: 2))
    var (stream, accepted) = (
      StreamEnvelope(number: 2, isOpener: true), StreamEnvelope(number: 1, isOpener: false)
    )
    let question = alice.seal(body("?"), on: &stream)
    _ = try bob.text(question, on: &accepted)
    let answer = bob.seal(body("!"), on: &accepted)

    var again = StreamEnvelope(number: 3, isOpener: false)
    #expect(throws: OpenError.replayed(session: 1, counter: 2)) {
      try bob.text(question, on: &again)
    }
    var next = StreamEnvelope(number: 4, isOpener: true)
    _ = alice.seal(body("?"), on: &next)
    #expect(throws: OpenError.forged(first.id)) { try alice.text(answer, on: &next) }
    // Alice's own question is no answer to it.
    #expect(throws: OpenError.unexpectedFlags(3)) { try alice.text(question, on: &stream) }
    #expect(try alice.text(answer, on: &stream) == "!")
    // A frame of another stream of the same session.
    let foreign = alice.seal(body("?"), on: &next)
    #expect(throws: OpenError.otherSession(1)) { try bob.text(foreign, on: &accepted) }
  }

  @Test func `streams are taken in any order of their numbers`() throws {
    let ring = keyring(first)
    var (alice, bob) = (sender(ring), sender(ring, session: 2))
    for number in [8, 2, 6, 4] as [UInt64] {
      var (stream, accepted) = (
        StreamEnvelope(number: number, isOpener: true),
        StreamEnvelope(number: number + 1, isOpener: false)
      )
      #expect(try bob.text(alice.seal(body("?"), on: &stream), on: &accepted) == "?")
    }
    #expect(bob.sessions.count == 1)
  }

  @Test func `as many sessions as fit are kept, the silent ones go`() throws {
    let ring = keyring(first)
    var bob = sender(ring, session: .max)
    var busy = sender(ring, session: 0)
    let packet = busy.seal(body("once"))
    _ = try bob.text(packet)
    for session in 1...UInt64(SessionTable.sessionsMax) + 500 {
      var other = sender(ring, session: session)
      _ = try bob.text(other.seal(body("")))
      if session % 100 == 0 { _ = try bob.text(busy.seal(body(""))) }
    }
    #expect(bob.sessions.count == SessionTable.sessionsMax)
    #expect(throws: OpenError.replayed(session: 0, counter: 0)) { try bob.text(packet) }
  }
}
