// A trap ends the process before anyone can say from which seed it came: this says it from the signal's handler.
import Synchronization

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#endif

/// The last trace lines in memory that a signal handler may read.
public enum TrapReport {
  private static let bytesMax = 16_384
  private static let address = Atomic<UInt>(0)
  private static let end = Atomic<Int>(0)

  /// From now on a trap prints the last lines noted, then ends the process as it would have.
  public static func install() {
    guard address.load(ordering: .relaxed) == 0 else { return }
    let memory = UnsafeMutableRawPointer.allocate(byteCount: bytesMax, alignment: 8)
    memory.initializeMemory(as: UInt8.self, repeating: 10, count: bytesMax)
    address.store(UInt(bitPattern: memory), ordering: .releasing)
    for number in [SIGILL, SIGTRAP, SIGABRT, SIGSEGV, SIGBUS] {
      signal(number) { number in
        TrapReport.write()
        signal(number, SIG_DFL)
        raise(number)
      }
    }
  }

  /// Keeps `line` as the newest, over the oldest.
  public static func note(_ line: String) {
    guard let memory = UnsafeMutableRawPointer(bitPattern: address.load(ordering: .acquiring))
    else { return }
    var position = end.load(ordering: .relaxed)
    for byte in line.utf8 {
      memory.storeBytes(of: byte, toByteOffset: position % bytesMax, as: UInt8.self)
      position += 1
    }
    memory.storeBytes(of: 10, toByteOffset: position % bytesMax, as: UInt8.self)
    end.store(position + 1, ordering: .releasing)
  }

  private static func write() {
    guard let memory = UnsafeMutableRawPointer(bitPattern: address.load(ordering: .acquiring))
    else { return }
    let split = end.load(ordering: .acquiring) % bytesMax
    _ = Glibc.write(2, memory + split, bytesMax - split)
    _ = Glibc.write(2, memory, split)
  }
}
