// The conditions of requests: create only, change only what has not changed since (RFC 9110 §13).
import Engine
import Wire

extension Request {
  /// Whether a PUT creates only, by `If-None-Match: *`.
  /// - Throws: `bad_header` for another condition.
  func createsOnly() throws(Problem) -> Bool {
    guard try header("if-match") == nil else {
      throw Problem(
        .badHeader, "PUT ensures and never changes; If-Match goes with PATCH and DELETE.",
        facts: [("header", .text("if-match"))])
    }
    guard let condition = try header("if-none-match") else { return false }
    guard condition.trimmed() == "*" else {
      throw Problem(
        .badHeader, "On PUT If-None-Match is *: create only.",
        facts: [("header", .text("if-none-match"))])
    }
    return true
  }

  /// What If-Match asks: the revision to change, or nil for any.
  /// - Throws: `revision_mismatch` if `version` is another.
  func expectedRevision(of version: EntryVersion, _ kind: CatalogKind) throws(Problem) -> Revision?
  {
    guard let condition = try header("if-match") else { return nil }
    let tags = EntityTags(condition)
    if tags.isAny { return nil }
    guard tags.matchesStrongly(EntityTags.tag(of: version)) else {
      throw Problem(.revisionMismatch(version), of: kind)
    }
    return version.revision
  }
}

/// Entity tags of a condition, RFC 9110 §8.8.3.
struct EntityTags {
  /// Changes with every change, and never repeats, not for a later thing of the name either.
  static func tag(of version: EntryVersion) -> String {
    "\"\(version.incarnation)-\(version.revision)\""
  }

  let isAny: Bool
  private let tags: [String]

  init(_ text: String) {
    isAny = text.trimmed() == "*"
    tags = text.split(separator: ",").map { $0.trimmed() }
  }

  /// For If-Match: a weak tag never matches.
  func matchesStrongly(_ tag: String) -> Bool { isAny || tags.contains(tag) }
  /// For If-None-Match.
  func matchesWeakly(_ tag: String) -> Bool {
    isAny || tags.contains(tag) || tags.contains("W/" + tag)
  }
}
