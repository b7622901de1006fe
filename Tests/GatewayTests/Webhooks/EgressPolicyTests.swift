// Which addresses may be dialled, at the borders of every range and in every disguise.
import Testing

@testable import Gateway

private func refusal(_ text: String, allowing ranges: [String] = []) throws -> String? {
  let address = try #require(IPAddress(text))
  let allowed = try ranges.map { try #require(AddressRange($0)) }
  return EgressPolicy(allowing: allowed).refusal(of: address)
}

@Suite struct EgressPolicyTests {
  @Test(arguments: [
    ("0.0.0.0", "unspecified"), ("0.255.255.255", "unspecified"), ("10.0.0.0", "private"),
    ("10.255.255.255", "private"), ("100.64.0.0", "shared"), ("100.127.255.255", "shared"),
    ("100.100.100.200", "shared"), ("127.0.0.1", "loopback"), ("127.255.255.255", "loopback"),
    ("169.254.0.1", "link-local"), ("169.254.169.254", "link-local"),
    ("172.16.0.0", "private"), ("172.31.255.255", "private"), ("192.0.0.8", "reserved"),
    ("192.0.0.192", "reserved"), ("192.0.2.1", "documentation"), ("192.88.99.1", "reserved"),
    ("192.168.0.0", "private"), ("192.168.255.255", "private"), ("198.18.0.0", "benchmarking"),
    ("198.19.255.255", "benchmarking"), ("198.51.100.7", "documentation"),
    ("203.0.113.255", "documentation"), ("224.0.0.1", "multicast"),
    ("239.255.255.255", "multicast"), ("240.0.0.0", "reserved"), ("255.255.255.254", "reserved"),
    ("255.255.255.255", "broadcast"), ("168.63.129.16", "link-local"),
    ("::", "unspecified"), ("::1", "loopback"), ("::2", "reserved"),
    ("100::1", "discard"), ("100:0:0:1::1", "reserved"), ("2001::1", "tunnel"),
    ("2001:0:ffff:ffff:ffff:ffff:ffff:ffff", "tunnel"), ("2001:2::1", "benchmarking"),
    ("2001:10::1", "reserved"), ("2001:20::1", "reserved"), ("2001:1ff:ffff::1", "reserved"),
    ("2001:db8::1", "documentation"), ("3fff::1", "documentation"),
    ("3fff:fff:ffff::1", "documentation"), ("4000::1", "reserved"), ("5f00::1", "reserved"),
    ("fc00::1", "private"), ("fd00:ec2::254", "private"), ("fe80::1", "link-local"),
    ("febf:ffff::1", "link-local"), ("fec0::1", "private"), ("feff::1", "private"),
    ("ff02::1", "multicast"), ("64:ff9b:1::808:808", "private"), ("64:ff9a::1", "reserved"),
    ("1fff:ffff::1", "reserved"), ("fbff::1", "reserved"),
  ])
  func `what is not public is refused by its name`(address: String, kind: String) throws {
    #expect(try refusal(address) == kind)
  }

  @Test(arguments: [
    ("::ffff:127.0.0.1", "loopback"), ("::ffff:10.1.2.3", "private"),
    ("::ffff:169.254.169.254", "link-local"), ("::ffff:0:127.0.0.1", "reserved"),
    ("::127.0.0.1", "reserved"), ("::8.8.8.8", "reserved"),
    ("64:ff9b::127.0.0.1", "loopback"), ("64:ff9b::c0a8:1", "private"),
    ("64:ff9b::1:0:0", "reserved"),
    ("2002:7f00:1::", "loopback"), ("2002:a00:1::1", "private"),
    ("2002:a9fe:a9fe::a9fe:a9fe", "link-local"), ("2002:e000:1::1", "multicast"),
  ])
  func `an address of IPv4 inside one of IPv6 is judged as what it is`(
    address: String, kind: String
  ) throws {
    #expect(try refusal(address) == kind)
  }

  @Test(arguments: [
    "1.0.0.0", "8.8.8.8", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0",
    "126.255.255.255", "128.0.0.0", "169.253.255.255", "169.255.0.0", "172.15.255.255",
    "172.32.0.0", "192.0.1.0", "192.0.3.0", "192.88.98.255", "192.88.100.0", "192.167.255.255",
    "192.169.0.0", "198.17.255.255", "198.20.0.0", "198.51.99.255", "198.51.101.0",
    "203.0.112.255", "203.0.114.0", "223.255.255.255", "168.63.129.15", "168.63.129.17",
    "2000::1", "2001:200::1", "2001:4860:4860::8888", "2001:db7:ffff::1", "2001:db9::1",
    "2003::1", "2606:4700::1111", "3ffe:ffff::1", "3fff:1000::1", "::ffff:8.8.8.8",
    "64:ff9b::8.8.8.8", "2002:808:808::1",
  ])
  func `what is public may be dialled, next to the borders too`(address: String) throws {
    #expect(try refusal(address) == nil)
  }

  @Test func `an allowed range opens itself and nothing beside it`() throws {
    let allowed = ["127.0.0.0/8", "10.1.0.0/16", "fd12::/16", "::1/128"]
    for open in ["127.9.9.9", "10.1.255.255", "fd12:ffff::1", "::1", "8.8.8.8"] {
      #expect(try refusal(open, allowing: allowed) == nil)
    }
    for shut in ["10.0.255.255", "10.2.0.0", "fd13::1", "::2", "::", "169.254.169.254"] {
      #expect(try refusal(shut, allowing: allowed) != nil)
    }
  }

  @Test func `an allowed range of IPv4 holds for what carries it, for no other`() throws {
    #expect(try refusal("::ffff:127.0.0.1", allowing: ["127.0.0.0/8"]) == nil)
    #expect(try refusal("64:ff9b::10.0.0.1", allowing: ["10.0.0.0/8"]) == nil)
    #expect(try refusal("::1", allowing: ["127.0.0.0/8"]) == "loopback")
    #expect(try refusal("::127.0.0.1", allowing: ["127.0.0.0/8"]) == "reserved")
    #expect(try refusal("127.0.0.1", allowing: ["::/0"]) == "loopback")
    #expect(try refusal("fe80::1", allowing: ["0.0.0.0/0"]) == "link-local")
  }

  @Test(arguments: [
    "0.0.0.0/0", "127.0.0.0/8", "127.0.0.1/32", "192.0.2.0/31", "::/0", "::1/128", "fc00::/7",
    "2001:db8::/33", "2001:db8:8000::/33", "::ffff:0.0.0.0/96", "1:2:3:4:8000::/65",
  ])
  func `a range is written as it is read`(text: String) throws {
    #expect(try #require(AddressRange(text)).description == text)
  }

  @Test(arguments: [
    "", "/", "/8", "10.0.0.0", "10.0.0.0/", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/+8",
    "10.0.0.0/08", "10.0.0.0/8/8", "10.0.0.1/8", "10/8", "10.0.0/8", "010.0.0.0/8", " 10.0.0.0/8",
    "0xa.0.0.0/8", "::1/127", "::/129", "[::1]/128", "fe80::%eth0/10", "localhost/8", "::1",
    "1.2.3.4.5/32", "10.0.0.0/8 ", "::ffff:1.2.3.4/95",
  ])
  func `anything else is no range`(text: String) {
    #expect(AddressRange(text) == nil)
  }

  @Test func `every range of the tables is refused from its first address to its last`() {
    let policy = EgressPolicy()
    for (range, _) in EgressPolicy.ipv4 + EgressPolicy.ipv6 {
      let first = range.first
      let last =
        first.isIPv6
        ? IPAddress(
          high: first.high | (range.prefixBits >= 64 ? 0 : UInt64.max >> UInt64(range.prefixBits)),
          low: first.low
            | (range.prefixBits <= 64
              ? .max : range.prefixBits == 128 ? 0 : UInt64.max >> UInt64(range.prefixBits - 64)))
        : IPAddress(
          ipv4: UInt32(first.low)
            | (range.prefixBits == 32 ? 0 : UInt32.max >> UInt32(range.prefixBits)))
      #expect(range.contains(first) && range.contains(last), "\(range)")
      #expect(policy.refusal(of: first) != nil, "\(first)")
      #expect(policy.refusal(of: last) != nil, "\(last)")
    }
  }
}
