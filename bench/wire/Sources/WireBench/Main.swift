// Times the scanner, the frame builder and the text writers; prints nanoseconds and gigabytes a second.
import NIOCore
import Wire

/// The best of many rounds of about a millisecond: the others were disturbed.
func nanoseconds(_ body: () -> Void) -> Double {
  let clock = ContinuousClock()
  func time(_ repeats: Int) -> Double {
    let (seconds, attoseconds) = clock.measure { for _ in 0..<repeats { body() } }.components
    return Double(seconds) * 1e9 + Double(attoseconds) / 1e9
  }
  _ = time(20)
  let repeats = max(1, Int(1e6 / time(20) * 20))
  return (0..<60).map { _ in time(repeats) }.min()! / Double(repeats)
}

func report(_ name: String, bytes: Int, items: Int = 1, _ nanoseconds: Double) {
  let perItem = nanoseconds / Double(items)
  let rate = Double(bytes) / nanoseconds
  func rounded(_ value: Double) -> Double { (value * 100).rounded() / 100 }
  print("\(name): \(rounded(perItem)) ns each, \(rounded(rate)) GB/s")
}

nonisolated(unsafe) var sink = 0

func order(_ random: inout Random, bytes: Int) -> String {
  var text = "{\"id\":\(random.below(1_000_000_000)),\"user\":\"u\(random.below(100_000))\","
  text +=
    "\"at\":\"2026-01-01T12:34:56.789Z\",\"price\":\(random.below(1000)).\(random.below(90) + 10),"
  text += "\"paid\":\(random.oneIn(2)),\"tags\":[\"new\",\"gift\"],\"note\":\""
  while text.utf8.count < bytes - 2 {
    text += ["lorem ", "ipsum ", "dolor ", "sit ", "amet "][random.below(5)]
  }
  return text + "\"}"
}

func fields(_ random: inout Random, bytes: Int) -> String {
  var text = "{\"a\":1"
  var index = 0
  while text.utf8.count < bytes - 24 {
    let value = random.oneIn(2) ? "\(random.below(100_000))" : "\"v\(random.below(10_000))\""
    text += ",\"field_\(index)\":\(value)"
    index += 1
  }
  return text + "}"
}

@main
enum Main {
  static func main() {
    if CommandLine.arguments.contains("writers") { return writers() }
    if CommandLine.arguments.contains("frame") { return frameOfOne() }
    if CommandLine.arguments.contains("packets") { return packets() }
    if CommandLine.arguments.contains("lines") {
      var random = Random(seed: 1)
      for _ in 0..<5 {
        lines("NDJSON, 100 of short fields", (0..<100).map { _ in fields(&random, bytes: 256) })
      }
      return
    }
    var random = Random(seed: 1)
    for bytes in [64, 256, 1024, 65_536] {
      scan("order of \(bytes) B", (0..<100).map { _ in order(&random, bytes: bytes) })
    }
    for bytes in [256, 1024] {
      scan("short fields, \(bytes) B", (0..<100).map { _ in fields(&random, bytes: bytes) })
    }
    scan(
      "Chinese, 1024 B",
      (0..<100).map { _ in "\"" + String(repeating: "数据流在不断流动", count: 42) + "\"" })
    scan(
      "numbers, 1024 B",
      (0..<100).map { _ in
        "[" + (0..<120).map { _ in String(random.below(10_000_000)) }.joined(separator: ",") + "]"
      })
    for bytes in [256, 1024] {
      lines(
        "NDJSON, 100 orders of \(bytes) B", (0..<100).map { _ in order(&random, bytes: bytes) })
      lines(
        "NDJSON, 100 of short fields, \(bytes) B",
        (0..<100).map { _ in fields(&random, bytes: bytes) })
    }
    writers()
  }

  static func scan(_ name: String, _ texts: [String]) {
    let buffers = texts.map { ByteBuffer(string: $0) }
    let total = buffers.reduce(0) { $0 + $1.readableBytes }
    let time = nanoseconds {
      for buffer in buffers {
        buffer.withUnsafeReadableBytes { sink &+= try! JSONScanner.value($0).count }
      }
    }
    report(name, bytes: total, items: buffers.count, time)
  }

  static func lines(_ name: String, _ texts: [String]) {
    let body = ByteBuffer(string: texts.joined(separator: "\n") + "\n")
    let limits = NDJSONLimits(recordsMax: 10_000, recordBytesMax: 1 << 20)
    let check = nanoseconds {
      body.withUnsafeReadableBytes { sink &+= try! JSONScanner.lines($0, limits: limits).count }
    }
    report(name + ", checked", bytes: body.readableBytes, items: texts.count, check)
    let copy = nanoseconds {
      var target = ByteBufferAllocator().buffer(capacity: body.readableBytes)
      body.withUnsafeReadableBytes { _ = target.writeBytes($0) }
      sink &+= target.readableBytes
    }
    report(name + ", only copied", bytes: body.readableBytes, items: texts.count, copy)
    let frame = nanoseconds {
      body.withUnsafeReadableBytes { bytes in
        let lines = try! JSONScanner.lines(bytes, limits: limits)
        var builder = FrameBuilder(valuesBytesHint: bytes.count)
        builder.appendPlainRegion(bytes, lengths: lines.lengths)
        let frame = builder.finish().seal(
          shard: ShardID(1), baseOffset: .zero, epoch: Epoch(1),
          timestamp: Timestamp(milliseconds: 1))
        sink &+= frame.byteCount
      }
    }
    report(name + ", to a sealed frame", bytes: body.readableBytes, items: texts.count, frame)
  }

  static func writers() {
    func each(_ name: String, _ body: (inout ByteBuffer) -> Void) {
      var bytes = 0
      let time = nanoseconds {
        var buffer = ByteBufferAllocator().buffer(capacity: 4096)
        for _ in 0..<100 {
          buffer.clear()
          for _ in 0..<8 { body(&buffer) }
        }
        bytes = buffer.readableBytes
      }
      report(name, bytes: bytes * 100, items: 800, time)
    }
    each("decimal string of 7 digits") { JSONText.writeDecimalString(1_234_567, into: &$0) }
    each("escaped string of 20 B") {
      JSONText.writeEscapedString("user-1234567890-abcd", into: &$0)
    }
    each("time") { RFC3339.write(Timestamp(milliseconds: 1_767_225_600_123), into: &$0) }
    let one = Cursor(incarnation: 12, place: .shard(0, Offset(1_234_567)))
    each("cursor of one shard") { one.write(into: &$0) }
    let four = Cursor(
      incarnation: 12,
      place: .allShards([Offset(1_000_000), Offset(999_000), Offset(7), Offset(8)]))
    each("cursor of four shards") { four.write(into: &$0) }
    let key = ByteBuffer(string: "user-1234567890-abcd")
    each("key hash of 20 B") { buffer in
      buffer.writeInteger(key.withUnsafeReadableBytes { KeyHash.xxh64($0) })
    }
    let kilobyte = ByteBuffer(repeating: 120, count: 1024)
    each("body digest of 1 KiB") { buffer in
      buffer.writeInteger(Digest.bodyDigest(of: kilobyte).high)
    }
    frameOfOne()
  }

  static func frameOfOne() {
    let value = ByteBuffer(
      string: "{\"id\":123456789,\"note\":\"" + String(repeating: "x", count: 1000) + "\"}")
    let single = nanoseconds {
      value.withUnsafeReadableBytes { bytes in
        var builder = FrameBuilder(valuesBytesHint: bytes.count)
        builder.appendPlain(bytes)
        let frame = builder.finish().seal(
          shard: ShardID(1), baseOffset: .zero, epoch: Epoch(1),
          timestamp: Timestamp(milliseconds: 1))
        sink &+= frame.byteCount
      }
    }
    report("frame of one plain 1 KiB value", bytes: value.readableBytes, single)
  }
}
