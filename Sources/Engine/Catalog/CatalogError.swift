// Why the catalog was not changed.
import Wire

/// Which of the things that ever had a name, and as of which change: the ETag.
public struct EntryVersion: Sendable, Equatable {
  public var incarnation: UInt64
  public var revision: Revision
  public init(incarnation: UInt64, revision: Revision) {
    self.incarnation = incarnation
    self.revision = revision
  }
}

/// Fields are named as in requests, with dots: `delivery.url`.
public enum CatalogError: Error, Sendable, Equatable {
  case notFound
  /// There is one, and only creating was asked for.
  case alreadyExists
  /// There is one with other settings; `fields` names what differs.
  case existsDifferently(fields: [String])
  /// `If-Match` did not hold; the version that there is.
  case revisionMismatch(EntryVersion)
  /// This field cannot be changed.
  case fixed(field: String)
  /// A new one needs this field.
  case missing(field: String)
  /// This field does not go with the others.
  case invalid(field: String, reason: String)
  /// The stream that this field names does not exist.
  case noStream(String, field: String)
  /// These subscriptions use the stream: the first of `count`, by name.
  case inUse([String], count: Int)
  /// The subscription's stream is gone; another may have its name.
  case streamReplaced(String)
  /// Only webhooks have what was to be changed.
  case notWebhook
  /// More things of this kind than configured.
  case limit(String)
  case failed(String, applied: Applied)
  case stopping
}

extension CatalogError {
  init(_ error: MetaError) {
    switch error {
    case .conflict: self = .failed("the catalog was changed by somebody else", applied: .no)
    case .failed(let what): self = .failed(what, applied: .no)
    case .undecided(let what): self = .failed(what, applied: .maybe)
    }
  }

  /// Before anything was changed.
  static func unreadable(_ error: MetaError) -> CatalogError {
    .failed("the catalog cannot be read: \(error)", applied: .no)
  }
}

extension MetaError {
  /// True if what the store holds may be something else than what was known of it.
  var leavesDoubt: Bool {
    if case .failed = self { return false }
    return true
  }
}
