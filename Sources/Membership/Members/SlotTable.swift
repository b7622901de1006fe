// Finds the slots of an array by the hash of what lies in them: eight bytes an entry, and no callbacks.

/// A table of open addressing (Knuth, TAOCP volume 3, §6.4, algorithms L and R). Several slots may have one hash, and
/// one key may lie in several: the caller looks at each.
///
///     var cursor = table.start(hash)
///     while let slot = table.next(hash, &cursor) { … }
struct SlotTable: Sendable {
  /// The hash's upper half, then the slot plus one; 0 is free.
  private var cells: [UInt64] = []
  private var count = 0
  private var mask: Int { cells.count - 1 }

  func start(_ hash: UInt64) -> Int { cells.isEmpty ? 0 : Int(hash >> 32) & mask }

  /// The next slot that was put in by `hash`. The table must not change meanwhile.
  func next(_ hash: UInt64, _ cursor: inout Int) -> Int? {
    guard !cells.isEmpty else { return nil }
    while true {
      let cell = cells[cursor]
      if cell == 0 { return nil }
      cursor = (cursor + 1) & mask
      if cell >> 32 == hash >> 32 { return Int(truncatingIfNeeded: cell & 0xffff_ffff) - 1 }
    }
  }

  mutating func insert(_ hash: UInt64, slot: Int) {
    // Three quarters full at most.
    if (count + 1) * 4 > cells.count * 3 { grow() }
    put(hash & ~0xffff_ffff | UInt64(slot + 1))
    count += 1
  }

  mutating func remove(_ hash: UInt64, slot: Int) {
    let wanted = hash & ~0xffff_ffff | UInt64(slot + 1)
    precondition(!cells.isEmpty, "slot \(slot) is not in the table")
    var free = start(hash)
    while cells[free] != wanted {
      precondition(cells[free] != 0, "slot \(slot) is not in the table")
      free = (free + 1) & mask
    }
    // What comes behind and could not lie where it belongs moves up, so that there are no graves to step over.
    var cursor = free
    while true {
      cursor = (cursor + 1) & mask
      let cell = cells[cursor]
      if cell == 0 { break }
      let home = Int(cell >> 32) & mask
      if (cursor - home) & mask >= (cursor - free) & mask {
        cells[free] = cell
        free = cursor
      }
    }
    cells[free] = 0
    count -= 1
  }

  private mutating func put(_ cell: UInt64) {
    var cursor = Int(cell >> 32) & mask
    while cells[cursor] != 0 { cursor = (cursor + 1) & mask }
    cells[cursor] = cell
  }

  private mutating func grow() {
    let old = cells
    cells = [UInt64](repeating: 0, count: max(8, old.count * 2))
    for cell in old where cell != 0 { put(cell) }
  }
}
