// Keeps a small process small.
import CPlatform
import Glibc

/// What the process's mappings of files were when it had started.
struct ProcessMemory {
  /// So many seconds after anything happened (the start, a change among the members) its code will not run again soon.
  static let quietSeconds = 5

  /// Around a page that is touched the kernel maps what it has of the 64 KiB there (fault-around), which for a member
  /// is four times what it needs. It stays within a mapping, so large ones are cut into pieces of this size.
  private static let pieceBytes = 16 << 10
  private static let largeBytes = 1 << 20

  private var clean: [FilePages] = []

  /// One heap for all threads: a member has one, and now and then a second for a look-up or a sync.
  static func useOneArena() { millrace_use_one_arena() }

  /// Gives back what only the start or the last change needed: free pages of the heap, and those of programs and
  /// libraries that were read once (relocation tables, symbols, the parsing of flags). These are clean copies of files;
  /// what is needed again comes back by a page fault. The system would take them itself, but only when memory is
  /// short, and until then an idle member would seem to need three times what it does.
  mutating func giveBack() {
    if clean.isEmpty {
      clean = Self.cleanPages()
      for pages in clean where pages.count >= Self.largeBytes { pages.cut(Self.pieceBytes) }
    }
    for pages in clean { _ = madvise(pages.start, pages.count, CInt(MADV_DONTNEED)) }
    millrace_trim_heap()
  }

  /// What was never written of files, and cannot be: dropping it loses nothing. (Relocations are written before their
  /// pages become read-only.)
  private static func cleanPages() -> [FilePages] {
    guard case .success(let maps) = Environment.text(of: "/proc/self/smaps") else { return [] }
    var found: [FilePages] = []
    var candidate: FilePages?
    for line in maps.split(separator: "\n") {
      if let pages = FilePages(line) {
        candidate = pages
      } else if line.hasPrefix("Anonymous:") {
        if let pages = candidate, line.hasSuffix(" 0 kB") { found.append(pages) }
        candidate = nil
      }
    }
    return found
  }

  /// A read-only mapping of a file.
  private struct FilePages {
    let start: UnsafeMutableRawPointer
    let count: Int

    /// The first of a mapping's lines in proc(5)'s smaps: "55d0-55e0 r-xp 00010000 08:01 42 /path".
    init?(_ line: Substring) {
      let fields = line.split(separator: " ")
      guard fields.count >= 6, fields[5].hasPrefix("/"), fields[1] == "r-xp" || fields[1] == "r--p"
      else { return nil }
      let bounds = fields[0].split(separator: "-").compactMap { UInt($0, radix: 16) }
      guard bounds.count == 2, bounds[0] < bounds[1],
        let start = UnsafeMutableRawPointer(bitPattern: bounds[0])
      else { return nil }
      self.start = start
      count = Int(bounds[1] - bounds[0])
    }

    /// Into mappings of that size: neighbours that differ in a flag are not one. The flag, to be left out of core
    /// dumps, changes nothing for files, which are left out anyway.
    func cut(_ bytes: Int) {
      for place in stride(from: 0, to: count - bytes, by: 2 * bytes) {
        _ = madvise(start + place, bytes, CInt(MADV_DONTDUMP))
      }
    }
  }
}
