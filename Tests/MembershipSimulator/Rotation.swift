// The operator's way from one key to the next: install everywhere, use everywhere, remove everywhere.
import Membership
import Wire

struct Rotation {
  private enum Stage { case installing, using, removing }

  private var keys: [MemberKey]
  private var stage = Stage.removing
  /// The members that are at this stage.
  private var done: Set<Int> = []

  init(_ random: inout Random) { keys = [Self.draw(&random)] }

  private static func draw(_ random: inout Random) -> MemberKey {
    let bytes = (0..<32).map { _ in UInt8(truncatingIfNeeded: random.next()) }
    guard let key = MemberKey(bytes: bytes) else { preconditionFailure("32 bytes are no key") }
    return key
  }

  private func ring(_ keys: [MemberKey]) -> Keyring {
    guard let ring = Keyring(keys) else { preconditionFailure("\(keys.count) keys are no ring") }
    return ring
  }

  private var current: Keyring {
    switch stage {
    case .removing: ring([keys[keys.count - 1]])
    case .installing: ring([keys[keys.count - 2], keys[keys.count - 1]])
    case .using: ring([keys[keys.count - 1], keys[keys.count - 2]])
    }
  }

  /// For one who starts now; it is at this stage then.
  mutating func keyring(for member: Int) -> Keyring {
    done.insert(member)
    return current
  }

  /// Every key that there ever was.
  var all: Keyring { ring(Array(keys.suffix(8))) }

  /// What `member` is to be given now; nil if others have to follow first.
  mutating func advance(
    _ member: Int, among running: Set<Int>, _ random: inout Random
  ) -> Keyring? {
    if running.isSubset(of: done) {
      done = []
      switch stage {
      case .removing:
        keys.append(Self.draw(&random))
        stage = .installing
      case .installing: stage = .using
      case .using: stage = .removing
      }
    }
    guard done.insert(member).inserted else { return nil }
    return current
  }
}
