// Reads and writes JSON trees with jansson: the only file that knows it.
import CJansson
import NIOCore

extension JSONValue {
  /// Reads exactly one JSON value, whitespace around allowed. Beyond what `JSONScanner` refuses: a name that comes
  /// twice or holds NUL, an integer beyond 64 bits, a number beyond a double.
  public static func parse(_ bytes: UnsafeRawBufferPointer) throws(JSONFault) -> JSONValue {
    // The scanner's limit of depth keeps the recursion below small; its faults are exact where jansson's are not.
    _ = try JSONScanner.value(bytes)
    var failure = json_error_t()
    let flags = readFlags | Int(JSON_REJECT_DUPLICATES)
    guard let root = json_loadb(bytes.baseAddress, bytes.count, flags, &failure) else {
      throw JSONFault(position: Int(failure.position), reason: reason(of: &failure))
    }
    defer { jansson_decref(root) }
    return JSONValue(jansson: root)
  }

  public static func parse(_ text: String) throws(JSONFault) -> JSONValue {
    try parse(ByteBuffer(string: text))
  }

  public static func parse(_ buffer: ByteBuffer) throws(JSONFault) -> JSONValue {
    try buffer.withUnsafeReadableBytes { bytes throws(JSONFault) in try parse(bytes) }
  }

  /// Compact JSON, members in order: the same value always gives the same bytes. Traps on a real that is not finite.
  public func text() -> String {
    var buffer = ByteBuffer()
    write(into: &buffer)
    return String(buffer: buffer)
  }

  /// Appends what `text` gives.
  public func write(into buffer: inout ByteBuffer) {
    let root = makeJansson()
    defer { jansson_decref(root) }
    let start = buffer.writerIndex
    // jansson prints reals with as many digits as it is told. 17 always suffice, but 0.1 would come out as
    // 0.10000000000000001: the fewest that read back equal are taken, for the whole text.
    for precision in (holdsReal ? 15 : 17)...17 {
      buffer.moveWriterIndex(to: start)
      Self.dump(root, precision: precision, into: &buffer)
      if precision == 17 { return }
      let isExact = buffer.withUnsafeReadableBytes { all in
        let text = UnsafeRawBufferPointer(rebasing: all[(start - buffer.readerIndex)...])
        guard let back = json_loadb(text.baseAddress, text.count, Self.readFlags, nil) else {
          return false
        }
        defer { jansson_decref(back) }
        return json_equal(root, back) == 1
      }
      if isExact { return }
    }
  }

  private static var readFlags: Int { Int(JSON_ALLOW_NUL | JSON_DECODE_ANY) }

  private static func dump(
    _ root: UnsafeMutablePointer<json_t>, precision: Int, into buffer: inout ByteBuffer
  ) {
    // JSON_REAL_PRECISION(n), a macro: n in bits 11 to 15.
    let flags = Int(JSON_COMPACT | JSON_ENCODE_ANY) | (precision & 0x1f) << 11
    let result = withUnsafeMutablePointer(to: &buffer) { target in
      json_dump_callback(
        root,
        { bytes, count, target in
          target!.assumingMemoryBound(to: ByteBuffer.self).pointee.writeBytes(
            UnsafeRawBufferPointer(start: bytes, count: count))
          return 0
        }, target, flags)
    }
    precondition(result == 0, "jansson cannot write a tree that it was given")
  }

  private var holdsReal: Bool {
    switch self {
    case .real: true
    case .array(let elements): elements.contains(where: \.holdsReal)
    case .object(let object): object.contains { $0.value.holdsReal }
    default: false
    }
  }

  private static func reason(of failure: inout json_error_t) -> String {
    withUnsafeBytes(of: &failure.text) { text in
      String(decoding: text.prefix { $0 != 0 }, as: UTF8.self)
    }
  }

  private init(jansson node: UnsafeMutablePointer<json_t>) {
    switch node.pointee.type {
    case JSON_TRUE: self = .bool(true)
    case JSON_FALSE: self = .bool(false)
    case JSON_INTEGER: self = .integer(json_integer_value(node))
    case JSON_REAL: self = .real(json_real_value(node))
    case JSON_STRING:
      self = .string(Self.string(json_string_value(node), json_string_length(node)))
    case JSON_ARRAY:
      self = .array(
        (0..<json_array_size(node)).map { JSONValue(jansson: json_array_get(node, $0)) })
    case JSON_OBJECT:
      var members: [(name: String, value: JSONValue)] = []
      members.reserveCapacity(json_object_size(node))
      var place = json_object_iter(node)
      while let here = place {
        let name = Self.string(json_object_iter_key(here), json_object_iter_key_len(here))
        members.append((name, JSONValue(jansson: json_object_iter_value(here))))
        place = json_object_iter_next(node, here)
      }
      self = .object(JSONObject(unique: members))
    default: self = .null
    }
  }

  private static func string(_ start: UnsafePointer<CChar>?, _ count: Int) -> String {
    String(decoding: UnsafeRawBufferPointer(start: start, count: count), as: UTF8.self)
  }

  /// A tree that the caller owns.
  private func makeJansson() -> UnsafeMutablePointer<json_t> {
    let node: UnsafeMutablePointer<json_t>?
    switch self {
    case .null: node = json_null()
    case .bool(let value): node = value ? json_true() : json_false()
    case .integer(let value): node = json_integer(value)
    case .real(let value):
      precondition(value.isFinite, "JSON has no word for \(value)")
      node = json_real(value)
    case .string(let value):
      node = Self.withBytes(of: value) { json_stringn_nocheck($0, $1) }
    case .array(let elements):
      node = json_array()
      for element in elements { json_array_append_new(node, element.makeJansson()) }
    case .object(let object):
      node = json_object()
      for (name, value) in object {
        _ = Self.withBytes(of: name) {
          json_object_setn_new_nocheck(node, $0, $1, value.makeJansson())
        }
      }
    }
    guard let node else { preconditionFailure("out of memory") }
    return node
  }

  private static func withBytes<Result>(
    of text: String, _ body: (UnsafePointer<CChar>, Int) -> Result
  ) -> Result {
    var text = text
    return text.withUTF8 { bytes in
      bytes.withMemoryRebound(to: CChar.self) { body($0.baseAddress ?? Self.nowhere, $0.count) }
    }
  }

  private static var nowhere: UnsafePointer<CChar> {
    UnsafePointer(bitPattern: 1).unsafelyUnwrapped
  }
}
