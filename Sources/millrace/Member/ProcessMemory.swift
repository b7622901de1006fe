// Keeps a small process small.
import CPlatform
import Glibc

struct ProcessMemory {
  /// So many seconds after anything happened (the start, a change among the members) its code will not run again soon.
  static let quietSeconds = 5

  /// Around a page that is touched the kernel maps what it has of the 64 KiB there (fault-around), which for a member
  /// is four times what it needs. It stays within a mapping, so large ones are cut into pieces of this size.
  private static let pieceBytes = 16 << 10
  private static let largeBytes = 1 << 20

  private var areCut = false

  /// One heap for all threads: a member has one, and now and then a second for a look-up or a sync.
  static func useOneArena() { millrace_use_one_arena() }

  /// Gives back what only the start or the last change needed: free pages of the heap, and those of programs and
  /// libraries that were read once (relocation tables, symbols, the parsing of flags). These are clean copies of files;
  /// what is needed again comes back by a page fault. The system would take them itself, but only when memory is
  /// short, and until then an idle member would seem to need three times what it does.
  mutating func giveBack() {
    // What is done is done within the walk: no library is unloaded meanwhile.
    _ = dl_iterate_phdr(
      { info, _, areCut in
        guard let info, let areCut else { return 0 }
        let module = millrace_segments_of(info).pointee
        // The kernel's own library is no file.
        if let name = module.name, strncmp(name, "linux-vdso", 10) == 0 { return 0 }
        for index in 0..<Int(module.count) {
          guard let pages = CleanPages(module.headers[index], base: module.base) else { continue }
          pages.giveBack(areCut: areCut.load(as: Bool.self))
        }
        return 0
      }, &areCut)
    areCut = true
    millrace_trim_heap()
  }

  /// The whole pages of a segment that is loaded without the right to write. It is never written, as there are no
  /// relocations of code, so dropping its pages loses nothing. What is relocated at start and read-only afterwards
  /// (RELRO) lies in segments with that right, and is left alone.
  private struct CleanPages {
    let start: UnsafeMutableRawPointer
    let count: Int

    init?(_ segment: Elf64_Phdr, base: UInt) {
      guard segment.p_type == PT_LOAD, segment.p_flags & UInt32(PF_W) == 0 else { return nil }
      let pageBytes = UInt(sysconf(CInt(_SC_PAGESIZE)))
      let first = (base + UInt(segment.p_vaddr) + pageBytes - 1) & ~(pageBytes - 1)
      let end = (base + UInt(segment.p_vaddr) + UInt(segment.p_filesz)) & ~(pageBytes - 1)
      guard first < end, let start = UnsafeMutableRawPointer(bitPattern: first) else { return nil }
      self.start = start
      count = Int(end - first)
    }

    func giveBack(areCut: Bool) {
      if !areCut, count >= largeBytes {
        // Neighbours that differ in a flag are not one mapping. The flag, to be left out of core dumps, changes nothing
        // for files, which are left out anyway.
        for place in stride(from: 0, to: count - pieceBytes, by: 2 * pieceBytes) {
          _ = madvise(start + place, pieceBytes, CInt(MADV_DONTDUMP))
        }
      }
      _ = madvise(start, count, CInt(MADV_DONTNEED))
    }
  }
}
