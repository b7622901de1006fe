// Small texts of requests: times, durations, pointers, base64, compressed bodies.
import NIOCore
import Wire

func fuzzText(_ bytes: UnsafeRawBufferPointer) -> CInt {
  let text = String(decoding: bytes, as: UTF8.self)
  if let time = RFC3339.parse(text) {
    let written = RFC3339.text(time)
    check(written.utf8.count == RFC3339.byteCount, "a time has a length")
    // An offset may lead out of the years that can be written; those are moved to the nearest.
    let again = RFC3339.parse(written)
    let isOutside = written.hasPrefix("0000-01-01") || written.hasPrefix("9999-12-31")
    check(again == time || isOutside, "a time comes back")
  }
  if let duration = DurationText.parse(text) {
    check(DurationText.parse(DurationText.format(duration)) == duration, "a duration comes back")
  }
  if let pointer = JSONPointer(text) {
    check(pointer.description.utf8.elementsEqual(text.utf8), "a pointer says itself")
  }
  for alphabet in [Base64.Alphabet.standard, .url] {
    if let decoded = Base64.decode(bytes, alphabet) {
      let encoded = decoded.withUnsafeBytes { Base64.encode($0, alphabet) }
      check(encoded.utf8.elementsEqual(bytes), "base64 has one form")
    }
    let encoded = Base64.encode(bytes, alphabet)
    check(Base64.decode(encoded, alphabet)?.elementsEqual(bytes) == true, "bytes come back")
  }
  var buffer = ByteBuffer()
  JSONText.writeEscapedString(bytes, into: &buffer)
  buffer.withUnsafeReadableBytes { json in
    check((try? JSONScanner.value(json)) == 0..<json.count, "any bytes become a JSON string")
  }
  let limit = 10_000
  if let body = try? Gzip.inflate(ByteBuffer(bytes: bytes), limit: limit) {
    check(body.readableBytes <= limit, "the limit holds")
  }
  return 0
}
