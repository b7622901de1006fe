// What the disk alone takes: write and fdatasync into a file whose blocks are already written.
import Glibc

enum SyncLatency {
  static func run(_ options: Options) -> Report {
    let path = options.text("file")
    let bytes = options.integer("bytes", 1024)
    let fileBytes = 64 << 20
    let descriptor = open(path, O_RDWR | O_CREAT | O_TRUNC, 0o600)
    guard descriptor >= 0 else { fail("\(path): errno \(errno)") }
    defer {
      close(descriptor)
      unlink(path)
    }
    let zeros = [UInt8](repeating: 0, count: 1 << 20)
    for _ in 0..<(fileBytes >> 20) {
      guard write(descriptor, zeros, zeros.count) == zeros.count else { fail("write: \(errno)") }
    }
    guard fsync(descriptor) == 0 else { fail("fsync: errno \(errno)") }

    let record = Payload.record(bytes: bytes)
    var window = Window(options)
    var latency = Histogram()
    var offset = 0
    var time = now()
    while time < window.endsAt {
      if window.opens(at: time) { latency = Histogram() }
      guard pwrite(descriptor, record, bytes, off_t(offset)) == bytes,
        fdatasync(descriptor) == 0
      else { fail("write and sync: errno \(errno)") }
      let done = now()
      latency.record(done - time)
      time = done
      offset = offset + 2 * bytes > fileBytes ? 0 : offset + bytes
    }
    var report = Report()
    let (seconds, _) = window.close(into: &report)
    report.add("answers_per_second", Double(latency.count) / seconds)
    report.add("latency", latency)
    return report
  }
}
