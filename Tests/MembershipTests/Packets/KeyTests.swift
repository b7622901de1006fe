// Keys, key rings, and that secrets do not show.
import Membership
import Testing
import Wire

private let first = memberKey(0..<32)
private let second = memberKey(32..<64)

@Suite struct KeyTests {
  @Test func `a key is read back from its text, and has a name of its own`() {
    let key = MemberKey.generate()
    #expect(MemberKey(base64: key.text) == key)
    #expect(key != .generate())
    // SHA-256("millrace member key" and 00 01 … 1f) begins so.
    #expect(first.id == KeyID(0x9d0a_1449))
    #expect(second.id != first.id)
  }

  @Test(arguments: [
    "", "AAAA", String(repeating: "A", count: 44), String(repeating: "A", count: 43) + "=\n",
    String(repeating: "A", count: 42) + "B=", String(repeating: "A", count: 43),
  ])
  func `anything else is no key`(text: String) {
    #expect(MemberKey(base64: text) == nil)
  }

  @Test func `a secret does not show when it is printed`() {
    let envelope = Envelope(keyring: keyring(first, second), label: "label", session: 1)
    var shown = ""
    dump(first, to: &shown)
    dump(envelope, to: &shown)
    shown += "\(first) \(String(reflecting: first)) \(keyring(first))"
    shown +=
      "\(envelope) \(String(reflecting: envelope)) \(StreamEnvelope(number: 1, isOpener: true))"
    #expect(shown.contains("key 9d0a1449"))
    // Neither as base64, nor as a list of numbers, nor in hexadecimal.
    for secret in [first.text, "AAECAw", "0, 1, 2, 3", "00010203", "32, 33, 34", "20212223"] {
      #expect(!shown.contains(secret))
    }
    #expect(!shown.contains("- 5\n"), "dump lists an array's elements so")
  }

  @Test func `a key is changed in three steps`() throws {
    var ring = keyring(first)
    try ring.install(second)
    #expect(ring.ids == [first.id, second.id] && ring.primary == first)
    try ring.use(second.id)
    #expect(ring.ids == [second.id, first.id] && ring.primary == second)
    try ring.remove(first.id)
    #expect(ring.ids == [second.id] && ring[first.id] == nil)
  }

  @Test func `steps that are wrong change nothing`() throws {
    var ring = keyring(first)
    #expect(throws: KeyringError.inUse(first.id)) { try ring.remove(first.id) }
    #expect(throws: KeyringError.notInstalled(second.id)) { try ring.remove(second.id) }
    #expect(throws: KeyringError.notInstalled(second.id)) { try ring.use(second.id) }
    try ring.install(first)
    #expect(ring == keyring(first))
    for _ in 1..<Keyring.keysMax { try ring.install(.generate()) }
    #expect(throws: KeyringError.full(keysMax: 8)) { try ring.install(.generate()) }
    #expect(ring.keys.count == 8 && ring.primary == first)
  }

  @Test func `a ring has one to eight keys, each once`() {
    #expect(Keyring([]) == nil)
    #expect(Keyring([first, second, first]) == nil)
    #expect(Keyring((0..<9).map { _ in .generate() }) == nil)
    #expect(Keyring((0..<8).map { _ in .generate() }) != nil)
  }
}
