// Golden frames: what version 1 wrote stays readable for ever, and is still what is written.
//
// The files were made by an encoder in another language from docs/formats.md alone. Never change one: a new version
// of the format gets new files beside them.
import NIOCore
import Testing

@testable import Wire

private struct Golden: Sendable {
  let file: String
  let kind: FrameKind
  let samples: @Sendable () -> [Sample]
  let extras: FrameExtras
  let place: (shard: UInt64, offset: UInt64, epoch: UInt64, milliseconds: Int64)
}

private let goldens = [
  Golden(
    file: "frame-v1-plain.hex", kind: .records,
    samples: {
      ["{\"a\":1}", "[]", "\"é\"", "\"" + String(repeating: "x", count: 200) + "\""].map {
        Sample($0)
      }
    },
    extras: .none, place: (1, 0, 1, 1_767_225_600_000)),
  Golden(
    file: "frame-v1-keyed.hex", kind: .records,
    samples: {
      var opaque = Sample("", key: "", contentType: "application/octet-stream")
      opaque.value = [0x00, 0x0a, 0xff]
      let keyed = Sample("{\"n\":1}", key: "u1", headers: ["trace", "a", "empty", ""])
      return [keyed, opaque, Sample("null")]
    },
    extras: .none, place: (0x0102_0304_0506_0708, 1044, 7, -1)),
  Golden(
    file: "frame-v1-stamped.hex", kind: .records, samples: { [Sample("true")] },
    extras: FrameExtras(
      producer: ProducerStamp(id: "wörker", epoch: 5, sequence: 258), idempotencyKey: "order-17",
      digest: BodyDigest(high: 0xba78_16bf_8f01_cfea, low: 0x4141_40de_5dae_2223)),
    place: (3, 1 << 63, .max, .max)),
  Golden(
    file: "frame-v1-trim.hex", kind: .trim, samples: { [] }, extras: .none,
    place: (9, 500, 3, 1_767_225_600_123)),
  Golden(
    file: "frame-v1-epoch.hex", kind: .epoch, samples: { [] }, extras: .none,
    place: (9, 1000, 4, 1_767_225_600_124)),
]

@Suite struct GoldenTests {
  @Test(arguments: goldens.indices) func `a golden frame is read`(index: Int) throws {
    let expected = goldens[index]
    let frame = try Frame(checking: ByteBuffer(bytes: try golden(expected.file)))
    #expect(frame.kind == expected.kind)
    #expect(frame.shard == ShardID(expected.place.shard))
    #expect(frame.baseOffset == Offset(expected.place.offset))
    #expect(frame.epoch == Epoch(expected.place.epoch))
    #expect(frame.timestamp == Timestamp(milliseconds: expected.place.milliseconds))
    #expect(frame.extras == expected.extras)
    #expect(frame.count == expected.samples().count)
    if frame.kind == .records { #expect(records(frame).map(\.1) == expected.samples()) }
  }

  @Test(arguments: goldens.indices) func `a golden frame is still written so`(index: Int) throws {
    let expected = goldens[index]
    let draft: FrameDraft
    if expected.kind == .records {
      var builder = FrameBuilder(extras: expected.extras, valuesBytesHint: 0)
      for sample in expected.samples() { sample.add(to: &builder) }
      draft = builder.finish()
    } else {
      draft = .control(expected.kind)
    }
    let frame = draft.seal(
      shard: ShardID(expected.place.shard), baseOffset: Offset(expected.place.offset),
      epoch: Epoch(expected.place.epoch),
      timestamp: Timestamp(milliseconds: expected.place.milliseconds))
    #expect(frame.bytes.array == (try golden(expected.file)))
  }
}
