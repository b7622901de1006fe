// The rumours that are still to be told, those told least first.

/// SWIM §4.1's buffer of updates: each is sent λ·log N times, on whatever packet goes out, and then forgotten. An
/// operation costs the same however many wait.
public struct Dissemination: Sendable {
  /// More than a packet's worth for each of some seconds; when it is full, what was told most gives way.
  public static let entriesMax = 4096
  /// The accusers of one suspicion whose rumours are passed on: Lifeguard's K + 1.
  public static let accusersMax = Suspicion.furtherMax + 1
  /// Rumours that are too long for what room is left are passed over; after so many the packet goes as it is.
  private static let misfitsMax = 16
  private static let sendsMax = 63

  private struct Entry: Sendable {
    let rumour: Rumour
    let encoded: [UInt8]
    var sends = 0
    var previous: Int32 = -1
    var next: Int32 = -1
  }

  private var entries: [Entry?] = []
  private var free: [Int32] = []
  private var byID = SlotTable()
  /// For each number of sends those sent so often, in the order in which they came there.
  private var heads = [Int32](repeating: -1, count: sendsMax + 1)
  private var tails = [Int32](repeating: -1, count: sendsMax + 1)
  /// A bit for each number of sends that some have.
  private var occupied: UInt64 = 0
  /// Of the packet that is being filled.
  private var picked: [Int32] = []

  /// How often each is sent.
  public private(set) var limit: Int

  public init(members: Int) { limit = Self.limit(members: members) }

  /// 3·⌈log2(N + 1)⌉, at least 8. memberlist's factor is 4; with anti-entropy behind it a rumour that misses a few
  /// costs little, and in small clusters 8 outlast 30 % loss.
  public static func limit(members: Int) -> Int {
    min(sendsMax, max(8, 3 * ceilingOfLog2(members + 1)))
  }

  public var count: Int { entries.count - free.count }
  public var isEmpty: Bool { count == 0 }

  /// To be told when the number of members changes.
  public mutating func setLimit(members: Int) {
    limit = Self.limit(members: members)
    while occupied != 0 {
      let most = 63 - occupied.leadingZeroBitCount
      guard most >= limit else { return }
      remove(Int(heads[most]))
    }
  }

  /// Puts a rumour in, in place of older claims about the same member. Nothing happens if a newer claim waits, or this
  /// very one: by the same accuser, when it is a suspicion, of which those of four accusers are kept.
  public mutating func enqueue(_ rumour: Rumour, encoded: [UInt8]) {
    var older: [Int] = []
    var accusers = 0
    var cursor = byID.start(rumour.id.place)
    while let slot = byID.next(rumour.id.place, &cursor) {
      guard let known = entries[slot]?.rumour, known.id == rumour.id else { continue }
      if known.claim > rumour.claim { return }
      if known.claim < rumour.claim {
        older.append(slot)
      } else if known.claim.status != .suspect {
        return
      } else if known.accuser != rumour.accuser {
        accusers += 1
      } else if known.isRefused || !rumour.isRefused {
        return
      } else {
        older.append(slot)
      }
    }
    guard accusers < Self.accusersMax else { return }
    for slot in older { remove(slot) }
    if count == Self.entriesMax {
      remove(Int(heads[63 - occupied.leadingZeroBitCount]))
    }
    insert(Entry(rumour: rumour, encoded: encoded))
  }

  /// Appends rumours of together at most `bytesMax` bytes, and counts them as sent. What is told of the receiver comes
  /// first (Lifeguard's buddy system: a suspect hears it soonest from those who probe it), then what was told least,
  /// then what waits longest.
  public mutating func select(
    bytesMax: Int, for receiver: MemberID?, into packet: inout [[UInt8]]
  ) {
    guard occupied != 0 else { return }
    var room = bytesMax
    if let receiver {
      var cursor = byID.start(receiver.place)
      while let slot = byID.next(receiver.place, &cursor) {
        guard let entry = entries[slot], entry.rumour.id == receiver, entry.encoded.count <= room
        else { continue }
        pick(slot, room: &room, into: &packet)
      }
    }
    var misfits = 0
    var levels = occupied
    scan: while levels != 0 {
      let level = levels.trailingZeroBitCount
      levels &= levels - 1
      var slot = heads[level]
      while slot >= 0, let entry = entries[Int(slot)] {
        let next = entry.next
        if entry.encoded.count <= room {
          pick(Int(slot), room: &room, into: &packet)
        } else {
          misfits += 1
          if misfits == Self.misfitsMax { break scan }
        }
        slot = next
      }
    }
    settle()
  }

  /// Drops all that is told of a member.
  public mutating func remove(_ id: MemberID) {
    var found: [Int] = []
    var cursor = byID.start(id.place)
    while let slot = byID.next(id.place, &cursor) {
      if entries[slot]?.rumour.id == id { found.append(slot) }
    }
    for slot in found { remove(slot) }
  }

  /// Off its list until the packet is full, so that nothing is in there twice.
  private mutating func pick(_ slot: Int, room: inout Int, into packet: inout [[UInt8]]) {
    unlink(slot)
    let encoded = entries[slot]!.encoded
    room -= encoded.count
    packet.append(encoded)
    picked.append(Int32(slot))
  }

  private mutating func settle() {
    for slot in picked {
      entries[Int(slot)]!.sends += 1
      if entries[Int(slot)]!.sends >= limit {
        forget(Int(slot))
      } else {
        link(Int(slot))
      }
    }
    picked.removeAll(keepingCapacity: true)
  }

  private mutating func insert(_ entry: Entry) {
    let slot: Int
    if let reused = free.popLast() {
      slot = Int(reused)
      entries[slot] = entry
    } else {
      slot = entries.count
      entries.append(entry)
    }
    byID.insert(entry.rumour.id.place, slot: slot)
    link(slot)
  }

  private mutating func remove(_ slot: Int) {
    unlink(slot)
    forget(slot)
  }

  private mutating func forget(_ slot: Int) {
    byID.remove(entries[slot]!.rumour.id.place, slot: slot)
    entries[slot] = nil
    free.append(Int32(slot))
  }

  private mutating func link(_ slot: Int) {
    let level = entries[slot]!.sends
    let last = tails[level]
    entries[slot]!.previous = last
    entries[slot]!.next = -1
    if last >= 0 {
      entries[Int(last)]!.next = Int32(slot)
    } else {
      heads[level] = Int32(slot)
      occupied |= 1 << UInt64(level)
    }
    tails[level] = Int32(slot)
  }

  private mutating func unlink(_ slot: Int) {
    let entry = entries[slot]!
    if entry.previous >= 0 {
      entries[Int(entry.previous)]!.next = entry.next
    } else {
      heads[entry.sends] = entry.next
    }
    if entry.next >= 0 {
      entries[Int(entry.next)]!.previous = entry.previous
    } else {
      tails[entry.sends] = entry.previous
    }
    if heads[entry.sends] < 0 { occupied &= ~(1 << UInt64(entry.sends)) }
  }
}
