// A directory: all things of one kind by name, in memory, each a document of the metadata store.
//
// Lookups take a lock for tens of nanoseconds from any thread. Changes of one name happen one after another; each is
// made in the metadata store by compare-and-set first, and seen here once it is durable.
import Synchronization
import Wire

/// What the metadata store keeps of one thing.
protocol DirectoryDocument: Sendable, Equatable {
  static var bucket: String { get }
  var name: String { get }
  /// Tells it from every other that had or will have its name.
  var incarnation: UInt64 { get }
  var encoded: [UInt8] { get }
  init(name: String, decoding bytes: [UInt8]) throws(CatalogDamage)
}

/// One thing as it stands; immutable, a change makes a new one.
protocol DirectoryEntry: AnyObject, Sendable {
  associatedtype Document: DirectoryDocument
  var name: String { get }
  var revision: Revision { get }
  var incarnation: UInt64 { get }
  var version: EntryVersion { get }
  var document: Document { get }
}

final class Directory<Entry: DirectoryEntry>: Sendable {
  typealias Document = Entry.Document
  typealias Reply<Value> = @Sendable (Result<Value, CatalogError>) -> Void
  /// Makes what `document` says; `before` is the same thing before a change, whose live parts go on.
  typealias Maker = @Sendable (_ document: Document, Revision, _ before: Entry?) -> Entry
  /// Hears of each change once it is seen here, those of one name in order: made, changed, or gone.
  typealias Watcher = @Sendable (_ before: Entry?, _ now: Entry?) -> Void

  private struct State {
    var entries: [String: Entry] = [:]
    var names = NameList()
    /// Names of which the metadata store may say something else than is known here.
    var doubtful: Set<String> = []
  }

  private let state: Mutex<State>
  private let turns = NameTurns()
  private let meta: any MetaStore
  private let make: Maker
  private let changed: Watcher

  /// `changed` does not hear of those that are there from the start.
  init(
    _ stored: [(document: Document, revision: Revision)], meta: any MetaStore,
    make: @escaping Maker, changed: @escaping Watcher
  ) {
    self.meta = meta
    self.make = make
    self.changed = changed
    var initial = State()
    initial.entries.reserveCapacity(stored.count)
    for (document, revision) in stored {
      let entry = make(document, revision, nil)
      initial.entries[entry.name] = entry
    }
    initial.names = NameList(initial.entries.keys)
    state = Mutex(initial)
  }

  // MARK: Looking up

  func entry(named name: String) -> Entry? { state.withLock { $0.entries[name] } }

  /// Up to `limit` in name order that begin with `prefix` and come after the name `after`.
  func entries(prefix: String, after: String?, limit: Int) -> [Entry] {
    state.withLock { state in
      state.names.page(prefix: prefix, after: after, limit: limit).map { state.entries[$0]! }
    }
  }

  var count: Int { state.withLock { $0.entries.count } }

  /// No change is begun from now on.
  func stop() { turns.stop() }

  // MARK: Changing

  enum Ensured: Sendable {
    case created(Entry)
    case exists(Entry)
  }

  /// Makes what `draft` replies, or finds that there is one.
  /// - Parameters:
  ///   - createOnly: refuse with `.alreadyExists` instead of comparing.
  ///   - differences: what is wanted otherwise than it is, as names of fields.
  func ensure(
    _ name: String, createOnly: Bool, on executor: any Executor,
    differences: @escaping @Sendable (Entry) throws(CatalogError) -> [String],
    draft: @escaping @Sendable (_ reply: @escaping Reply<Document>) -> Void,
    reply: @escaping Reply<Ensured>
  ) {
    turn(of: name, on: executor, reply: reply) { [self] finish in
      if let entry = entry(named: name) {
        if createOnly { return finish(.failure(.alreadyExists)) }
        let different: [String]
        do throws(CatalogError) {
          different = try differences(entry)
        } catch {
          return finish(.failure(error))
        }
        return finish(
          different.isEmpty
            ? .success(.exists(entry)) : .failure(.existsDifferently(fields: different)))
      }
      draft { [self] drafted in
        switch drafted {
        case .failure(let error): finish(.failure(error))
        case .success(let document):
          precondition(document.name == name, "a document goes by its own name")
          create(document, on: executor) { finish($0.map { .created($0) }) }
        }
      }
    }
  }

  private func create(
    _ document: Document, on executor: any Executor, reply: @escaping Reply<Entry>
  ) {
    let name = document.name
    meta.put(Document.bucket, name, document.encoded, if: .absent, on: executor) { [self] result in
      guard case .success(let revision) = result else {
        return settle(name, result, on: executor, reply: reply) { now in
          now?.incarnation == document.incarnation ? now : nil
        }
      }
      let entry = make(document, revision, nil)
      replace(nil, with: entry)
      reply(.success(entry))
    }
  }

  /// Changes it to what `edit` replies; the same document as before writes nothing.
  func change(
    _ name: String, ifRevision: Revision?, on executor: any Executor,
    edit: @escaping @Sendable (Entry, _ reply: @escaping Reply<Document>) -> Void,
    reply: @escaping Reply<Entry>
  ) {
    turn(of: name, on: executor, reply: reply) { [self] finish in
      let entry: Entry
      do throws(CatalogError) {
        entry = try find(name, ifRevision: ifRevision)
      } catch {
        return finish(.failure(error))
      }
      edit(entry) { [self] edited in
        switch edited {
        case .failure(let error): finish(.failure(error))
        case .success(let document) where document == entry.document: finish(.success(entry))
        case .success(let document):
          precondition(
            document.name == name && document.incarnation == entry.incarnation,
            "a change leaves \(name) itself")
          change(entry, to: document, on: executor, reply: finish)
        }
      }
    }
  }

  private func change(
    _ entry: Entry, to document: Document, on executor: any Executor, reply: @escaping Reply<Entry>
  ) {
    meta.put(
      Document.bucket, entry.name, document.encoded, if: .at(entry.revision), on: executor
    ) { [self] result in
      guard case .success(let revision) = result else {
        return settle(entry.name, result, on: executor, reply: reply) { now in
          now?.document == document ? now : nil
        }
      }
      let changed = make(document, revision, entry)
      replace(entry, with: changed)
      reply(.success(changed))
    }
  }

  private func find(_ name: String, ifRevision: Revision?) throws(CatalogError) -> Entry {
    guard let entry = entry(named: name) else { throw .notFound }
    if let ifRevision, ifRevision != entry.revision { throw .revisionMismatch(entry.version) }
    return entry
  }

  /// - Parameter allow: throws why it has to stay.
  func delete(
    _ name: String, ifRevision: Revision?, on executor: any Executor,
    allow: @escaping @Sendable (Entry) throws(CatalogError) -> Void, reply: @escaping Reply<Void>
  ) {
    turn(of: name, on: executor, reply: reply) { [self] finish in
      let entry: Entry
      do throws(CatalogError) {
        entry = try find(name, ifRevision: ifRevision)
        try allow(entry)
      } catch {
        return finish(.failure(error))
      }
      meta.delete(Document.bucket, name, if: .at(entry.revision), on: executor) { [self] result in
        guard case .success = result else {
          return settle(name, result, on: executor, reply: finish) { now in
            now?.incarnation == entry.incarnation ? nil : ()
          }
        }
        replace(entry, with: nil)
        finish(.success(()))
      }
    }
  }

  /// Runs `body` once those changes of `name` that came before are over; others wait until it calls `finish`.
  func turn<Value>(
    of name: String, on executor: any Executor, reply: @escaping Reply<Value>,
    _ body: @escaping @Sendable (_ finish: @escaping Reply<Value>) -> Void
  ) {
    let isTaken = turns.take(name) { [self] done in
      let finish: Reply<Value> = { outcome in
        done()
        reply(outcome)
      }
      guard state.withLock({ $0.doubtful.contains(name) }) else { return body(finish) }
      learn(name, on: executor) { learned in
        guard case .failure(let error) = learned else { return body(finish) }
        finish(.failure(.unreadable(error)))
      }
    }
    if !isTaken { reply(.failure(.stopping)) }
  }

  private func replace(_ before: Entry?, with now: Entry?) {
    guard let name = before?.name ?? now?.name else { return }
    state.withLock { state in
      state.entries[name] = now
      if before == nil { state.names.insert(name) }
      if now == nil { state.names.remove(name) }
    }
    changed(before, now)
  }
}

// MARK: What the metadata store has to say

extension Directory {
  /// After a change that failed: if nobody knows what the store holds now, it is asked, so that the name does not stay
  /// behind a revision that is no more, and so that the answer is as certain as it can be.
  /// - Parameter done: what the change was to bring about, if the entry as it is now shows that it did.
  private func settle<Value, Change>(
    _ name: String, _ failed: Result<Change, MetaError>, on executor: any Executor,
    reply: @escaping Reply<Value>, done: @escaping @Sendable (Entry?) -> Value?
  ) {
    guard case .failure(let error) = failed else { preconditionFailure("nothing is to settle") }
    guard error.leavesDoubt else { return reply(.failure(CatalogError(error))) }
    state.withLock { _ = $0.doubtful.insert(name) }
    learn(name, on: executor) { [self] learned in
      guard case .success = learned else { return reply(.failure(CatalogError(error))) }
      guard case .undecided(let reason) = error else {
        return reply(.failure(CatalogError(error)))
      }
      if let value = done(entry(named: name)) { return reply(.success(value)) }
      reply(.failure(.failed(reason, applied: .no)))
    }
  }

  /// Takes over what the metadata store holds of `name`.
  private func learn(
    _ name: String, on executor: any Executor,
    then: @escaping @Sendable (Result<Void, MetaError>) -> Void
  ) {
    meta.get(Document.bucket, name, on: executor) { [self] result in
      do throws(MetaError) {
        try adopt(name, try result.get())
      } catch {
        return then(.failure(error))
      }
      state.withLock { _ = $0.doubtful.remove(name) }
      then(.success(()))
    }
  }

  private func adopt(_ name: String, _ record: MetaRecord?) throws(MetaError) {
    let known = entry(named: name)
    guard let record else {
      if let known { replace(known, with: nil) }
      return
    }
    let document: Document
    do {
      document = try Document(name: name, decoding: record.value)
    } catch {
      throw .failed("\(error)")
    }
    if let known, known.incarnation == document.incarnation {
      guard known.revision != record.revision else { return }
      replace(known, with: make(document, record.revision, known))
    } else {
      if let known { replace(known, with: nil) }
      replace(nil, with: make(document, record.revision, nil))
    }
  }
}
