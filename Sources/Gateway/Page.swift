// A page of a list: `page_size`, `page_token`, and `{"items":[…],"next_page_token":""}`.
import NIOCore
import Wire

struct Page {
  let size: Int
  /// The item that the page before ended with.
  let after: String?

  static let sizeDefault = 100
  static let sizeMax = 1000
  /// Tokens begin with their version.
  private static let version = "p1:"

  static let damaged = Problem(
    .badPageToken, "page_token is what next_page_token of the page before was.",
    facts: [("parameter", .text("page_token"))])

  init(_ query: Query) throws(Problem) {
    size = try query.integer("page_size", in: 1...Self.sizeMax) ?? Self.sizeDefault
    guard let token = query["page_token"], !token.isEmpty else {
      after = nil
      return
    }
    guard let bytes = Base64.decode(token, .url),
      let text = String(validating: bytes, as: UTF8.self), text.hasPrefix(Self.version)
    else { throw Self.damaged }
    after = String(text.dropFirst(Self.version.count))
  }

  /// Writes the list; `next` is its last item's place if there are more after it.
  func write<Items: Sequence>(
    _ items: Items, next: String?, into buffer: inout ByteBuffer,
    _ writeItem: (Items.Element, inout ByteBuffer) -> Void
  ) {
    buffer.writeString("{\"items\":[")
    var isFirst = true
    for item in items {
      if !isFirst { buffer.writeString(",") }
      writeItem(item, &buffer)
      isFirst = false
    }
    buffer.writeString("],\"next_page_token\":\"")
    if let next {
      ByteBuffer(string: Self.version + next).withUnsafeReadableBytes {
        Base64.encode($0, .url, into: &buffer)
      }
    }
    buffer.writeString("\"}")
  }
}
