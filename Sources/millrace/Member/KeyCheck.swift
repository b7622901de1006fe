// Whether a change of keys would cut members off: judged by what each tells of its own keys.
import Membership

struct KeyCheck {
  /// Of those that are there.
  let members: [(id: String, keys: [KeyID])]

  init(_ members: [Member]) {
    self.members = members.map { ($0.id.text, $0.profile.keys) }.sorted { $0.0 < $1.0 }
  }

  init(members: [(id: String, keys: [KeyID])]) { self.members = members }

  /// What keeps `key` from being used, in a sentence; nil if every member opens what is sealed with it.
  func trouble(using key: KeyID) -> String? {
    let without = members.filter { !$0.keys.contains(key) }.map(\.id)
    guard !without.isEmpty else { return nil }
    return
      "\(Self.list(without)) would not hear what is sealed with \(key): it is not installed there"
  }

  /// What keeps `key` from being removed; nil if nobody seals with it.
  func trouble(removing key: KeyID) -> String? {
    let users = members.filter { $0.keys.first == key }.map(\.id)
    guard !users.isEmpty else { return nil }
    return "\(Self.list(users)) would not be heard any more: \(key) is what is used there"
  }

  /// What goes wrong for the others when one's keys change.
  func troubles(from old: [KeyID], to new: [KeyID]) -> [String] {
    var troubles: [String] = []
    if let first = new.first, first != old.first, let trouble = trouble(using: first) {
      troubles.append(trouble)
    }
    for key in old where !new.contains(key) {
      // Its own use ends with the change.
      if let trouble = trouble(removing: key) { troubles.append(trouble) }
    }
    return troubles
  }

  /// "n1, n2 and 3 others"
  static func list(_ names: [String]) -> String {
    let shown = names.prefix(5).joined(separator: ", ")
    return names.count > 5 ? "\(shown) and \(names.count - 5) others" : shown
  }
}
