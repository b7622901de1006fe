// Dead letters: condemned records are appended to the dead-letter stream, in order and each once.
//
// A letter's serial stands in the journal before it is appended, and is its sequence under a producer of the
// subscription's own: whatever is appended again after a crash is known there, and answered with its first place.
import NIOCore
import Wire

struct Burying {
  /// Appends of one wave that were not answered yet.
  var pending = 0
  /// Condemned records whose bytes are being read.
  var isReading = false
  /// Not all could be appended: the next wave begins with those.
  var setback = Setback()
  /// What a wave's appends said, by serial.
  var places: [(serial: UInt64, place: BurialPlace?)] = []
  /// Why one of them was not.
  var failure: String?
  /// Counts dispatchers: answers to an earlier one's waves mean nothing.
  var round: UInt64 = 0

  mutating func begin() {
    let round = round + 1
    self = Burying()
    self.round = round
  }

  var isUnderWay: Bool { pending > 0 || isReading }
  var isIdle: Bool { !isUnderWay && setback.reason == nil }
}

/// A condemned record that has found its bytes.
private struct Letter: Sendable {
  var condemned: Condemned
  var draft: FrameDraft
  var keyHash: UInt64?
}

extension SubscriptionOwner {
  /// As many as a shard remembers of a producer's batches, less one: every one that a crash leaves in doubt is told.
  private static let waveMax = 4

  func bury() {
    guard !burying.isUnderWay, !isRefusing, !isSeeking else { return }
    burying.setback.tick(services.time.monotonic)
    guard !burying.setback.isResting else { return }
    let wave = core!.nextBurials(max: Self.waveMax)
    guard !wave.isEmpty else { return }
    burying.isReading = true
    burying.places = []
    burying.failure = nil
    prepare(wave[...], [])
  }

  /// Finds the bytes of each, one after the other.
  private func prepare(_ rest: ArraySlice<Condemned>, _ letters: [Letter]) {
    guard let condemned = rest.first else { return append(letters) }
    guard let engine, let shard = stream?.shards[condemned.shardIndex] else { return }
    if let chunk = shelf?.chunk(condemned.shardIndex, at: condemned.offset) {
      return prepare(rest.dropFirst(), letters + [letter(condemned, chunk)])
    }
    let (owner, round) = (confined, burying.round)
    engine.read(shard, from: condemned.offset, bytesMax: 1, on: executor) { outcome in
      let owner = owner.value
      guard round == owner.burying.round, owner.core != nil else { return }
      switch outcome {
      case .frames(let chunk):
        owner.prepare(rest.dropFirst(), letters + [owner.letter(condemned, chunk)])
      case .trimmed:
        // There is nothing left to be buried.
        owner.burying.places.append((condemned.serial, nil))
        owner.prepare(rest.dropFirst(), letters)
      case .atTail, .beyondTail:
        owner.burialFailed("shard \(shard.index) ends before offset \(condemned.offset)")
      case .failed(let error):
        if shard.isRemoved { return owner.streamRemoved() }
        owner.burialFailed("offset \(condemned.offset) of shard \(shard.index): \(error)")
      }
    }
  }

  private func letter(_ condemned: Condemned, _ chunk: FrameChunk) -> Letter {
    var letter: Letter?
    chunk.forEachRecord(from: condemned.offset) { record in
      letter = Letter(
        condemned: condemned, draft: draft(condemned, record),
        keyHash: record.key.map { KeyHash.xxh64($0) })
      return false
    }
    guard let letter else { preconditionFailure("a chunk that was read for \(condemned.offset)") }
    return letter
  }

  private func draft(_ condemned: Condemned, _ record: RecordView) -> FrameDraft {
    let facts: [(String, String)] = [
      ("millrace-subscription", subscription.name), ("millrace-stream", subscription.spec.stream),
      ("millrace-shard", String(condemned.shardIndex)),
      ("millrace-offset", String(condemned.offset.rawValue)),
      ("millrace-deliveries", String(condemned.deliveries)), ("millrace-reason", condemned.reason),
    ]
    let stamp = ProducerStamp(
      id: "_subscription.\(subscription.incarnation)", epoch: 0, sequence: condemned.serial)
    var builder = FrameBuilder(
      extras: FrameExtras(producer: stamp, digest: Digest.bodyDigest(of: record.value)),
      valuesBytesHint: record.value.count + 512)
    var texts = ByteBuffer()
    for (name, value) in facts { texts.writeString(name + value) }
    texts.withUnsafeReadableBytes { texts in
      var attributes = RecordAttributes()
      attributes.key = record.key
      attributes.contentType = record.contentType
      record.forEachHeader { name, value in attributes.headers.append((name, value)) }
      var position = 0
      func take(_ count: Int) -> UnsafeRawBufferPointer {
        defer { position += count }
        return UnsafeRawBufferPointer(rebasing: texts[position..<(position + count)])
      }
      for (name, value) in facts {
        attributes.headers.append((take(name.utf8.count), take(value.utf8.count)))
      }
      builder.append(record.value, attributes)
    }
    return builder.finish()
  }

  // MARK: Appending

  private func append(_ letters: [Letter]) {
    burying.isReading = false
    guard !letters.isEmpty else { return waveIsOver() }
    guard let name = subscription.spec.deadLetter else {
      // There is no such stream any more: what was condemned for it is given up.
      for letter in letters { burying.places.append((letter.condemned.serial, nil)) }
      return waveIsOver()
    }
    guard let engine, let target = engine.stream(named: name) else {
      return burialFailed("there is no stream \(name)")
    }
    var byShard: [(shard: Shard, letters: [Letter])] = []
    for letter in letters {
      let shard =
        letter.keyHash.map { target.shard(forKeyHash: $0) }
        ?? target.shards[Int(letter.condemned.serial % UInt64(target.shards.count))]
      if let index = byShard.firstIndex(where: { $0.shard === shard }) {
        byShard[index].letters.append(letter)
      } else {
        byShard.append((shard, [letter]))
      }
    }
    burying.pending = letters.count
    for (shard, letters) in byShard { append(letters, to: shard, engine) }
  }

  /// All in one job, so that if one cannot be taken, those behind it are not, either: a later sequence would shut the
  /// door on an earlier one.
  private func append(_ letters: [Letter], to shard: Shard, _ engine: Engine) {
    let (owner, round, executor) = (confined, burying.round, executor)
    services.mailboxes.post(to: shard.executor) {
      for letter in letters {
        let serial = letter.condemned.serial
        engine.append(letter.draft, to: shard, if: .none, on: executor) { result in
          owner.value.appended(result, serial, shard.index, round)
        }
      }
    }
  }

  private func appended(
    _ result: Result<Appended, AppendError>, _ serial: UInt64, _ shardIndex: Int,
    _ round: UInt64
  ) {
    guard round == burying.round, core != nil, burying.pending > 0 else { return }
    burying.pending -= 1
    switch result {
    case .success(let appended):
      let place = BurialPlace(shard: shardIndex, offset: appended.offsets.lowerBound)
      burying.places.append((serial, place))
    case .failure(.sequenceTooOld), .failure(.sequenceReused):
      // It stands there; the shard does not know where any more.
      burying.places.append((serial, nil))
    case .failure(let error):
      burying.failure = "\(error)"
    }
    if burying.pending == 0 { waveIsOver() }
  }

  private func waveIsOver() {
    burying.isReading = false
    for (serial, place) in burying.places.sorted(by: { $0.serial < $1.serial }) {
      core!.buried(serial, at: place)
    }
    burying.places = []
    if let failure = burying.failure { return burialFailed(failure) }
    burying.setback.succeed()
    scheduleTurn()
  }

  private func burialFailed(_ what: String) {
    burying.isReading = false
    burying.setback.fail(what, now: services.time.monotonic, tuning)
    core!.burialsFailed()
    scheduleTurn()
  }
}
