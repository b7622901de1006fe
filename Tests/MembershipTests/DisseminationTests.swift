// The rumours that are still to be told.
import Testing
import Wire

@testable import Membership

@Suite struct `The queue of rumours` {
  /// Bytes that tell which rumour they are, so that packets can be read.
  static func encoded(_ rumour: Rumour, bytes: Int = 40) -> [UInt8] {
    let text = "\(rumour.id) \(rumour.claim)" + (rumour.accuser.map { " \($0)" } ?? "")
    return Array(text.utf8) + [UInt8](repeating: 0, count: max(0, bytes - text.utf8.count))
  }

  static func text(_ bytes: [UInt8]) -> String {
    String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
  }

  static func queue(members: Int, _ rumours: [Rumour]) -> Dissemination {
    var queue = Dissemination(members: members)
    for rumour in rumours { queue.enqueue(rumour, encoded: encoded(rumour)) }
    return queue
  }

  static func packet(
    of queue: inout Dissemination, bytesMax: Int = 1200, for receiver: String? = nil
  ) -> [String] {
    var packet: [[UInt8]] = []
    queue.select(bytesMax: bytesMax, for: receiver?.id, into: &packet)
    #expect(packet.reduce(0) { $0 + $1.count } <= bytesMax)
    return packet.map { text($0) }
  }

  static func alive(_ name: String, incarnation: UInt32 = 0) -> Rumour {
    member(name, incarnation: incarnation).rumour(at: seconds(0))
  }

  static func suspicion(_ name: String, by accuser: String, isRefused: Bool = false) -> Rumour {
    member(name).suspicion(by: accuser.id, isRefused: isRefused)
  }

  @Test func `tells each rumour 3·⌈log2(N + 1)⌉ times, at least 8, and then no more`() {
    for (members, limit) in [(1, 8), (3, 8), (7, 9), (8, 12), (100, 21), (1000, 30), (1 << 40, 63)]
    {
      var queue = Self.queue(members: members, [Self.alive("n1")])
      #expect(queue.limit == limit)
      for _ in 0..<limit { #expect(Self.packet(of: &queue) == ["n1 alive 1.0"]) }
      #expect(queue.isEmpty)
      #expect(Self.packet(of: &queue) == [])
    }
  }

  @Test func `tells what was told least first, and of those what waits longest`() {
    var queue = Self.queue(members: 5, [Self.alive("n1"), Self.alive("n2"), Self.alive("n3")])
    #expect(Self.packet(of: &queue, bytesMax: 80) == ["n1 alive 1.0", "n2 alive 1.0"])
    #expect(Self.packet(of: &queue, bytesMax: 80) == ["n3 alive 1.0", "n1 alive 1.0"])
    let news = Self.alive("n4")
    queue.enqueue(news, encoded: Self.encoded(news))
    #expect(Self.packet(of: &queue, bytesMax: 40) == ["n4 alive 1.0"])
    #expect(
      Self.packet(of: &queue) == ["n2 alive 1.0", "n3 alive 1.0", "n4 alive 1.0", "n1 alive 1.0"])
  }

  @Test func `tells a receiver first what concerns it`() {
    var queue = Self.queue(members: 5, (1...9).map { Self.alive("n\($0)") })
    let suspicion = Self.suspicion("n0", by: "n1")
    queue.enqueue(suspicion, encoded: Self.encoded(suspicion))
    for _ in 0..<6 {
      #expect(Self.packet(of: &queue, bytesMax: 80, for: "n0").first == "n0 suspect 1.0 n1")
    }
    #expect(!Self.packet(of: &queue, bytesMax: 80, for: "n5").contains("n0 suspect 1.0 n1"))
  }

  @Test func `holds the newest claim about a member only`() {
    var queue = Self.queue(members: 5, [Self.alive("n1"), Self.suspicion("n1", by: "n2")])
    #expect(Self.packet(of: &queue) == ["n1 suspect 1.0 n2"])
    for rumour in [
      Self.alive("n1", incarnation: 1), Self.suspicion("n1", by: "n3"), Self.alive("n1"),
    ] {
      queue.enqueue(rumour, encoded: Self.encoded(rumour))
    }
    #expect(Self.packet(of: &queue) == ["n1 alive 1.1"])
    #expect(queue.count == 1)
  }

  @Test func `does not begin anew when it is given the same again`() {
    var queue = Dissemination(members: 5)
    for _ in 0..<queue.limit {
      let rumour = Self.alive("n1")
      queue.enqueue(rumour, encoded: Self.encoded(rumour))
      #expect(Self.packet(of: &queue).count == 1)
    }
    #expect(queue.isEmpty)
  }

  @Test func `holds the accusations of four, each once`() {
    let accusers = ["n2", "n3", "n2", "n4", "n5", "n6", "n3"]
    var queue = Self.queue(members: 9, accusers.map { Self.suspicion("n1", by: $0) })
    #expect(queue.count == 4)
    #expect(Self.packet(of: &queue) == ["n2", "n3", "n4", "n5"].map { "n1 suspect 1.0 \($0)" })
    // An accuser who has since seen it refused says more than before.
    let refused = Self.suspicion("n1", by: "n3", isRefused: true)
    queue.enqueue(refused, encoded: Self.encoded(refused))
    #expect(queue.count == 4)
    #expect(Self.packet(of: &queue, bytesMax: 40) == ["n1 suspect 1.0 n3"])
    queue.enqueue(Self.alive("n1", incarnation: 1), encoded: [1])
    #expect(queue.count == 1)
  }

  @Test func `fills a packet with what fits, passing over what does not`() {
    var queue = Dissemination(members: 5)
    for (name, bytes) in [("n1", 700), ("n2", 700), ("n3", 400), ("n4", 200), ("n5", 100)] {
      let rumour = Self.alive(name)
      queue.enqueue(rumour, encoded: Self.encoded(rumour, bytes: bytes))
    }
    #expect(Self.packet(of: &queue) == ["n1", "n3", "n5"].map { "\($0) alive 1.0" })
    #expect(Self.packet(of: &queue) == ["n2", "n4", "n5"].map { "\($0) alive 1.0" })
    #expect(Self.packet(of: &queue, bytesMax: 99) == [])
  }

  @Test func `lets what was told most give way when it is full`() {
    var queue = Self.queue(members: 5, (0..<Dissemination.entriesMax).map { Self.alive("n\($0)") })
    #expect(
      Self.packet(of: &queue, bytesMax: 120) == ["n0 alive 1.0", "n1 alive 1.0", "n2 alive 1.0"])
    let news = Self.alive("news")
    queue.enqueue(news, encoded: Self.encoded(news))
    #expect(queue.count == Dissemination.entriesMax)
    #expect(Self.packet(of: &queue, bytesMax: 40, for: "n0") == ["n3 alive 1.0"])
    #expect(Self.packet(of: &queue, bytesMax: 40, for: "n1") == ["n1 alive 1.0"])
  }

  @Test func `drops what is told of one that is forgotten`() {
    var queue = Self.queue(
      members: 5,
      [Self.alive("n1"), Self.suspicion("n2", by: "n3"), Self.suspicion("n2", by: "n4")])
    queue.remove("n2".id)
    #expect(Self.packet(of: &queue) == ["n1 alive 1.0"])
  }

  @Test func `tells less often in a cluster that shrank`() {
    var queue = Self.queue(members: 1000, [Self.alive("n1")])
    for _ in 0..<20 { #expect(Self.packet(of: &queue).count == 1) }
    let news = Self.alive("n2")
    queue.enqueue(news, encoded: Self.encoded(news))
    queue.setLimit(members: 3)
    #expect(queue.count == 1)
    for _ in 0..<8 { #expect(Self.packet(of: &queue) == ["n2 alive 1.0"]) }
    #expect(queue.isEmpty)
  }

  @Test(arguments: UInt64(1)...40)
  func `tells everything within its bounds, whatever happens`(seed: UInt64) {
    var random = Random(seed: seed)
    var queue = Dissemination(members: 30)
    var told: [String: Int] = [:]
    for _ in 0..<600 {
      switch random.below(10) {
      case 0..<4:
        let rumour = Self.any(&random)
        queue.enqueue(rumour, encoded: Self.encoded(rumour, bytes: 30 + random.below(60)))
      case 4: queue.setLimit(members: 1 + random.below(60))
      case 5 where random.oneIn(5): queue.remove("n\(random.below(8))".id)
      default:
        let count = queue.count
        let packet = Self.packet(
          of: &queue, bytesMax: random.below(400), for: "n\(random.below(8))")
        #expect(Set(packet).count == packet.count)
        #expect(packet.count <= count)
        for text in packet { told[text, default: 0] += 1 }
      }
      // One claim a member, in four voices.
      #expect(queue.count <= 8 * Dissemination.accusersMax)
    }
    // What is left goes out to the end, and of each member one claim.
    var claims: [Substring: Substring] = [:]
    while !queue.isEmpty {
      let packet = Self.packet(of: &queue, bytesMax: 200)
      #expect(!packet.isEmpty)
      for text in packet {
        let words = text.split(separator: " ")
        let claim = text.dropFirst(words[0].count).prefix(words[1].count + words[2].count + 2)
        #expect(claims[words[0], default: claim] == claim)
        claims[words[0]] = claim
      }
    }
    #expect(!told.isEmpty)
  }

  static func any(_ random: inout Random) -> Rumour {
    let id = "n\(random.below(8))".id
    let claim = Claim(
      generation: 1, incarnation: UInt32(random.below(6)), status: Status.allCases[random.below(4)])
    let isSuspect = claim.status == .suspect
    return Rumour(
      id: id, claim: claim, profile: profile(of: id),
      accuser: isSuspect ? "a\(random.below(7))".id : nil, isRefused: isSuspect && random.oneIn(3))
  }
}
