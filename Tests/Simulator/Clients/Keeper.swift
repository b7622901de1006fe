// The client that makes, changes and deletes streams, one change at a time, until it knows what became of each.
import Engine
import Wire

final class Keeper: Client {
  /// What it knows of a name.
  private enum Entry {
    case absent
    case present(StreamModel)
    /// Creation or deletion was asked for and nobody knows.
    case unknown(StreamModel?)
  }
  private let names: [String]
  private var entries: [String: Entry] = [:]
  private var isBusy = false

  init(_ name: String, _ simulation: Simulation, seed: UInt64, names: [String]) {
    self.names = names
    super.init(name, simulation, seed: seed)
    for name in names { entries[name] = .absent }
  }

  /// Streams that are there for certain.
  var streams: [StreamModel] {
    names.compactMap {
      guard case .present(let model) = entries[$0]!, !model.mayBeDeleted else { return nil }
      return model
    }
  }

  override var isSettled: Bool {
    !isBusy
      && entries.values.allSatisfy {
        if case .unknown = $0 { return false }
        return true
      }
  }
  override var waitsFor: String { "changes of streams" }

  override func start() { act() }
  override func dropped() { isBusy = false }

  private func act() {
    defer { later(.milliseconds(random.below(8))) { self.act() } }
    guard !isBusy else { return }
    for name in names {
      if case .unknown(let model) = entries[name]! {
        // What is asked again is decided sooner or later.
        if let model { delete(name, model) } else { create(name) }
        return
      }
    }
    guard !isWindingDown else { return }
    let name = names[random.below(names.count)]
    switch entries[name]! {
    case .absent: create(name)
    case .present(let model):
      switch random.below(200) {
      case 0, 1: delete(name, model)
      case 2...5: change(name, model)
      default: break
      }
    case .unknown: break
    }
  }

  // MARK: Making

  private func create(_ name: String) {
    isBusy = true
    let before = entries[name]!
    entries[name] = .unknown(nil)
    var fields = StreamFields()
    fields.shardCount = .set(1 + random.below(simulation.settings.shardsMax))
    fields.retentionAge = .set(nil)
    note("creates \(name)")
    life!.engine.ensureStream(
      name, fields, createOnly: true, on: executor,
      reply: reply { (result: Result<Engine.EnsureOutcome, CatalogError>) in
        self.isBusy = false
        switch result {
        case .success(.created(let stream)), .success(.exists(let stream)):
          self.note("hears that \(name) is \(stream.incarnation)")
          self.found(stream)
        case .failure(.alreadyExists):
          // An earlier attempt of ours, which nobody answered.
          if let stream = self.life?.engine.stream(named: name) { self.found(stream) }
        case .failure(let error):
          self.failed("create \(name)", error)
          if error.hadNoEffect { self.entries[name] = before }
        }
      })
  }

  private func found(_ stream: Stream) {
    entries[stream.name] = .present(
      model.addStream(stream, retention: stream.spec.retention))
  }

  private func failed(_ what: String, _ error: CatalogError) {
    note("cannot \(what): \(error)")
    if case .failed = error, model.hadFaults { return }
    if case .stopping = error, model.isStopping { return }
    violate("a fault is answered only to a fault", "\(what): \(error)")
  }

  // MARK: Changing

  private func change(_ name: String, _ stream: StreamModel) {
    isBusy = true
    var fields = StreamFields()
    fields.retentionBytes = .set(random.oneIn(3) ? nil : 4096 * (1 + random.below(8)))
    fields.retentionAge = .set(random.oneIn(2) ? nil : .milliseconds(500 + random.below(9000)))
    if case .set(let bytes) = fields.retentionBytes, case .set(let age) = fields.retentionAge {
      stream.retentions.append(Retention(age: age, bytes: bytes))
    }
    note("changes \(name)")
    life!.engine.changeStream(
      name, fields, ifRevision: nil, on: executor,
      reply: reply { (result: Result<Stream, CatalogError>) in
        self.isBusy = false
        if case .failure(let error) = result { self.failed("change \(name)", error) }
      })
  }

  // MARK: Deleting

  private func delete(_ name: String, _ stream: StreamModel) {
    isBusy = true
    let before = entries[name]!
    stream.mayBeDeleted = true
    entries[name] = .unknown(stream)
    note("deletes \(name)")
    life!.engine.deleteStream(
      name, ifRevision: nil, force: true, on: executor,
      reply: reply { (result: Result<Void, CatalogError>) in
        self.isBusy = false
        switch result {
        case .success, .failure(.notFound):
          self.note("hears that \(name) is gone")
          self.model.removeStream(stream)
          self.entries[name] = .absent
        case .failure(let error):
          self.failed("delete \(name)", error)
          guard error.hadNoEffect, case .present = before else { return }
          self.entries[name] = before
          stream.mayBeDeleted = false
        }
      })
  }

  // MARK: After a restart

  /// Compares the server's streams with what is known, and learns what was unknown.
  func compare(_ engine: Engine) {
    for name in names {
      let stream = engine.stream(named: name)
      switch (entries[name]!, stream) {
      case (.absent, nil), (.unknown, nil):
        if case .unknown(let gone?) = entries[name]! { model.removeStream(gone) }
        entries[name] = .absent
      case (.absent, let stream?):
        violate("a deleted stream stays away", "\(name) \(stream.incarnation)")
      case (.present(let model), nil):
        violate("a stream is there until deleted", "\(name) \(model.incarnation)")
      case (.unknown(nil), let stream?): found(stream)
      case (.present(let model), let stream?), (.unknown(let model?), let stream?):
        if stream.incarnation != model.incarnation {
          violate(
            "a stream stays itself", "\(name): \(stream.incarnation), was \(model.incarnation)")
        }
        model.mayBeDeleted = false
        entries[name] = .present(model)
      }
    }
  }
}

extension CatalogError {
  /// It says that nothing changed, and is held to it.
  var hadNoEffect: Bool {
    switch self {
    case .failed(_, let applied): applied == .no
    case .stopping: true
    default: false
    }
  }
}
