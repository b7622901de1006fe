// The keys that a node has: all of them open, the first one seals.

public enum KeyringError: Error, Hashable, Sendable {
  case full(keysMax: Int)
  /// A key of the same id is there already; a different one, for the same one is no error.
  case idTaken(KeyID)
  case notInstalled(KeyID)
  /// It is the one in use: use another first.
  case inUse(KeyID)
}

/// 1 to 8 keys. A key is changed without a gap in three steps, each finished everywhere before the next begins: install
/// the new one, use it, remove the old one.
public struct Keyring: Hashable, Sendable {
  public static let keysMax = Profile.keysMax

  /// The one in use first.
  public private(set) var keys: [MemberKey]

  /// nil for no keys, too many, or two of one id. The first is in use.
  public init?(_ keys: [MemberKey]) {
    guard 1...Self.keysMax ~= keys.count, Set(keys.map(\.id)).count == keys.count else {
      return nil
    }
    self.keys = keys
  }

  public var primary: MemberKey { keys[0] }
  /// As `Profile.keys` has them.
  public var ids: [KeyID] { keys.map(\.id) }

  public subscript(id: KeyID) -> MemberKey? { keys.first { $0.id == id } }

  /// From now on opens with `key`, too. The same key again changes nothing.
  public mutating func install(_ key: MemberKey) throws(KeyringError) {
    if let known = self[key.id] {
      guard known == key else { throw .idTaken(key.id) }
      return
    }
    guard keys.count < Self.keysMax else { throw .full(keysMax: Self.keysMax) }
    keys.append(key)
  }

  /// From now on seals with this one.
  public mutating func use(_ id: KeyID) throws(KeyringError) {
    guard let index = keys.firstIndex(where: { $0.id == id }) else { throw .notInstalled(id) }
    keys.insert(keys.remove(at: index), at: 0)
  }

  /// From now on opens nothing that was sealed with this one.
  public mutating func remove(_ id: KeyID) throws(KeyringError) {
    guard let index = keys.firstIndex(where: { $0.id == id }) else { throw .notInstalled(id) }
    guard index > 0 else { throw .inUse(id) }
    keys.remove(at: index)
  }
}
