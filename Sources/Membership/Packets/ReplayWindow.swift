// Which counters of a session were seen: each is taken once, also when packets overtake each other.

/// The last 1,024 counters up to the highest one seen, a bit each, in words that are used round and round (RFC 6479).
/// Ten seconds of a busy member's packets; what comes later than that is lost as if by the network.
struct ReplayWindow: Sendable {
  static let width: UInt64 = 1024
  /// One word more than the window has, so that whole words can be cleared ahead of the highest counter. A power of 2.
  private static let wordCount = 32

  /// One above the highest counter seen; 0 before the first.
  private var end: UInt64 = 0
  /// None before the first.
  private var words: [UInt64] = []

  /// Whether it was not seen before, as far as can be told.
  func accepts(_ counter: UInt64) -> Bool {
    if counter >= end { return counter < .max }
    return end - counter <= Self.width && words[Self.word(counter)] & Self.bit(counter) == 0
  }

  /// Marks one that is accepted as seen.
  mutating func mark(_ counter: UInt64) {
    precondition(accepts(counter), "counter \(counter) is marked twice")
    if counter >= end {
      if words.isEmpty { words = [UInt64](repeating: 0, count: Self.wordCount) }
      // Words between the highest so far and this one hold counters of long ago.
      let first = end == 0 ? 0 : (end - 1) / 64 + 1
      let last = counter / 64
      if first <= last {
        for step in 0..<min(last - first + 1, UInt64(Self.wordCount)) {
          words[Int((last - step) % UInt64(Self.wordCount))] = 0
        }
      }
      end = counter + 1
    }
    words[Self.word(counter)] |= Self.bit(counter)
  }

  private static func word(_ counter: UInt64) -> Int { Int(counter / 64 % UInt64(wordCount)) }
  private static func bit(_ counter: UInt64) -> UInt64 { 1 << (counter % 64) }
}
