// The codec: one form for each packet, and nothing else is read.
import Membership
import NIOCore
import Testing
import Wire

@Suite struct CodecTests {
  @Test(arguments: 0..<20 as Range<UInt64>)
  func `any packet is read as it was written`(seed: UInt64) throws {
    var random = Random(seed: seed)
    for _ in 0..<200 {
      let packet = random.packet()
      let body = encoded(packet)
      #expect(try Codec.decode(body.readableBytesView) == packet)
      #expect(
        body.readableBytes
          == Codec.byteCount(packet.message)
          + packet.rumours.reduce(0) { $0 + Codec.encode($1).count })
    }
  }

  @Test(arguments: 0..<10 as Range<UInt64>)
  func `what is read after any change would be written just so`(seed: UInt64) {
    var random = Random(seed: seed)
    var taken = 0
    for _ in 0..<300 {
      var bytes = Array(encoded(random.packet()).readableBytesView)
      for _ in 0...random.below(3) {
        let place = random.below(bytes.count)
        switch random.below(4) {
        case 0: bytes[place] ^= 1 << UInt8(random.below(8))
        case 1: bytes[place] = UInt8(truncatingIfNeeded: random.next())
        case 2: bytes.insert(UInt8(truncatingIfNeeded: random.next()), at: place)
        default: if bytes.count > 1 { bytes.remove(at: place) }
        }
      }
      guard let packet = try? Codec.decode(ByteBuffer(bytes: bytes).readableBytesView) else {
        continue
      }
      taken += 1
      #expect(Array(encoded(packet).readableBytesView) == bytes)
    }
    #expect(taken > 0, "some changes make other packets: of a sequence, of a hash")
  }

  @Test func `every packet that is cut off or has bytes behind it is refused`() throws {
    for (name, packet) in GoldenSamples.datagrams + GoldenSamples.opened + GoldenSamples.accepted {
      let bytes = Array(encoded(packet).readableBytesView)
      // Behind a message, and behind each rumour, is an end, too.
      var ends: Set = [Codec.byteCount(packet.message)]
      for rumour in packet.rumours { ends.insert((ends.max() ?? 0) + Codec.encode(rumour).count) }
      for count in 0...bytes.count {
        let cut = ByteBuffer(bytes: bytes[..<count])
        let isRead = (try? Codec.decode(cut.readableBytesView)) != nil
        #expect(isRead == ends.contains(count), "\(name) cut to \(count) of \(bytes.count)")
      }
      #expect(throws: PacketError.self) {
        try Codec.decode(ByteBuffer(bytes: bytes + [0]).readableBytesView)
      }
    }
  }

  @Test(
    arguments: [
      ([], .cutOff(.kind)), ([0], .unknownKind(0)), ([11], .unknownKind(11)),
      ([255, 1], .unknownKind(255)),
      // A nack from a name of no bytes, one that is no name, one that is cut off.
      ([4, 0, 0, 0, 1, 0], .invalid(.member, at: 5)),
      ([4, 0, 0, 0, 1, 1, 0x20], .invalid(.member, at: 5)),
      ([4, 0, 0, 0, 1, 2, 0x61], .cutOff(.member)),
      // Hello with rumours.
      ([6, 1, 0x61, 1, 0], .trailing(bytes: 1)),
      // A generation in two bytes that needs one, and one above what is allowed.
      ([6, 1, 0x61, 0x81, 0], .invalid(.generation, at: 3)),
      ([6, 1, 0x61, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10], .invalid(.generation, at: 3)),
      // A ping request to an address of a family that is none, to all of a network, to port 0.
      ([3, 0, 0, 0, 1, 1, 0x61, 1, 0x62, 5], .invalid(.endpoint, at: 9)),
      (
        [3, 0, 0, 0, 1, 1, 0x61, 1, 0x62, 4, 224, 0, 0, 1, 27, 88, 0, 1],
        .invalid(.endpoint, at: 10)
      ),
      (
        [3, 0, 0, 0, 1, 1, 0x61, 1, 0x62, 4, 10, 0, 0, 1, 0, 0, 0, 1], .invalid(.endpoint, at: 10)
      ),
      // A flag that is neither 0 nor 1.
      ([10, 1, 0x61, 2], .invalid(.mark, at: 3)),
      // Rumours of a status with bits that are none, of one alive that was accused, with nine keys.
      ([5, 1, 0x61, 0x20], .invalid(.status, at: 3)),
      ([5, 1, 0x61, 0x08], .invalid(.status, at: 3)),
      ([5, 1, 0x61, 0x12], .invalid(.status, at: 3)),
      ([5, 1, 0x61, 0, 1, 0x62, 1, 0, 10, 0, 0, 1, 0, 1, 0, 9], .invalid(.keys, at: 15)),
      // Metadata with a name twice, and longer than it may be.
      (
        [5, 1, 0x61, 0, 1, 0x62, 1, 0, 10, 0, 0, 1, 0, 1, 6, 1, 0x61, 0, 1, 0x61, 0, 0],
        .invalid(.metadata, at: 14)
      ),
      ([5, 1, 0x61, 0, 1, 0x62, 1, 0, 10, 0, 0, 1, 0, 1, 0x81, 4], .invalid(.metadata, at: 14)),
    ] as [([UInt8], PacketError)])
  func `what is never written is refused with its place`(bytes: [UInt8], error: PacketError) {
    #expect(throws: error) { try Codec.decode(ByteBuffer(bytes: bytes).readableBytesView) }
  }

  @Test func `an address of IPv4 as one of IPv6 is refused: it would have two forms`() {
    var bytes: [UInt8] = [3, 0, 0, 0, 1, 1, 0x61, 1, 0x62, 6]
    bytes += [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 0, 0, 1, 27, 88, 0, 1]
    #expect(throws: PacketError.invalid(.endpoint, at: 10)) {
      try Codec.decode(ByteBuffer(bytes: bytes).readableBytesView)
    }
  }

  @Test func `the largest rumour is as large as said, and fits beside the largest message`() throws
  {
    let name = id(String(repeating: "x", count: MemberID.bytesMax))
    let pairs = [
      ("a", String(repeating: "x", count: 251)), ("b", String(repeating: "y", count: 253)),
    ]
    let rumour = Rumour(
      id: name,
      claim: Claim(generation: Codec.generationMax, incarnation: .max, status: .suspect),
      profile: Profile(
        endpoint: endpoint("[2001:db8::1]:65535"),
        metadata: try Metadata(pairs: pairs.map { (name: $0.0, value: $0.1) }),
        keys: (0..<8).map { KeyID($0) }),
      accuser: name, isRefused: true)
    #expect(rumour.profile.metadata.encoded.count == Metadata.bytesMax)
    #expect(Codec.encode(rumour).count == Codec.rumourBytesMax)
    let ping = Message.ping(
      Ping(
        sequence: 1, from: name, generation: Codec.generationMax, target: name,
        targetGeneration: Codec.generationMax, view: GoldenSamples.mark))
    let envelope = Envelope(keyring: keyring(.generate()), label: "", session: 1)
    #expect(Codec.byteCount(ping) + Codec.rumourBytesMax <= envelope.datagramBodyBytesMax)
  }

  @Test func `what does not belong to a status is not written`() throws {
    var rumour = GoldenSamples.alive
    (rumour.accuser, rumour.isRefused, rumour.ageSeconds) = (id("n9"), true, 7)
    #expect(Codec.encode(rumour) == Codec.encode(GoldenSamples.alive))
    rumour.claim.status = .dead
    let packet = Packet(message: .bye, rumours: [rumour])
    (rumour.accuser, rumour.isRefused) = (nil, false)
    #expect(try Codec.decode(encoded(packet).readableBytesView).rumours == [rumour])
  }

  @Test func `buckets that differ are found`() {
    var (left, right) = ([UInt64](repeating: 7, count: 256), [UInt64](repeating: 7, count: 256))
    #expect(BucketSet(differing: left, right).isEmpty)
    (left[0], right[9], left[255]) = (1, 2, 3)
    let set = BucketSet(differing: left, right)
    #expect((0..<256).filter(set.contains) == [0, 9, 255])
  }
}
