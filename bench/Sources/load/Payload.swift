// The records that are sent: JSON of an exact size with the mixture of members that business events have.

enum Payload {
  /// The place of the eight digits of a record's "id".
  static let keyDigitsAt = 11

  /// One JSON object of exactly `bytes` bytes: short strings, numbers, a nested object, an array, a sentence.
  static func record(bytes: Int) -> [UInt8] {
    var text = "{\"id\":\"ord-00000000\",\"type\":\"order.updated\",\"version\":3,\"paid\":true"
    var item = 0
    let tail = ",\"note\":\"\"}".utf8.count
    while true {
      let next =
        ",\"line\(item)\":{\"sku\":\"A-\(10_000 + item * 7)\",\"quantity\":\(item + 1),"
        + "\"price\":\(19 + item).95,\"tags\":[\"new\",\"eu\"]}"
      // A quarter is left for one longer text.
      if (text.utf8.count + next.utf8.count + tail) * 4 > bytes * 3 { break }
      text += next
      item += 1
    }
    let fill = bytes - text.utf8.count - tail
    precondition(fill >= 0, "a record has at least 100 bytes")
    let sentence = Array("the parcel left the warehouse at dawn and is on its way; ".utf8)
    var record = Array(text.utf8) + Array(",\"note\":\"".utf8)
    for index in 0..<fill { record.append(sentence[index % sentence.count]) }
    return record + Array("\"}".utf8)
  }
}

/// `value` in decimal with leading zeros.
func padded(_ value: Int, _ width: Int) -> String {
  let digits = String(value)
  return String(repeating: "0", count: width - digits.utf8.count) + digits
}
