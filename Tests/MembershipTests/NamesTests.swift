// Names of members and keys, and where members are reached.
import Membership
import NIOCore
import Testing
import Wire

@Suite struct `A member's id` {
  @Test(arguments: ["n", "n4", "node-17.rack_b.EU", "0", String(repeating: "z", count: 64)])
  func `is a short name of plain characters`(text: String) throws {
    let id = try #require(MemberID(text))
    #expect(id.text == text)
    #expect("\(id)" == text)
    #expect(Array(text.utf8).withUnsafeBytes { MemberID($0) } == id)
  }

  @Test(arguments: [
    "", String(repeating: "z", count: 65), "a b", "a/b", "é", "a\u{0}", "a:1", "@", "`", "{",
  ])
  func `is refused when it is empty, long or has other characters`(text: String) {
    #expect(MemberID(text) == nil)
    #expect(Array(text.utf8).withUnsafeBytes { MemberID($0) } == nil)
  }

  @Test func `takes the 65 characters that it names and none else`() {
    let taken = (UInt8.min...UInt8.max).filter { byte in
      [byte].withUnsafeBytes { MemberID($0) } != nil
    }
    let named = "-.0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ_abcdefghijklmnopqrstuvwxyz"
    #expect(String(decoding: taken, as: UTF8.self) == named)
  }

  @Test func `is ordered by its bytes`() {
    let ids = ["n1", "n10", "n2", "N2", "n-", ""].compactMap { MemberID($0) }
    #expect(ids.sorted().map(\.text) == ["N2", "n-", "n1", "n10", "n2"])
  }

  @Test func `has the same place on the ring on every machine`() {
    // The reference implementation's XXH64 of these bytes.
    #expect(MemberID("a")?.place == 0xd24e_c4f1_a98c_6e5b)
    #expect(MemberID("abc")?.place == 0x44bc_2cf5_ad77_0999)
  }
}

@Suite struct `A key's id` {
  @Test func `reads as eight digits`() {
    #expect("\(KeyID(0xbad_c0de))" == "0badc0de")
    #expect("\(KeyID(0))" == "00000000")
    #expect("\(KeyID(.max))" == "ffffffff")
  }
}

@Suite struct `An endpoint` {
  @Test(arguments: [
    "127.0.0.1:7000", "255.0.13.9:1", "[::1]:65535", "[2001:db8::7:0:0:1]:7946", "[fe80::1]:80",
  ])
  func `reads as it was written`(text: String) throws {
    let endpoint = try #require(Endpoint(text))
    #expect("\(endpoint)" == text)
    #expect(Endpoint(endpoint.socketAddress) == endpoint)
    #expect(Endpoint(high: endpoint.high, low: endpoint.low, port: endpoint.port) == endpoint)
    if let ipv4 = endpoint.ipv4 { #expect(Endpoint(ipv4: ipv4, port: endpoint.port) == endpoint) }
  }

  @Test(arguments: [
    "", ":", "7000", "127.0.0.1", "127.0.0.1:", "127.0.0.1:0", "127.0.0.1:65536", "127.0.0.1:+7",
    "127.0.0.1:-7",
    "127.0.0.1: 7", "127.1:7", "127.0.0.256:7", "localhost:7", "::1:7000", "[::1]", "[::1]:0",
    "[::1",
    "[127.0.0.1]:7", "[::1%lo]:7", "[]:7", "[::g]:7", "0x7f.0.0.1:7", "[[::1]]:7",
  ])
  func `is refused when it is no address and port`(text: String) {
    #expect(Endpoint(text) == nil)
  }

  @Test func `is the same however an address of IPv4 came in`() throws {
    let plain = try #require(Endpoint("10.1.2.3:7000"))
    #expect(Endpoint("[::ffff:10.1.2.3]:7000") == plain)
    #expect(Endpoint(try SocketAddress(ipAddress: "::ffff:10.1.2.3", port: 7000)) == plain)
    #expect(plain.ipv4 == 0x0a01_0203)
    #expect(try plain.socketAddress == SocketAddress(ipAddress: "10.1.2.3", port: 7000))
  }

  @Test func `is no path of a file`() throws {
    #expect(Endpoint(try SocketAddress(unixDomainSocketPath: "/tmp/s")) == nil)
  }

  @Test func `takes 24 bytes of memory`() {
    #expect(MemoryLayout<Endpoint>.stride == 24)
    #expect(MemoryLayout<Endpoint?>.stride == 24)
  }

  @Test func `names one machine, unless it says any, some or all`() {
    let one = [
      "127.0.0.1:1", "1.0.0.0:1", "223.255.255.255:1", "[::1]:1", "[fe80::1]:1", "[2001:db8::]:1",
    ]
    let others = [
      "0.0.0.0:1", "0.1.2.3:1", "224.0.0.1:1", "255.255.255.255:1", "240.0.0.1:1", "[::]:1",
      "[ff02::1]:1",
    ]
    #expect(one.compactMap { Endpoint($0) }.map(\.isUnicast) == one.map { _ in true })
    #expect(others.compactMap { Endpoint($0) }.map(\.isUnicast) == others.map { _ in false })
  }

  @Test func `is ordered by address, then port`() {
    let texts = ["1.2.3.4:9", "1.2.3.4:10", "1.2.10.4:1", "[2001::1]:1", "[2001::2]:1"]
    let endpoints = texts.compactMap { Endpoint($0) }
    #expect(endpoints.reversed().sorted() == endpoints)
  }
}
