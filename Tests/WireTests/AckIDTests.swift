// Ack ids: one text a delivery, small, and nobody's when damaged or another subscription's.
import NIOCore
import Testing

@testable import Wire

struct AckIDTests {
  private func random(_ random: inout Random) -> AckID {
    AckID(
      track: UInt32(truncatingIfNeeded: random.anySize()), offset: Offset(random.anySize()),
      lease: random.anySize(), epoch: UInt32(truncatingIfNeeded: random.anySize()))
  }

  @Test func `what is written is read back`() throws {
    var random = Random(seed: 1)
    for _ in 0..<2000 {
      let id = self.random(&random)
      let salt = random.next()
      let text = id.encoded(salt: salt)
      #expect(text.utf8.count <= AckID.textBytesMax)
      #expect(try AckID(decoding: text, salt: salt) == id)
    }
    let longest = AckID(track: .max, offset: Offset(.max), lease: .max, epoch: .max)
    #expect(longest.encoded(salt: 7).utf8.count == AckID.textBytesMax)
    #expect(try AckID(decoding: longest.encoded(salt: 7), salt: 7) == longest)
  }

  @Test func `an everyday one is short, and its bytes are those of the golden text`() {
    let id = AckID(track: 3, offset: Offset(1_000_000), lease: 70_000, epoch: 257)
    #expect(id.encoded(salt: 42) == golden)
  }

  @Test func `damaged ones are nobody's`() {
    let text = AckID(track: 1, offset: Offset(500), lease: 9, epoch: 2).encoded(salt: 5)
    let letters = Array(text.utf8)
    var undetected = 0
    for place in letters.indices {
      for letter in UInt8(33)..<127 where letter != letters[place] {
        var changed = letters
        changed[place] = letter
        let damaged = String(decoding: changed, as: UTF8.self)
        if (try? AckID(decoding: damaged, salt: 5)) != nil { undetected += 1 }
      }
    }
    #expect(undetected == 0)
    for length in 0..<letters.count {
      let cut = String(decoding: letters[..<length], as: UTF8.self)
      #expect(throws: AckIDDamaged.self) { try AckID(decoding: cut, salt: 5) }
    }
    for other in ["", "a", "b", text + "A", text + text, "a" + text, String(text.dropFirst())] {
      #expect(throws: AckIDDamaged.self) { try AckID(decoding: other, salt: 5) }
    }
  }

  @Test func `one of another subscription is nobody's`() {
    var taken = 0
    let id = AckID(track: 0, offset: Offset(17), lease: 4, epoch: 1)
    let text = id.encoded(salt: 100)
    for salt in UInt64(101)..<1101 where (try? AckID(decoding: text, salt: salt)) != nil {
      taken += 1
    }
    #expect(taken == 0)
  }
}

/// By an independent program, from the words of `AckID`.
private let golden = "aA8CEPfCiBIECjmg"
