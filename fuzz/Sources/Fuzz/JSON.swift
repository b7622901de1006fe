// JSON: the scanner accepts what jansson accepts, and what follows from acceptance holds.
import CFuzzer
import NIOCore
import Wire

func fuzzJSON(_ bytes: UnsafeRawBufferPointer) -> CInt {
  let reference = reference_json(bytes.baseAddress, bytes.count)
  let extent: JSONExtent
  do {
    extent = try JSONScanner.extent(bytes)
  } catch {
    check(0...bytes.count ~= error.position, "a fault lies within the text")
    // Deeper than 512 is refused by the scanner alone.
    let isDeep = error.reason.hasPrefix("containers are nested")
    check(reference != reference_accepts || isDeep, "jansson accepts this: \(error)")
    walk(bytes)
    return 0
  }
  check(reference != reference_refuses, "jansson refuses this")
  check(!bytes.contains(0), "a bare NUL is never JSON")
  let value = UnsafeRawBufferPointer(rebasing: bytes[extent.range])
  let breaks = value.contains { $0 == 0x0a || $0 == 0x0d }
  check(breaks == extent.hasLineBreaks, "line breaks are reported")
  let flat = JSONScanner.flattened(value)
  flat.withUnsafeReadableBytes { flat in
    check(!flat.contains { $0 == 0x0a || $0 == 0x0d }, "a flattened value is one line")
    check((try? JSONScanner.value(flat)) == 0..<value.count, "a flattened value is a value")
  }
  walk(value)
  if let tree = try? JSONValue.parse(value) {
    let text = tree.text()
    check((try? JSONValue.parse(text)) == tree, "a tree written is read back equal")
    compare(tree, value)
  }
  return 0
}

/// Walking must stay within the bytes, checked or not.
private func walk(_ bytes: UnsafeRawBufferPointer) {
  for pointer in [JSONPointer(), JSONPointer(tokens: ["a"]), JSONPointer(tokens: ["0", "a"])] {
    if let range = JSONScanner.locate(pointer, in: bytes) {
      check(range.lowerBound >= 0 && range.upperBound <= bytes.count, "a place lies within")
    }
  }
}

/// Places found without a tree hold what the tree holds.
private func compare(_ tree: JSONValue, _ text: UnsafeRawBufferPointer) {
  func parsed(_ range: Range<Int>) -> JSONValue? {
    try? JSONValue.parse(UnsafeRawBufferPointer(rebasing: text[range]))
  }
  if let object = tree.asObject {
    var members: [(name: String, value: JSONValue)] = []
    JSONScanner.forEachMember(in: text) { name, range in
      guard let value = parsed(range) else { fatalError("a member is a value") }
      members.append((name, value))
      return true
    }
    check(members.map(\.name) == object.names, "members have their names")
    check(members.map(\.value) == object.members.map(\.value), "members have their values")
    for (name, value) in object {
      guard let range = JSONScanner.locate(JSONPointer(tokens: [name]), in: text) else {
        fatalError("a member is found")
      }
      check(parsed(range) == value, "a member found is the member")
    }
  }
  if let array = tree.asArray {
    var elements: [JSONValue?] = []
    JSONScanner.forEachElement(in: text) { range in
      elements.append(parsed(range))
      return true
    }
    check(elements == array, "elements are the elements")
  }
  if let string = tree.asString {
    check(JSONScanner.text(of: text) == string, "a string means what jansson says")
    var buffer = ByteBuffer()
    JSONText.writeEscapedString(string, into: &buffer)
    let again = buffer.withUnsafeReadableBytes { JSONScanner.text(of: $0) }
    check(again == string, "a string written is read back")
  }
}

func fuzzNDJSON(_ bytes: UnsafeRawBufferPointer) -> CInt {
  let limits = NDJSONLimits(recordsMax: 50, recordBytesMax: 200)
  // Line by line with the scanner of single values, which the other target holds against jansson.
  var expected: [[UInt8]] = []
  var fault: Int?
  var number = 0
  for line in bytes.split(separator: 0x0a, omittingEmptySubsequences: false) {
    number += 1
    if line.allSatisfy({ $0 == 0x20 || $0 == 0x09 || $0 == 0x0d }) { continue }
    let line = UnsafeRawBufferPointer(rebasing: line)
    guard let range = try? JSONScanner.value(line), range.count <= limits.recordBytesMax,
      expected.count < limits.recordsMax
    else {
      fault = number
      break
    }
    expected.append(Array(line[range]))
  }
  do {
    let lines = try JSONScanner.lines(bytes, limits: limits)
    check(fault == nil, "line \(fault ?? 0) is wrong")
    var values: [[UInt8]] = []
    lines.forEachRange { values.append(Array(bytes[$0])) }
    check(values == expected, "the values are those of the lines")
    check(lines.hasCarriageReturns == values.contains { $0.contains(0x0d) }, "CR is reported")
    var asFramed: [UInt8] = []
    for value in values { asFramed += value + [0x0a] }
    let isVerbatim = asFramed.elementsEqual(bytes) || asFramed.dropLast().elementsEqual(bytes)
    check(lines.isVerbatim == (isVerbatim && !lines.hasCarriageReturns), "verbatim is verbatim")
    if !values.isEmpty { throughFrame(bytes, lines, values) }
  } catch {
    switch error {
    case .line(let line, _), .recordTooLarge(let line, _, _): check(line == fault, "\(error)")
    case .tooManyRecords: check(fault != nil, "\(error)")
    }
  }
  return 0
}

/// The way of an append: lines to a frame, the frame checked, its records read.
private func throughFrame(
  _ bytes: UnsafeRawBufferPointer, _ lines: NDJSONLines, _ values: [[UInt8]]
) {
  var builder = FrameBuilder(valuesBytesHint: 0)
  if lines.isVerbatim {
    builder.appendPlainRegion(bytes, lengths: lines.lengths)
  } else {
    lines.forEachRange { range in
      let value = UnsafeRawBufferPointer(rebasing: bytes[range])
      JSONScanner.flattened(value).withUnsafeReadableBytes { builder.appendPlain($0) }
    }
  }
  let frame = builder.finish().seal(
    shard: ShardID(1), baseOffset: .zero, epoch: Epoch(1), timestamp: Timestamp(milliseconds: 0))
  guard let checked = try? Frame(checking: frame.bytes) else { fatalError("a frame is a frame") }
  var index = 0
  FrameChunk([checked]).forEachRecord(from: .zero) { record in
    let value = values[index].map { $0 == 0x0d ? 0x20 : $0 }
    check(record.value.elementsEqual(value), "a record is its line")
    index += 1
    return true
  }
  check(index == values.count, "every line is a record")
}
