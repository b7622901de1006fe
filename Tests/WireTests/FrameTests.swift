// Frames: what goes in comes out, damage is noticed, and no bytes whatever lead the walk astray.
import NIOCore
import Testing

@testable import Wire

/// A record with everything it may have.
struct Sample: Equatable {
  var value: [UInt8]
  var key: [UInt8]?
  var headers: [[UInt8]] = []
  var contentType: [UInt8]?

  init(
    _ value: String, key: String? = nil, headers: [String] = [], contentType: String? = nil
  ) {
    self.value = Array(value.utf8)
    self.key = key.map { Array($0.utf8) }
    self.headers = headers.map { Array($0.utf8) }
    self.contentType = contentType.map { Array($0.utf8) }
  }

  init(_ record: RecordView) {
    value = Array(record.value)
    key = record.key.map { Array($0) }
    contentType = record.contentType.map { Array($0) }
    record.forEachHeader { headers += [Array($0), Array($1)] }
  }

  func add(to builder: inout FrameBuilder) {
    func lend(_ bytes: [UInt8]?, _ body: (UnsafeRawBufferPointer?) -> Void) {
      guard let bytes else { return body(nil) }
      withBytes(of: bytes) { body($0) }
    }
    func lendHeaders(
      _ rest: ArraySlice<[UInt8]>, _ lent: [UnsafeRawBufferPointer],
      _ body: ([UnsafeRawBufferPointer]) -> Void
    ) {
      guard let first = rest.first else { return body(lent) }
      withBytes(of: first) { lendHeaders(rest.dropFirst(), lent + [$0], body) }
    }
    lend(value) { value in
      lend(key) { key in
        lend(contentType) { contentType in
          lendHeaders(headers[...], []) { lent in
            var attributes = RecordAttributes()
            attributes.key = key
            attributes.contentType = contentType
            attributes.headers = stride(from: 0, to: lent.count, by: 2).map {
              (lent[$0], lent[$0 + 1])
            }
            builder.append(value!, attributes)
          }
        }
      }
    }
  }
}

extension Random {
  mutating func sample() -> Sample {
    var sample = Sample(json())
    if oneIn(2) { return sample }
    if oneIn(2) { sample.key = bytes(below(20)) }
    if oneIn(3) { sample.headers = (0..<(2 * (below(3) + 1))).map { _ in bytes(below(9)) } }
    if oneIn(4) {
      sample.contentType = Array("a/b".utf8)
      sample.value = bytes(below(300))
    }
    return sample
  }

  mutating func extras() -> FrameExtras {
    let producer =
      oneIn(2) ? ProducerStamp(id: jsonString(), epoch: anySize(), sequence: anySize()) : nil
    let key = oneIn(2) ? jsonString() : nil
    if producer == nil, key == nil { return .none }
    let digest = BodyDigest(high: next(), low: next())
    return FrameExtras(producer: producer, idempotencyKey: key, digest: digest)
  }

  mutating func frame(_ samples: [Sample], extras: FrameExtras = .none) -> Frame {
    var builder = FrameBuilder(extras: extras, valuesBytesHint: below(1000))
    for sample in samples { sample.add(to: &builder) }
    return builder.finish().seal(
      shard: ShardID(anySize()), baseOffset: Offset(next() >> 1), epoch: Epoch(anySize()),
      timestamp: Timestamp(milliseconds: Int64(truncatingIfNeeded: next())))
  }
}

func records(_ frame: Frame, from first: Offset = .zero) -> [(Offset, Sample)] {
  var records: [(Offset, Sample)] = []
  FrameChunk([frame]).forEachRecord(from: first) { record in
    #expect(record.timestamp == frame.timestamp)
    records.append((record.offset, Sample(record)))
    return true
  }
  return records
}

@Suite struct FrameTests {
  @Test(arguments: 0..<30 as Range<UInt64>) func `records come back in order`(seed: UInt64) throws {
    var random = Random(seed: seed)
    for _ in 0..<30 {
      let isPlain = random.oneIn(3)
      let samples = (0..<(random.below(20) + 1)).map { _ in
        isPlain ? Sample(random.json()) : random.sample()
      }
      let extras = random.extras()
      let frame = random.frame(samples, extras: extras)
      let checked = try Frame(checking: frame.bytes)
      #expect(checked.extras == extras && frame.extras == extras)
      #expect(checked.count == samples.count && checked.shard == frame.shard)
      #expect(checked.epoch == frame.epoch && checked.timestamp == frame.timestamp)
      #expect(checked.endOffset == frame.baseOffset + samples.count)
      #expect(records(checked).map(\.1) == samples)
      #expect(records(checked).map(\.0) == samples.indices.map { frame.baseOffset + $0 })
      let skip = random.below(samples.count)
      #expect(records(checked, from: frame.baseOffset + skip).map(\.1) == Array(samples[skip...]))
      #expect(frame.flags.contains(.opaque) == samples.contains { $0.contentType != nil })
    }
  }

  @Test func `a region of lines is as records one by one`() throws {
    let values = ["1", "{\"a\":2}", "\"\(String(repeating: "x", count: 200))\"", "[]"]
    for before in 0...2 {
      for tail in ["\n", ""] {
        var region = FrameBuilder(valuesBytesHint: 0)
        var single = FrameBuilder(valuesBytesHint: 0)
        for _ in 0..<before {
          withBytes(of: "7") { region.appendPlain($0) }
          withBytes(of: "7") { single.appendPlain($0) }
        }
        withBytes(of: values.joined(separator: "\n") + tail) {
          region.appendPlainRegion($0, lengths: values.map { UInt32($0.utf8.count) })
        }
        for value in values { withBytes(of: value) { single.appendPlain($0) } }
        #expect(region.count == before + 4 && region.valuesBytes == single.valuesBytes)
        #expect(region.finish().sealedAtZero.bytes == single.finish().sealedAtZero.bytes)
      }
    }
  }

  @Test func `sealing copies nothing, however many hold the draft`() throws {
    var builder = FrameBuilder(valuesBytesHint: 10_000)
    withBytes(of: [UInt8](repeating: 0x31, count: 9000)) { builder.appendPlain($0) }
    let draft = builder.finish()
    let held = draft
    let frame = draft.sealedAtZero
    let address = held.bytes.withUnsafeReadableBytes { $0.baseAddress }
    #expect(frame.bytes.withUnsafeReadableBytes { $0.baseAddress } == address)
    #expect(builder.count == 0)
  }

  @Test func `a draft is sealed once`() async {
    await #expect(processExitsWith: .failure) {
      let draft = FrameDraft.control(.trim)
      _ = draft.sealedAtZero
      _ = draft.sealedAtZero
    }
  }

  @Test(arguments: [FrameKind.trim, .epoch]) func `a control frame says its kind`(kind: FrameKind)
    throws
  {
    let frame = FrameDraft.control(kind).seal(
      shard: ShardID(9), baseOffset: Offset(500), epoch: Epoch(3),
      timestamp: Timestamp(milliseconds: -1))
    let checked = try Frame(checking: frame.bytes)
    #expect(checked.kind == kind && checked.count == 0 && checked.baseOffset == Offset(500))
    #expect(checked.byteCount == FrameLayout.headerBytes)
  }

  @Test func `a changed, lost or added byte is noticed`() throws {
    var random = Random(seed: 4)
    for _ in 0..<20 {
      let extras = random.extras()
      let frame = random.frame((0..<5).map { _ in random.sample() }, extras: extras)
      let bytes = frame.bytes.array
      for place in bytes.indices {
        var broken = bytes
        broken[place] ^= UInt8(1) << UInt8(random.below(8))
        #expect(throws: FrameDamage.self, "byte \(place)") {
          try Frame(checking: ByteBuffer(bytes: broken))
        }
      }
      for count in 0..<bytes.count {
        let damage = #expect(throws: FrameDamage.self) {
          try Frame(checking: ByteBuffer(bytes: bytes[..<count]))
        }
        if case .cutOff(let have, let need)? = damage { #expect(have == count && need > count) }
      }
      #expect(throws: FrameDamage.length(bytes.count)) {
        try Frame(checking: ByteBuffer(bytes: bytes + [0]))
      }
    }
  }

  /// The checksums of a forger are good: only what this version could have written is taken, and walking that never
  /// reads outside, which a build with the address sanitizer proves.
  @Test(arguments: 0..<40 as Range<UInt64>) func `a forged frame is refused or walks safely`(
    seed: UInt64
  ) {
    var random = Random(seed: seed)
    var taken = 0
    for _ in 0..<200 {
      let extras = random.extras()
      let samples = (0..<(random.below(4) + 1)).map { _ in random.sample() }
      var bytes = random.frame(samples, extras: extras).bytes.array
      for _ in 0...random.below(3) {
        let place =
          random.oneIn(2) ? random.below(FrameLayout.headerBytes) : random.below(bytes.count)
        bytes[place] = random.oneIn(2) ? UInt8(truncatingIfNeeded: random.next()) : bytes[place] ^ 1
      }
      forge(&bytes)
      withBytes(of: bytes) { exact in
        guard let header = try? FrameHeader(checking: exact), header.frameBytes <= exact.count,
          (try? header.checkPayload(exact)) != nil
        else { return }
        taken += 1
        _ = header.extras(in: exact)
        guard header.kind == .records else { return }
        var values = 0
        let isWhole = header.forEachRecord(in: exact, from: .zero) { record in
          values += record.value.count + 1
          _ = Sample(record)
          return true
        }
        #expect(isWhole && values == header.valuesBytes)
      }
    }
    #expect(taken > 0)
  }

  @Test func `fields that no writer writes are named`() throws {
    func damage(_ change: (inout [UInt8]) -> Void) -> FrameDamage? {
      var builder = FrameBuilder(valuesBytesHint: 0)
      Sample("1").add(to: &builder)
      Sample("22", key: "k").add(to: &builder)
      var bytes = builder.finish().sealedAtZero.bytes.array
      change(&bytes)
      forge(&bytes)
      do {
        _ = try Frame(checking: ByteBuffer(bytes: bytes))
        return nil
      } catch { return error }
    }
    #expect(damage { _ in } == nil)
    #expect(damage { $0[0] = 0 } == .magic(0x3146_5200))
    #expect(damage { $0[FrameLayout.atKind] = 9 } == .field("kind"))
    #expect(damage { $0[FrameLayout.atKind] = 1 } == .field("control frame"))
    #expect(damage { $0[FrameLayout.atFlags] = 0x80 } == .field("flags"))
    #expect(damage { $0[FrameLayout.atFlags] = 8 } == .field("flags"))
    #expect(damage { $0[FrameLayout.atFlags] = 9 } == .field("flags"))
    #expect(damage { $0[FrameLayout.atFlags] = 2 } == .field("extras"))
    #expect(damage { $0[FrameLayout.atCompression] = 1 } == .field("compression"))
    #expect(damage { $0[FrameLayout.atReserved] = 1 } == .field("reserved"))
    #expect(damage { $0[FrameLayout.headerBytes - 1] = 1 } == .field("reserved"))
    #expect(damage { $0[FrameLayout.atCount] = 0 } == .field("count"))
    #expect(damage { $0[FrameLayout.atCount + 3] = 0xff } == .field("count"))
    #expect(damage { $0[FrameLayout.atCount] = 3 } == .field("value length"))
    #expect(damage { $0[FrameLayout.atCount] = 1 } == .field("values"))
    #expect(damage { $0[FrameLayout.atExtrasBytes] = 1 } == .field("extras"))
    #expect(damage { $0[FrameLayout.atValuesBytes] = 4 } == .field("value length"))
    #expect(damage { $0[FrameLayout.headerBytes + 1] = 0x20 } == .field("value separator"))
    let meta = FrameLayout.headerBytes + 5
    #expect(damage { $0[meta] = 0x7f } == .field("value length"))
    #expect(damage { $0[meta + 1] = 8 } == .field("attributes"))
    #expect(damage { $0[meta + 4] = 9 } == .field("attributes"))
    #expect(damage { $0[meta + 3] = 0 } == .field("meta"))
    #expect(
      damage { bytes in for i in 0..<8 { bytes[FrameLayout.atBaseOffset + i] = 0xff } }
        == .field("base offset"))
  }
}

/// Puts good checksums on a frame's bytes, as far as its header says where they lie.
func forge(_ bytes: inout [UInt8]) {
  func put(_ value: UInt32, at place: Int) {
    for index in 0..<4 { bytes[place + index] = UInt8(truncatingIfNeeded: value >> (8 * index)) }
  }
  func number(at place: Int, _ count: Int) -> Int {
    (0..<count).reduce(0) { $0 | Int(bytes[place + $1]) << (8 * $1) }
  }
  let length = min(max(number(at: FrameLayout.atLength, 4), FrameLayout.headerBytes), bytes.count)
  let valuesStart = min(FrameLayout.headerBytes + number(at: FrameLayout.atExtrasBytes, 2), length)
  let payload = withBytes(of: Array(bytes[valuesStart..<length])) { CRC32C.checksum($0) }
  put(payload, at: FrameLayout.atPayloadCRC)
  let header = withBytes(of: Array(bytes[FrameLayout.atPayloadCRC..<valuesStart])) {
    CRC32C.checksum($0)
  }
  put(header, at: FrameLayout.atHeaderCRC)
}

extension FrameDraft {
  var sealedAtZero: Frame {
    seal(
      shard: ShardID(1), baseOffset: .zero, epoch: Epoch(1), timestamp: Timestamp(milliseconds: 0))
  }
}
