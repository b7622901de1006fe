// The formats on disk, version 1, held still: bytes made from docs/formats.md alone by an encoder in another language.
import NIOCore
import Testing
import Wire

@testable import Engine

@Suite struct `Formats on disk` {
  private func hex(_ buffer: ByteBuffer) -> String {
    buffer.readableBytesView.map { byte in
      let digits = String(byte, radix: 16)
      return digits.count == 1 ? "0" + digits : digits
    }.joined()
  }

  @Test func `a commit group is what it was`() {
    let header = GroupHeader(
      generation: 3, sequence: 9, payloadBytes: 5, frameCount: 1, lane: 2)
    let group = header.group(
      of: CollectionOfOne(ByteBuffer(string: "hello")), block: 128, salt: 0x0123_4567_89ab_cdef)
    #expect(
      hex(group) == """
        4d5257414c47310033113cc04cbb719a03000000000000000900000000000000\
        0800000000000000050000000000000001000000020000000000000000000000\
        68656c6c6f000000000000000000000000000000000000000000000000000000\
        0000000000000000000000000000000003000000000000000900000000000000
        """)
    let read = GroupHeader(in: group, at: 0, lane: 2, salt: 0x0123_4567_89ab_cdef)
    #expect(read?.sequence == 9 && read?.durable == 8 && read?.payloadBytes == 5)
    #expect(read?.flaw(in: group, at: 0, block: 128) == nil)
    #expect(GroupHeader(in: group, at: 0, lane: 1, salt: 0x0123_4567_89ab_cdef) == nil)
    #expect(GroupHeader(in: group, at: 0, lane: 2, salt: 1) == nil, "another store's")
  }

  @Test func `an entry of a segment's index is what it was`() {
    let entry = SegmentIndexEntry(
      offset: Offset(7), position: 65_000, timestamp: Timestamp(milliseconds: 1_767_225_600_000))
    var buffer = ByteBuffer()
    entry.write(into: &buffer)
    #expect(
      hex(buffer) == "0700000000000000e8fd00000000000000a8da769b0100005f46c3c700000000")
    #expect(SegmentIndexEntry(in: buffer, at: 0) == entry)
  }

  @Test func `the manifest is what it was`() throws {
    let disk = MemoryDisk()
    let manifest = StoreManifest(
      salt: 0x0123_4567_89ab_cdef, firstLane: 2, laneCount: 3, isReady: true)
    try manifest.write(disk)
    let text = String(decoding: disk.bytes(of: "millrace.store"), as: UTF8.self)
    #expect(
      text == """
        millrace store 1
        salt 123456789abcdef
        first-lane 2
        lanes 3
        ready true
        crc a598469b
        """)
    #expect(try StoreManifest.read(disk) == manifest)
  }

  @Test func `a manifest with any byte changed is refused`() throws {
    let disk = MemoryDisk()
    try StoreManifest(salt: 5, firstLane: 0, laneCount: 2, isReady: true).write(disk)
    for position in disk.bytes(of: "millrace.store").indices {
      let spoiled = disk.copy()
      spoiled.spoil("millrace.store", at: position, by: 2)
      #expect(throws: StoreOpenError.self) { try StoreManifest.read(spoiled) }
    }
  }
}
