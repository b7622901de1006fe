// Asks a running member for a document: one GET over HTTP/1.1, without the machinery of a client.
import Glibc
import Membership
import NIOCore
import Wire

/// Why there is no answer, for a person.
struct QueryFault: Error, CustomStringConvertible {
  var description: String
}

enum MemberQuery {
  private static let seconds = 5
  private static let bytesMax = 64 << 20

  /// The keys of the members that are there, as the one at `address` knows them.
  static func keys(at address: ListenAddress) throws(QueryFault) -> KeyCheck {
    let text = try get("/members", from: address)
    guard let json = try? JSONValue.parse(text), let members = json["members"]?.asArray else {
      throw QueryFault(description: "\(address) answers, but not as a member does")
    }
    var known: [(id: String, keys: [KeyID])] = []
    for member in members {
      guard let id = member["id"]?.asString, let status = member["status"]?.asString,
        let keys = member["keys"]?.asArray
      else { throw QueryFault(description: "\(address) answers, but not as a member does") }
      guard ["alive", "suspect"].contains(status) else { continue }
      known.append((id, keys.compactMap { $0.asString.flatMap { KeyID(hexadecimal: $0) } }))
    }
    return KeyCheck(members: known)
  }

  /// The body of a 200.
  private static func get(
    _ path: String, from address: ListenAddress
  ) throws(QueryFault) -> ByteBuffer {
    func fault(_ what: String, _ code: CInt) -> QueryFault {
      QueryFault(description: "\(address): \(what): \(String(cString: strerror(code)))")
    }
    guard let target = try? address.resolved() else {
      throw QueryFault(description: "the name \(address.host) cannot be looked up")
    }
    let family = target.protocol == .inet6 ? AF_INET6 : AF_INET
    let descriptor = socket(family, CInt(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
    guard descriptor >= 0 else { throw fault("socket", errno) }
    defer { close(descriptor) }
    var patience = timeval(tv_sec: seconds, tv_usec: 0)
    for option in [SO_RCVTIMEO, SO_SNDTIMEO] {
      setsockopt(descriptor, SOL_SOCKET, option, &patience, socklen_t(MemoryLayout<timeval>.size))
    }
    guard target.withSockAddr({ connect(descriptor, $0, socklen_t($1)) }) == 0 else {
      throw fault("no member answers there", errno)
    }
    let request = Array("GET \(path) HTTP/1.0\r\nHost: \(address)\r\n\r\n".utf8)
    guard send(descriptor, request, request.count, CInt(MSG_NOSIGNAL)) == request.count
    else { throw fault("send", errno) }
    var answer: [UInt8] = []
    var piece = [UInt8](repeating: 0, count: 64 << 10)
    while true {
      let count = recv(descriptor, &piece, piece.count, 0)
      if count < 0, errno == EINTR { continue }
      guard count >= 0 else { throw fault("it stopped answering", errno) }
      if count == 0 { break }
      answer += piece[..<count]
      guard answer.count <= bytesMax else { throw fault("it answers too much", EMSGSIZE) }
    }
    let lineEnd = Array("\r\n".utf8)
    let status = String(decoding: answer.prefix { $0 != lineEnd[0] }, as: UTF8.self)
    guard status.contains(" 200 ") else {
      throw QueryFault(description: "\(address) answers \(status)")
    }
    var place = 0
    while place + 4 <= answer.count, Array(answer[place..<(place + 4)]) != lineEnd + lineEnd {
      place += 1
    }
    return ByteBuffer(bytes: answer.dropFirst(place + 4))
  }
}

extension KeyID {
  /// Eight hexadecimal digits, as shown.
  init?(hexadecimal text: String) {
    guard text.utf8.count == 8, !text.hasPrefix("+"), let value = UInt32(text, radix: 16) else {
      return nil
    }
    self.init(value)
  }
}
