// Idempotency keys of a stream of several shards: claimed at their home before anything is appended, then settled.
import Wire

extension Engine {
  /// Claims an idempotency key for a request with this digest; replies on `executor` with nil, or with why not.
  /// Whoever was let through appends frames that carry key and digest, and then settles the key.
  public func claim(
    _ key: String, _ digest: BodyDigest, in stream: Stream, on executor: any Executor,
    reply: @escaping @Sendable (AppendError?) -> Void
  ) {
    let home = stream.home(ofKey: key)
    let mailboxes = services.mailboxes
    // Not before the word of another loop that a request under this key, already answered, is over.
    mailboxes.queue(to: home.executor) { [self] in
      desk(of: home).claim(
        key, digest, fill: { fill(home, in: stream) },
        reply: { refusal in mailboxes.post(to: executor) { reply(refusal) } })
    }
  }

  /// A request that had claimed `key` is over.
  public func settle(_ key: String, _ outcome: KeyOutcome, in stream: Stream) {
    let home = stream.home(ofKey: key)
    services.mailboxes.queue(to: home.executor) { [self] in desk(of: home).settle(key, outcome) }
  }

  private func desk(of home: Shard) -> KeyDesk {
    let seat = home.seat.value
    if let desk = seat.keys { return desk }
    let desk = KeyDesk(services)
    seat.keys = desk
    return desk
  }

  /// Asks every shard that holds records what it remembers of keys that are at home at `home`.
  private func fill(_ home: Shard, in stream: Stream) -> Int {
    // A shard that nothing was appended to since the start, nor before, remembers nothing.
    let asked = stream.shards.filter { $0.tail > .zero }
    let desk = Confined(desk(of: home), to: home.executor)
    let mailboxes = services.mailboxes
    for shard in asked {
      mailboxes.post(to: shard.executor) { [self] in
        owner(of: shard).rememberedKeys { remembered in
          let atHome = remembered.map { entries in
            entries.filter { stream.home(ofKey: $0.key) === home }
          }
          mailboxes.post(to: home.executor) { desk.value.filled(atHome) }
        }
      }
    }
    return asked.count
  }
}

extension Stream {
  /// The shard that an idempotency key belongs to, and where the keyless records of its request go.
  public func home(ofKey key: String) -> Shard { shard(forKeyHash: KeyHash.xxh64(key)) }
}
