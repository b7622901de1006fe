// The disk with a bug between it and the store: syncs that come late or not at all, and logs read too trustingly.
import Engine
import NIOCore
import Wire

final class SabotagedDisk: Disk {
  private let base: any Disk
  private let bug: PlantedBug
  private let options: StoreOptions

  init(_ base: any Disk, _ bug: PlantedBug, _ options: StoreOptions) {
    self.base = base
    self.bug = bug
    self.options = options
  }

  func open(_ path: String, create: Bool) throws(DiskError) -> any DiskFile {
    SabotagedFile(try base.open(path, create: create), path, bug, options)
  }
  func exists(_ path: String) throws(DiskError) -> Bool { try base.exists(path) }
  func list(_ directory: String) throws(DiskError) -> [String] { try base.list(directory) }
  func createDirectory(_ path: String) throws(DiskError) { try base.createDirectory(path) }
  func remove(_ path: String) throws(DiskError) { try base.remove(path) }
  func rename(_ from: String, to: String) throws(DiskError) { try base.rename(from, to: to) }

  func syncDirectory(_ path: String) throws(DiskError) {
    if bug != .namesNotSynced { try base.syncDirectory(path) }
  }

  func witness() throws(DiskError) -> any DiskWitness {
    SabotagedWitness(try base.witness(), bug)
  }

  func freeBytes() throws(DiskError) -> Int { try base.freeBytes() }
}

private final class SabotagedWitness: DiskWitness {
  private let base: any DiskWitness
  private let bug: PlantedBug

  init(_ base: any DiskWitness, _ bug: PlantedBug) {
    self.base = base
    self.bug = bug
  }

  func syncAll() throws(DiskError) {
    switch bug {
    case .segmentsNotSynced: break
    case .syncTriedAgain:
      do { try base.syncAll() } catch { try base.syncAll() }
    default: try base.syncAll()
    }
  }
}

private final class SabotagedFile: DiskFile {
  private final class State { var isSyncOwed = false }
  private let base: any DiskFile
  private let bug: PlantedBug
  private let options: StoreOptions
  /// The lane whose log it is; nil for other files.
  private let lane: Int?
  private let isSegment: Bool
  private let state = Held(State())

  init(_ base: any DiskFile, _ path: String, _ bug: PlantedBug, _ options: StoreOptions) {
    self.base = base
    self.bug = bug
    self.options = options
    let parts = path.split(separator: "/")
    lane = parts.count == 3 && parts[0] == "lanes" ? Int(parts[1]) : nil
    isSegment = parts[0] == "shards"
  }

  func sync() throws(DiskError) {
    switch bug {
    case .answerBeforeSync where lane != nil: state.value.isSyncOwed = true
    case .segmentsNotSynced where isSegment: break
    case .syncTriedAgain:
      do { try base.sync() } catch { try base.sync() }
    default: try base.sync()
    }
  }

  func write(_ buffers: [ByteBuffer], at position: Int) throws(DiskError) {
    if state.value.isSyncOwed {
      state.value.isSyncOwed = false
      try base.sync()
    }
    try base.write(buffers, at: position)
  }

  func read(at position: Int, count: Int, into buffer: inout ByteBuffer) throws(DiskError) -> Int {
    let got = try base.read(at: position, count: count, into: &buffer)
    // Only recovery reads a log from its first byte, and more than the first header.
    if bug == .staleGroupTaken, let lane, position == 0, count > GroupHeader.bytes {
      renumberGroups(in: &buffer, of: lane)
    }
    return got
  }

  /// Makes of every whole group that stands where the next one would the next one, whatever its numbers say.
  private func renumberGroups(in file: inout ByteBuffer, of lane: Int) {
    let (block, salt) = (options.walBlockBytes, options.salt)
    guard let first = GroupHeader(in: file, at: 0, lane: lane, salt: salt) else { return }
    var position = 0
    var sequence = first.sequence
    while let group = GroupHeader(in: file, at: position, lane: lane, salt: salt),
      group.flaw(in: file, at: position, block: block) == nil
    {
      if group.generation != first.generation || group.sequence != sequence {
        let payload = file.getSlice(
          at: position + GroupHeader.bytes, length: group.payloadBytes)!
        let next = GroupHeader(
          generation: first.generation, sequence: sequence, payloadBytes: group.payloadBytes,
          frameCount: group.frameCount, lane: lane)
        file.setBuffer(
          next.group(of: CollectionOfOne(payload), block: block, salt: salt), at: position)
      }
      position += GroupHeader.groupBytes(payloadBytes: group.payloadBytes, block: block)
      sequence += 1
    }
  }

  func size() throws(DiskError) -> Int { try base.size() }
  func truncate(to size: Int) throws(DiskError) { try base.truncate(to: size) }
  func prewrite(to size: Int) throws(DiskError) { try base.prewrite(to: size) }
  func close() { base.close() }
}
