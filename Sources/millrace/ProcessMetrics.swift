// What the process itself uses, read from /proc, under the names that Prometheus' own client libraries give.
import Engine
import Glibc

enum ProcessMetrics {
  static var samples: [MetricSample] {
    let status = statusFields
    let ticks = Double(sysconf(CInt(_SC_CLK_TCK)))
    let pageBytes = Double(sysconf(CInt(_SC_PAGESIZE)))
    var files = rlimit()
    _ = getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &files)
    // Fields of proc(5)'s stat, counted from the state, which is the third.
    return [
      MetricSample(
        "process_cpu_seconds_total", .counter, "User and system time spent.",
        value: (field(status, 14) + field(status, 15)) / ticks),
      MetricSample(
        "process_resident_memory_bytes", .gauge, "Resident memory.",
        value: field(status, 24) * pageBytes),
      MetricSample(
        "process_virtual_memory_bytes", .gauge, "Virtual memory.", value: field(status, 23)),
      MetricSample(
        "process_threads", .gauge, "Threads.", value: field(status, 20)),
      MetricSample(
        "process_start_time_seconds", .gauge, "When it started, since 1970.",
        value: bootTime + field(status, 22) / ticks),
      MetricSample("process_open_fds", .gauge, "Files open.", value: Double(openFiles)),
      MetricSample(
        "process_max_fds", .gauge, "Files that may be open.", value: Double(files.rlim_cur)),
      MetricSample(
        "millrace_build_info", .gauge, "1, with the version.",
        labels: [("version", Version.number)], value: 1),
    ]
  }

  private static func field(_ status: [Substring], _ number: Int) -> Double {
    let index = number - 3
    return status.indices.contains(index) ? Double(status[index]) ?? 0 : 0
  }

  /// The fields behind the command's name, which may hold spaces and brackets.
  private static var statusFields: [Substring] {
    let text = contents("/proc/self/stat")
    guard let close = text.lastIndex(of: ")") else { return [] }
    return text[text.index(after: close)...].split(separator: " ")
  }

  private static let bootTime: Double = {
    for line in contents("/proc/stat").split(separator: "\n") where line.hasPrefix("btime ") {
      return Double(line.dropFirst(6)) ?? 0
    }
    return 0
  }()

  private static var openFiles: Int {
    guard let folder = opendir("/proc/self/fd") else { return 0 }
    defer { closedir(folder) }
    // Neither "." nor "..", nor the descriptor that is counting.
    var count = -3
    while readdir(folder) != nil { count += 1 }
    return max(0, count)
  }

  private static func contents(_ path: String) -> String {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { return "" }
    defer { close(descriptor) }
    var bytes: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 16 << 10)
    while true {
      let count = read(descriptor, &piece, piece.count)
      guard count > 0 else { return String(decoding: bytes, as: UTF8.self) }
      bytes += piece[..<count]
    }
  }
}
