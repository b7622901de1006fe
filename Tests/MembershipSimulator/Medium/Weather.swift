// What happens to bytes on their way, and who hears whom.
import Wire

/// Chances are in a thousand, times in nanoseconds.
struct Weather: CustomStringConvertible {
  var delayMin: Int64 = 50_000
  var delayMax: Int64 = 2_000_000
  var lost = 0
  var doubled = 0
  /// Datagrams that come so late that others overtake them.
  var straggling = 0
  var straggleMax: Int64 = 0

  /// A good network: nothing is lost; at worst ten milliseconds a way.
  static func drawCalm(_ random: inout Random) -> Weather {
    var weather = Weather()
    weather.delayMax = Int64(1 + random.below(10)) * 1_000_000
    if random.oneIn(2) {
      weather.straggling = random.below(50)
      weather.straggleMax = 20_000_000
      weather.doubled = random.below(100)
    }
    return weather
  }

  static func drawStorm(_ random: inout Random) -> Weather {
    var weather = Weather()
    weather.delayMax = Int64(1 + random.below(200)) * 1_000_000
    if random.oneIn(2) { weather.lost = random.below(500) }
    if random.oneIn(2) { weather.doubled = random.below(300) }
    if random.oneIn(2) {
      weather.straggling = random.below(200)
      weather.straggleMax = Int64(1 + random.below(3000)) * 1_000_000
    }
    return weather
  }

  func drawDelay(_ random: inout Random) -> Int64 {
    var delay = delayMin + Int64(random.below(Int(delayMax - delayMin) + 1))
    if straggling > 0 && random.below(1000) < straggling {
      delay += Int64(random.below(Int(straggleMax) + 1))
    }
    return delay
  }

  func loses(_ random: inout Random) -> Bool { lost > 0 && random.below(1000) < lost }
  func doubles(_ random: inout Random) -> Bool { doubled > 0 && random.below(1000) < doubled }

  var description: String {
    "delays \(delayMin / 1000)–\(delayMax / 1000) µs, lost \(lost)‰, doubled \(doubled)‰, "
      + "straggling \(straggling)‰ up to \(straggleMax / 1_000_000) ms"
  }
}

/// Which hosts hear which. Hosts are numbers.
struct Cuts {
  struct Path: Hashable {
    var from: Int
    var to: Int
  }

  enum Reach { case everything, datagrams }

  /// Hosts of different groups do not hear each other.
  private var groups: [Int: Int] = [:]
  private var reach = Reach.everything
  private var paths: Set<Path> = []
  private var deaf: Set<Int> = []
  private var mute: Set<Int> = []

  var isNone: Bool { groups.isEmpty && paths.isEmpty && deaf.isEmpty && mute.isEmpty }

  mutating func divide(_ hosts: [Int], into count: Int, _ reach: Reach, _ random: inout Random) {
    self.reach = reach
    for host in hosts { groups[host] = random.below(count) }
  }

  /// The first of `hosts` on one side, all others on the other.
  mutating func divide(_ hosts: [Int], first: Int) {
    reach = .everything
    for (place, host) in hosts.enumerated() { groups[host] = place < first ? 0 : 1 }
  }

  mutating func cut(from: Int, to: Int) { paths.insert(Path(from: from, to: to)) }
  mutating func deafen(_ host: Int) { deaf.insert(host) }
  mutating func silence(_ host: Int) { mute.insert(host) }
  mutating func heal() { self = Cuts() }

  func areCut(from: Int, to: Int, isStream: Bool) -> Bool {
    if isNone { return false }
    if mute.contains(from) || deaf.contains(to) { return true }
    if paths.contains(Path(from: from, to: to)) { return true }
    guard reach == .everything || !isStream else { return false }
    return groups[from, default: 0] != groups[to, default: 0]
  }
}
