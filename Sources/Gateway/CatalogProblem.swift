// The problems of the catalog: what kept a stream or a subscription from being made, changed or deleted.
import Engine

/// What a catalog error is about.
enum CatalogKind: String {
  case stream, subscription

  var notFound: ProblemCode {
    switch self {
    case .stream: .streamNotFound
    case .subscription: .subscriptionNotFound
    }
  }
}

extension Problem {
  init(_ error: CatalogError, of kind: CatalogKind) {
    let thing = kind.rawValue
    switch error {
    case .notFound:
      self.init(kind.notFound, "There is no \(thing) of this name.")
    case .alreadyExists:
      self.init(.alreadyExists, "If-None-Match: * creates only; leave it out to compare.")
    case .existsDifferently(let fields):
      self.init(
        .existsDifferently, "The \(thing) exists and differs in \(fields.joined(separator: ", ")).",
        facts: [("fields", .list(fields))])
    case .revisionMismatch(let version):
      let tag = EntityTags.tag(of: version)
      self.init(
        .revisionMismatch, "The \(thing)'s ETag is \(tag) now.", facts: [("etag", .text(tag))])
    case .fixed(let field):
      self.init(
        .fixedField, "\(field) is fixed when the \(thing) is made.",
        facts: [("pointer", .text(Self.pointer(to: field)))])
    case .missing(let field):
      self.init(
        .missingField, "A new \(thing) names its \(field).",
        facts: [("pointer", .text(Self.pointer(to: field)))])
    case .invalid(let field, let reason):
      self = JSONFields.badValue(Self.pointer(to: field), reason)
    case .noStream(let stream, let field):
      self.init(
        .streamNotFound,
        "\(field): there is no stream \(stream); PUT /v1/streams/\(stream) makes it.",
        facts: [("stream", .text(stream)), ("pointer", .text(Self.pointer(to: field)))])
    case .inUse(let names, let count):
      let others = count > names.count ? " and \(count - names.count) more" : ""
      self.init(
        .streamInUse,
        "It is read from or buried into by \(names.joined(separator: ", "))\(others); "
          + "?force=true deletes it all the same.",
        facts: [("subscriptions", .list(names)), ("subscription_count", .number(count))])
    case .streamReplaced(let stream):
      self.init(
        .streamReplaced,
        "The stream \(stream) that it reads was deleted; a new one of the name is another. "
          + "Delete the subscription and make it again.",
        facts: [("stream", .text(stream))])
    case .notWebhook:
      self.init(.wrongDelivery, "Only webhooks are signed; this subscription is pulled from.")
    case .limit(let reason):
      self.init(.catalogFull, reason)
    case .failed(let reason, let applied):
      self.init(.catalogFailed, reason, applied: applied)
    case .stopping:
      self.init(.stopping, "The server is stopping; nothing was changed.")
    }
  }

  /// `delivery.url` lies at `/delivery/url`: no field that the catalog names holds a slash or a tilde.
  private static func pointer(to field: String) -> String {
    "/" + field.split(separator: ".").joined(separator: "/")
  }
}
