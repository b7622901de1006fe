// Old packets come again, strangers send bytes, the same seed is played twice: nothing becomes of it.
import NIOCore
import Testing
import Wire

@testable import Membership

@Suite struct ReplayTests {
  struct Recorded {
    let bytes: ByteBuffer
    let source: Endpoint
    let to: Int
  }

  /// Three nodes through joins, a death, a restart, a suspicion refuted and changes of metadata; and all their
  /// datagrams.
  static func eventful(seed: UInt64, keyring: Keyring?) -> (TestNetwork, [Recorded]) {
    var recorded: [Recorded] = []
    let network = TestNetwork.cluster(of: 3, seed: seed) {
      $0.keyring = keyring
      $0.tap = { bytes, source, to in
        recorded.append(Recorded(bytes: bytes, source: source, to: to))
      }
    }
    network.freeze(1, for: .seconds(3))
    network.run(for: .seconds(6))
    network.kill(2)
    network.run(for: .seconds(12))
    network.restart(2, peers: [TestNetwork.endpoint(0)])
    for load in 1...3 {
      network.perform(.setMetadata(try! Metadata(pairs: [("load", "\(load)")])), on: 0)
      network.run(for: .seconds(2))
    }
    network.run(for: .seconds(20))
    network.tap = nil
    // What is on its way arrives.
    network.run(for: .milliseconds(10))
    #expect(network.allView([0, 1, 2]))
    #expect(network.hasEqualRecords())
    #expect(recorded.count > 100)
    return (network, recorded)
  }

  @Test(arguments: 0..<4 as Range<UInt64>)
  func `packets of the past change nothing, in clear where nothing else keeps them out`(
    seed: UInt64
  ) {
    let (network, recorded) = Self.eventful(seed: seed, keyring: nil)
    let start = network.now
    let claims = (0..<3).map { network.swim($0).claim }
    var random = Random(seed: seed)
    for _ in 0..<2000 {
      let packet = recorded[random.below(recorded.count)]
      _ = network.inject(packet.bytes, from: packet.source, to: packet.to)
      network.run(for: .milliseconds(random.below(10)))
    }
    network.run(for: .seconds(10))
    for index in 0..<3 {
      #expect(network.nodes[index].events.allSatisfy { $0.at < start })
      #expect(network.swim(index).claim == claims[index])
      #expect(network.all(hold: index, .alive))
    }
    #expect(network.hasEqualRecords())
  }

  @Test func `sealed packets are taken once`() {
    let keyring = Keyring([MemberKey(bytes: [UInt8](repeating: 3, count: 32))!])
    let (network, recorded) = Self.eventful(seed: 8, keyring: keyring)
    // Those of lives that are still lived: another life of the receiver's has not seen them, and takes them once.
    let life = recorded.suffix(60)
    #expect(!life.isEmpty)
    for packet in life {
      let before = network.swim(packet.to).counters.refused
      let actions = network.inject(packet.bytes, from: packet.source, to: packet.to)
      #expect(actions.isEmpty)
      #expect(network.swim(packet.to).counters.refused[.replayed] == before[.replayed] + 1)
    }
  }

  @Test(arguments: 0..<10 as Range<UInt64>)
  func `bytes of those without the key change nothing and get no answer`(seed: UInt64) {
    let keyring = Keyring([MemberKey(bytes: [UInt8](repeating: 3, count: 32))!])
    let (network, recorded) = Self.eventful(seed: 9, keyring: keyring)
    let (hashes, claims) = (
      (0..<3).map { network.swim($0).viewHash }, (0..<3).map { network.swim($0).claim }
    )
    var random = Random(seed: seed)
    for _ in 0..<1000 {
      let packet = recorded[random.below(recorded.count)]
      var bytes = Array(packet.bytes.readableBytesView)
      switch random.below(4) {
      case 0: bytes = (0..<random.below(1300)).map { _ in UInt8(random.below(256)) }
      case 1: bytes.removeLast(1 + random.below(bytes.count))
      case 2: bytes.append(UInt8(random.below(256)))
      default: bytes[random.below(bytes.count)] ^= 1 << UInt8(random.below(8))
      }
      #expect(network.inject(ByteBuffer(bytes: bytes), from: packet.source, to: packet.to).isEmpty)
    }
    for index in 0..<3 {
      #expect(network.swim(index).viewHash == hashes[index])
      #expect(network.swim(index).claim == claims[index])
    }
  }

  @Test func `the same seed makes the same packets`() {
    let (_, one) = Self.eventful(seed: 5, keyring: nil)
    let (_, two) = Self.eventful(seed: 5, keyring: nil)
    #expect(one.map(\.bytes) == two.map(\.bytes))
    #expect(one.map(\.source) == two.map(\.source))
    let (_, other) = Self.eventful(seed: 6, keyring: nil)
    #expect(one.map(\.bytes) != other.map(\.bytes))
  }
}
