// How many cores this process may use.
import NIOCore

enum Cores {
  /// The cores in this process's affinity mask, or fewer where a container's quota is lower; at least one.
  static var allowed: Int { max(1, min(inAffinityMask ?? .max, System.coreCount)) }

  /// As the kernel tells it in /proc, because `sched_getaffinity` is not in Swift's Glibc.
  private static var inAffinityMask: Int? {
    guard case .success(let status) = Environment.text(of: "/proc/self/status") else { return nil }
    return countedMask(inStatus: status)
  }

  /// The bits of the line `Cpus_allowed:	ff,ffffffff`.
  static func countedMask(inStatus status: String) -> Int? {
    let name = "Cpus_allowed:"
    guard let line = status.split(separator: "\n").first(where: { $0.hasPrefix(name) }) else {
      return nil
    }
    return line.dropFirst(name.count).compactMap(\.hexDigitValue).reduce(0) {
      $0 + $1.nonzeroBitCount
    }
  }
}
