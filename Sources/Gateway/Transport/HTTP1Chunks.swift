// The chunked half of the HTTP/1.1 parser: sizes, extensions, trailers. RFC 9112 §7.1.

extension HTTP1Parser {
  /// A chunk's size line: eight hexadecimal digits and a short extension are plenty.
  private static var chunkLineBytesMax: Int { 512 }
  /// All extensions of one body: they carry nothing, so many of them are an attack (CVE-2023-39326 in another server).
  private static var extensionBytesMax: Int { 16 << 10 }

  mutating func chunkLine(
    _ bytes: UnsafeRawBufferPointer, _ position: inout Int
  ) -> HTTP1Event? {
    switch state {
    case .chunkSize:
      switch line(bytes, &position, bytesMax: Self.chunkLineBytesMax) {
      case .incomplete: return .needsMore
      case .tooLong: return fail(.chunkExtension)
      case .bareLF: return fail(.bareLF)
      case .line(let text): return chunkSize(text)
      }
    case .chunkEnd:
      guard bytes.count - position >= 1 else { return .needsMore }
      guard bytes[position] == 13 else { return fail(.chunkEnd) }
      guard bytes.count - position >= 2 else { return .needsMore }
      guard bytes[position + 1] == 10 else { return fail(.chunkEnd) }
      position += 2
      state = .chunkSize
      return nil
    default:
      switch fieldLine(bytes, &position) {
      case .incomplete: return .needsMore
      case .tooLong: return fail(.headersTooLarge(bytesMax: limits.headBytesMax))
      case .bareLF: return fail(.bareLF)
      case .line(let text): return trailer(text)
      }
    }
  }

  private mutating func chunkSize(_ text: UnsafeRawBufferPointer) -> HTTP1Event? {
    var size = 0
    var digits = 0
    while digits < text.count, let digit = Self.hexDigit(text[digits]) {
      size = size << 4 | digit
      digits += 1
      if digits > 8 { return fail(.chunkSize) }
    }
    if digits == 0 { return fail(.chunkSize) }
    if digits < text.count {
      guard text[digits] == UInt8(ascii: ";") else { return fail(.chunkSize) }
      let rest = UnsafeRawBufferPointer(rebasing: text[digits...])
      extensionBytes += rest.count
      if !FieldText.isValue(rest).isValid || extensionBytes > Self.extensionBytesMax {
        return fail(.chunkExtension)
      }
    }
    if size == 0 {
      beginTrailers()
      return nil
    }
    bodyBytes += size
    if bodyBytes > limits.bodyBytesMax {
      return fail(.bodyTooLarge(bytesMax: limits.bodyBytesMax))
    }
    state = .chunkData(remaining: size)
    return nil
  }

  /// Trailers are checked as headers are, and dropped: nothing here has a use for them.
  private mutating func trailer(_ text: UnsafeRawBufferPointer) -> HTTP1Event? {
    if text.isEmpty {
      state = .headDone
      draft = HTTP1HeadDraft()
      return nil
    }
    if draft.fields.count == limits.headFieldsMax {
      return fail(.tooManyHeaders(countMax: limits.headFieldsMax))
    }
    do throws(TransportProblem) {
      try draft.trailer(text)
    } catch {
      return fail(error)
    }
    return nil
  }

  private static func hexDigit(_ byte: UInt8) -> Int? {
    switch byte {
    case 48...57: Int(byte) - 48
    case 65...70: Int(byte) - 55
    case 97...102: Int(byte) - 87
    default: nil
    }
  }
}
