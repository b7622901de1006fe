// What an ack's body may say, and that whatever is wrong with it refuses the whole, with its place.
import Engine
import NIOCore
import Testing
import Wire

@testable import Gateway

private let salt: UInt64 = 77

private func id(_ number: UInt64) -> AckID {
  AckID(track: 3, offset: Offset(number), lease: 9_000_000_000 + number, epoch: 12)
}

private func text(_ number: UInt64, salt: UInt64 = salt) -> String {
  id(number).encoded(salt: salt)
}

private func read(_ body: String, entriesMax: Int = 10_000) throws(Problem) -> Settlement {
  try ByteBuffer(string: body).withUnsafeReadableBytes { bytes throws(Problem) in
    try SettlementReader.read(bytes, salt: salt, entriesMax: entriesMax)
  }
}

private func refusal(_ body: String, entriesMax: Int = 10_000) -> String {
  do throws(Problem) {
    let settlement = try read(body, entriesMax: entriesMax)
    return "taken: \(settlement.count)"
  } catch {
    var pointer = ""
    if case .text(let text)? = error.facts.first(where: { $0.name == "pointer" })?.value {
      pointer = " " + text
    }
    return error.code.rawValue + pointer
  }
}

struct SettlementReaderTests {
  @Test func `each list is read in its order, with what its entries say`() throws {
    let settlement = try read(
      """
      { "term":[{"reason":"no \\"order\\" \\u00e9","ack_id":"\(text(5))"},{"ack_id":"\(text(6))"}],
        "nak":[{"ack_id":"\(text(2))","delay":"5s"},{"ack_id":"\(text(3))"},
               {"ack_id":"\(text(7))","delay":"0s"}],
        "ack":[ "\(text(1))" , "\(text(0))"],
        "extend":[{"by":"60s","ack_id":"\(text(4))"}] }
      """)
    #expect(settlement.ack == [id(1), id(0)])
    #expect(settlement.nak.map(\.id) == [id(2), id(3), id(7)])
    #expect(settlement.nak.map(\.delay) == [.seconds(5), nil, .zero])
    #expect(settlement.extend == [Settlement.Extension(id(4), by: .seconds(60))])
    #expect(settlement.term.map(\.id) == [id(5), id(6)])
    #expect(settlement.term.map(\.reason) == ["no \"order\" é", ""])
  }

  @Test(arguments: ["{}", "{\"ack\":[]}", "{\"nak\":[],\"term\":[]}"])
  func `nothing to settle is settled`(body: String) throws {
    #expect(try read(body).count == 0)
  }

  @Test func `an id is a JSON string like any other`() throws {
    let escaped = text(1).replacing("a", with: "\\u0061", maxReplacements: 1)
    #expect(try read("{\"ack\":[\"\(escaped)\"]}").ack == [id(1)])
  }

  @Test func `as many as may be, and no more`() throws {
    let ids = (0..<UInt64(50)).map { "\"\(text($0))\"" }.joined(separator: ",")
    #expect(try read("{\"ack\":[\(ids)]}", entriesMax: 50).ack.count == 50)
    #expect(refusal("{\"ack\":[\(ids)]}", entriesMax: 49) == "batch_too_large")
    let one = "{\"ack_id\":\"\(text(99))\"}"
    #expect(refusal("{\"ack\":[\(ids)],\"nak\":[\(one)]}", entriesMax: 50) == "batch_too_large")
  }

  @Test func `a damaged id is refused with its place`() {
    let good = "\"\(text(1))\""
    let foreign = "\"\(text(2, salt: salt + 1))\""
    let cut = "\"\(text(2).dropLast())\""
    let changed = "\"\(text(2).dropLast())\(text(2).last == "A" ? "B" : "A")\""
    for bad in [foreign, cut, changed, "\"\"", "\"a\"", "\"b\"", "\"aé\"", "\" \(text(2))\""] {
      #expect(refusal("{\"ack\":[\(good),\(bad)]}") == "bad_ack_id /ack/1")
      for list in ["nak", "term"] {
        #expect(
          refusal("{\"\(list)\":[{\"ack_id\":\(good)},{\"ack_id\":\(bad)}]}")
            == "bad_ack_id /\(list)/1/ack_id")
      }
    }
  }

  @Test(arguments: [
    ("", "bad_json"), ("{", "bad_json"), ("[]", "wrong_type "), ("\"a\"", "wrong_type "),
    ("null", "wrong_type "), ("{\"ack\":{}}", "wrong_type /ack"),
    ("{\"ack\":null}", "wrong_type /ack"), ("{\"ack\":[1]}", "wrong_type /ack/0"),
    ("{\"ack\":[null]}", "wrong_type /ack/0"), ("{\"ack\":[[]]}", "wrong_type /ack/0"),
    ("{\"acks\":[]}", "unknown_field /acks"), ("{\"a/b\":[]}", "unknown_field /a~1b"),
    ("{\"ack\":[],\"ack\":[]}", "bad_json /ack"),
    ("{\"nak\":\"a\"}", "wrong_type /nak"), ("{\"nak\":[\"a\"]}", "wrong_type /nak/0"),
    ("{\"nak\":[{}]}", "missing_field /nak/0/ack_id"),
    ("{\"nak\":[{\"ack_id\":7}]}", "wrong_type /nak/0/ack_id"),
    ("{\"nak\":[{\"ack_id\":ID,\"delay\":5}]}", "wrong_type /nak/0/delay"),
    ("{\"nak\":[{\"ack_id\":ID,\"delay\":null}]}", "wrong_type /nak/0/delay"),
    ("{\"nak\":[{\"ack_id\":ID,\"delay\":\"5\"}]}", "bad_value /nak/0/delay"),
    ("{\"nak\":[{\"ack_id\":ID,\"delay\":\"-5s\"}]}", "bad_value /nak/0/delay"),
    ("{\"nak\":[{\"ack_id\":ID,\"delay\":\"8d\"}]}", "bad_value /nak/0/delay"),
    ("{\"nak\":[{\"ack_id\":ID,\"by\":\"5s\"}]}", "unknown_field /nak/0/by"),
    ("{\"nak\":[{\"ack_id\":ID,\"ack_id\":ID}]}", "bad_json /nak/0/ack_id"),
    ("{\"extend\":[{\"ack_id\":ID}]}", "missing_field /extend/0/by"),
    ("{\"extend\":[{\"ack_id\":ID,\"by\":\"0s\"}]}", "bad_value /extend/0/by"),
    ("{\"extend\":[{\"ack_id\":ID,\"by\":\"13h\"}]}", "bad_value /extend/0/by"),
    ("{\"term\":[{\"ack_id\":ID,\"reason\":[]}]}", "wrong_type /term/0/reason"),
  ])
  func `a body that says something else is refused with its place`(body: String, why: String) {
    let body = body.replacing("ID", with: "\"\(text(1))\"")
    // An empty pointer names the body.
    #expect(refusal(body) == why)
  }

  @Test func `a reason has an end`() throws {
    let long = String(repeating: "é", count: 255)
    let term = "{\"ack_id\":\"\(text(1))\",\"reason\":\"\(long)\"}"
    #expect(try read("{\"term\":[\(term)]}").term[0].reason == long)
    let longer = term.replacing(long, with: long + "é")
    #expect(refusal("{\"term\":[\(longer)]}") == "bad_value /term/0/reason")
  }
}
