// What keeps a subscription from being used, in the contract's words.
import Engine
import NIOCore
import Wire

/// A consumer's name, for people who look at who consumes.
enum ConsumerName {
  static let bytesMax = 255
  static let rule = "it is a name of 1 to \(bytesMax) bytes without control characters."

  static func isGood(_ text: String) -> Bool {
    (1...bytesMax).contains(text.utf8.count)
      && text.unicodeScalars.allSatisfy { $0.value >= 0x20 && $0.value != 0x7f }
  }
}

extension Problem {
  init(_ error: SubscriptionError) {
    switch error {
    case .notFound:
      self.init(.subscriptionNotFound, "The subscription was deleted.")
    case .streamReplaced:
      self.init(
        .streamReplaced,
        "The stream that it reads was deleted; one made again shares nothing with that one."
      )
    case .stopping:
      self.init(.stopping, "The server is stopping; nothing was done.")
    case .busy(let reason):
      self.init(.overloaded, reason)
    case .tooManyConsumers(let max):
      self.init(
        .tooManyConsumers, "A subscription has at most \(max) consumers at a time.",
        facts: Self.limit("consumers_max", max))
    case .wrongDelivery:
      self.init(
        .wrongDelivery,
        "Messages are taken from subscriptions of delivery type pull, which this one is not."
      )
    case .fenced:
      self.init(.ownerMoved, "Another owner has the subscription; nothing was done.")
    case .diskFull:
      self.init(.diskFull, "No space is left in the data directory; nothing was done.")
    case .storage(let reason, let applied):
      self.init(.storageFailed, reason, applied: applied)
    case .badPlace(let shard, let tail):
      guard let tail else {
        self.init(
          .shardNotFound, "The stream has no shard \(shard).",
          facts: [("shard", .text(String(shard)))])
        return
      }
      self.init(
        .beyondTail, "The tail of shard \(shard) is \(tail).",
        facts: [("shard", .text(String(shard))), ("tail", .long(tail.rawValue))])
    }
  }
}
