// What happened, in order: hashed whole, the last lines kept, and all of it kept when a test compares two runs.

public final class Trace {
  /// Of every byte of every line so far.
  public private(set) var hash: UInt64 = 0xcbf2_9ce4_8422_2325
  public private(set) var lineCount = 0
  /// Every line, if asked for.
  public private(set) var text: [UInt8] = []
  private let keepsText: Bool
  private let echoes: Bool
  private var recent: [String] = []
  private let recentMax = 40

  /// - Parameter echoes: print each line at once.
  public init(keepsText: Bool = false, echoes: Bool = false) {
    self.keepsText = keepsText
    self.echoes = echoes
  }

  package func line(_ line: String) {
    lineCount += 1
    for byte in line.utf8 { mix(UInt64(byte)) }
    mix(10)
    if recent.count == 2 * recentMax { recent.removeFirst(recentMax) }
    recent.append(line)
    TrapReport.note(line)
    if keepsText {
      text.append(contentsOf: line.utf8)
      text.append(10)
    }
    if echoes { print(line) }
  }

  /// Counts a number as part of what happened, without a line of its own.
  package func mix(_ word: UInt64) {
    hash = (hash ^ word) &* 0x0000_0100_0000_01b3
    hash ^= hash >> 29
  }

  public var lastLines: [String] { Array(recent.suffix(recentMax)) }
}
