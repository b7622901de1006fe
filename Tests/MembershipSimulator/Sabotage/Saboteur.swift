// Sits between one core and the world, and makes the core look as if it had a bug.
import Membership
import NIOCore
import Wire

final class Saboteur {
  private let bug: PlantedBug
  private let id: MemberID
  private var random: Random
  private var rewriter: Rewriter
  private var told: Set<[UInt8]> = []
  /// What a core with the bug would hold.
  private var claims: [MemberID: Claim] = [:]

  init(_ bug: PlantedBug, id: MemberID, seed: UInt64) {
    self.bug = bug
    self.id = id
    random = Random(seed: seed)
    rewriter = Rewriter(session: random.next())
  }

  // MARK: Packets

  /// What the core gets to see of bytes that came.
  func incoming(_ bytes: ByteBuffer) -> ByteBuffer {
    switch bug {
    case .neverRefutes:
      return rewriter.rewritten(bytes) { rumour in
        rumour.id == id && rumour.claim.status != .alive ? nil : rumour
      }
    case .lastClaimTaken, .deadForgotten:
      for rumour in rewriter.packet(bytes)?.rumours ?? [] { hear(rumour) }
      return bytes
    default: return bytes
    }
  }

  /// What becomes of bytes that the core sends.
  func outgoing(_ bytes: ByteBuffer) -> [ByteBuffer] {
    switch bug {
    case .toldOnce:
      return [rewriter.rewritten(bytes) { told.insert(Codec.encode($0)).inserted ? $0 : nil }]
    case .leaveUnsaid:
      return [rewriter.rewritten(bytes) { $0.claim.status == .left ? nil : $0 }]
    case .metadataLost:
      return [rewriter.rewritten(bytes) { $0.id == id && $0.claim.incarnation > 0 ? nil : $0 }]
    case .incarnationsInvented:
      return [
        rewriter.rewritten(bytes) { rumour in
          var rumour = rumour
          if rumour.id != id, rumour.claim.status == .alive, random.oneIn(8) {
            rumour.claim.incarnation += 1
          }
          return rumour
        }
      ]
    case .chatty: return [bytes, bytes, bytes, bytes]
    default: return [bytes]
    }
  }

  // MARK: A roster with a bug

  private func hear(_ rumour: Rumour) {
    guard let held = claims[rumour.id] else {
      claims[rumour.id] = rumour.claim
      return
    }
    switch bug {
    case .lastClaimTaken: claims[rumour.id] = rumour.claim
    // The record was dropped when it died: whatever comes next is new.
    default: claims[rumour.id] = held.status.isPresent ? max(held, rumour.claim) : rumour.claim
    }
  }

  /// nil where the core's own word holds.
  func claim(of member: MemberID) -> Claim? { claims[member] }
  var hidesClaims: Bool { bug == .lastClaimTaken || bug == .deadForgotten }

  // MARK: Events

  func events(_ events: [Event]) -> [Event] {
    switch bug {
    case .eventsRepeated:
      return events.flatMap { event in
        if case .joined = event, random.oneIn(8) { [event, event] } else { [event] }
      }
    case .viewsHasty:
      return events.flatMap { event in
        guard case .suspected(let member, _) = event else { return [event] }
        return [event, .view(View(members: [(id: member.id, generation: random.next())]))]
      }
    default: return events
    }
  }
}
