// Which troubles may happen for a while, and how often.
import Wire

/// Each number is "one in n operations"; 0 is never.
struct Weather {
  var writeFaults = 0
  var syncFaults = 0
  var readFaults = 0
  /// Of opening, creating, renaming, removing and syncing of directories.
  var nameFaults = 0
  /// Of checkpoint commits: failed, or nobody knows.
  var checkpointFaults = 0
  /// Of changes of the catalog.
  var metaFaults = 0
  /// Pages given up by a failed sync are read from the platter again.
  var pageDrops = 0
  /// Only files with this in their path have trouble; empty is all.
  var only = ""
  /// Bytes that files may take; nil is no end.
  var capacity: Int?

  static let fair = Weather()

  var isFair: Bool {
    capacity == nil && writeFaults + syncFaults + readFaults + nameFaults == 0
      && checkpointFaults + metaFaults == 0
  }

  /// A spell of bad weather.
  static func draw(_ random: inout Random, usedBytes: Int) -> Weather {
    var weather = Weather(pageDrops: [0, 3][random.below(2)])
    weather.only = ["", "", "lanes", "shards", ".idx"][random.below(5)]
    switch random.below(7) {
    case 0: weather.writeFaults = 2 + random.below(30)
    case 1: weather.syncFaults = 2 + random.below(30)
    case 2: weather.nameFaults = 2 + random.below(20)
    case 3: weather.checkpointFaults = 1 + random.below(4)
    case 4: weather.metaFaults = 1 + random.below(4)
    case 5: weather.capacity = usedBytes + random.below(48) * 1024
    default:
      weather.writeFaults = 20 + random.below(30)
      weather.syncFaults = 10 + random.below(20)
      weather.readFaults = 20 + random.below(50)
      weather.nameFaults = 20 + random.below(20)
      weather.checkpointFaults = 4 + random.below(4)
      weather.metaFaults = 4 + random.below(8)
    }
    return weather
  }
}

/// The troubles of one simulation, shared by its disk, checkpoints and catalog, over all restarts.
final class Climate {
  private(set) var weather = Weather.fair
  /// Faults that happened so far.
  var faultCount = 0
  private var random: Random

  init(seed: UInt64) { random = Random(seed: seed ^ 0x7765_6174) }

  func change(_ weather: Weather, _ world: World) {
    if weather.isFair && self.weather.isFair { return }
    self.weather = weather
    // A store that sees little space refuses before it runs out.
    if weather.capacity != nil { faultCount += 1 }
    world.note(weather.isFair ? "fair weather" : "\(weather)")
  }

  func strikes(_ oneIn: Int, path: String = "") -> Bool {
    guard oneIn > 0, weather.only.isEmpty || path.isEmpty || path.contains(weather.only),
      random.oneIn(oneIn)
    else { return false }
    faultCount += 1
    return true
  }

  func below(_ bound: Int) -> Int { random.below(bound) }
}
