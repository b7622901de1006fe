// The disk seam over the medium, for one life of the server: slow calls, faults, and silence after the crash.
import Engine
import NIOCore
import Wire

public final class SimDisk: Disk {
  private let state: Held<DiskState>

  init(_ state: DiskState) { self.state = Held(state) }

  public func open(_ path: String, create: Bool) throws(DiskError) -> any DiskFile {
    let state = state.value
    try state.begin("open", path, faults: state.weather.nameFaults)
    if let file = state.medium.file(at: path) { return SimFile(file, path: path, state) }
    guard create else { throw DiskError(.notFound, operation: "open", path: path, code: 2) }
    guard state.medium.isDirectory(Medium.parent(path)) else {
      throw DiskError(.notFound, operation: "open", path: path, code: 2)
    }
    try state.takeSpace(1, "open", path)
    state.note("create \(path)")
    return SimFile(state.medium.createFile(path), path: path, state)
  }

  public func exists(_ path: String) throws(DiskError) -> Bool {
    let state = state.value
    try state.begin("exists", path, faults: state.weather.readFaults)
    return state.medium.names[path] != nil
  }

  public func list(_ directory: String) throws(DiskError) -> [String] {
    let state = state.value
    try state.begin("list", directory, faults: state.weather.readFaults)
    return state.medium.list(directory)
  }

  public func createDirectory(_ path: String) throws(DiskError) {
    let state = state.value
    try state.begin("mkdir", path, faults: state.weather.nameFaults)
    state.note("mkdir \(path)")
    state.medium.createDirectory(path)
  }

  public func remove(_ path: String) throws(DiskError) {
    let state = state.value
    try state.begin("remove", path, faults: state.weather.nameFaults)
    state.note("remove \(path)")
    state.medium.remove(path)
  }

  public func rename(_ from: String, to: String) throws(DiskError) {
    let state = state.value
    try state.begin("rename", from, faults: state.weather.nameFaults)
    guard state.medium.names[from] != nil else {
      throw DiskError(.notFound, operation: "rename", path: from, code: 2)
    }
    state.note("rename \(from) to \(to)")
    state.medium.rename(from, to: to)
  }

  public func syncDirectory(_ path: String) throws(DiskError) {
    let state = state.value
    try state.begin("syncdir", path, faults: state.weather.syncFaults)
    guard state.medium.isDirectory(path) else {
      throw DiskError(.notFound, operation: "syncdir", path: path, code: 2)
    }
    state.note("sync directory \(path)")
    state.medium.syncNames(in: path)
  }

  public func witness() throws(DiskError) -> any DiskWitness {
    let state = state.value
    try state.begin("witness", "", faults: state.weather.nameFaults)
    return SimWitness(state)
  }

  public func freeBytes() throws(DiskError) -> Int {
    let state = state.value
    try state.begin("statfs", "", faults: 0)
    return state.freeBytes
  }
}

final class SimWitness: DiskWitness {
  private final class Heard {
    var failures: Int
    init(_ failures: Int) { self.failures = failures }
  }
  private let state: Held<DiskState>
  private let heard: Held<Heard>

  init(_ state: DiskState) {
    self.state = Held(state)
    heard = Held(Heard(state.medium.failures))
  }

  func syncAll() throws(DiskError) {
    let state = state.value
    do {
      try state.begin("syncfs", "", faults: state.weather.syncFaults)
    } catch {
      guard !state.isDead else { throw error }
      for number in state.medium.files.keys.sorted() {
        state.medium.failSync(state.medium.files[number]!)
      }
      heard.value.failures = state.medium.failures
      state.syncFailed()
      throw error
    }
    state.note("sync all")
    state.medium.syncAll()
    defer { heard.value.failures = state.medium.failures }
    if state.medium.failures > heard.value.failures {
      state.note("EIO sync all, from before")
      throw DiskError(.inputOutput, operation: "syncfs", path: "", code: 5)
    }
  }
}

/// What one life of the server has open, and whether that life is over.
final class DiskState {
  let medium: Medium
  let climate: Climate
  private let world: World
  var open: [(file: Medium.File, path: String)] = []
  var openMax = 0
  var isDead = false
  /// Operations until the crash that was asked for; negative is never.
  var operationsLeft = -1
  /// The same from the first sync on that fails.
  var operationsAfterFailedSync = -1
  var onLastOperation: () -> Void = {}

  init(_ medium: Medium, _ climate: Climate, _ world: World) {
    self.medium = medium
    self.climate = climate
    self.world = world
  }

  var weather: Weather { climate.weather }

  func note(_ text: @autoclosure () -> String) { world.note(text()) }

  /// Lets others take turns, as a slow device would; then the operation happens at once, or fails.
  func begin(_ operation: String, _ path: String, faults: Int) throws(DiskError) {
    if let place = world.current, !isDead {
      if place.mayBlock {
        place.holdUp()
      } else {
        world.violate("no disk call on an event loop", "\(operation) \(path)")
      }
    }
    guard !isDead else { throw DiskError(.other, operation: operation, path: path) }
    if operationsLeft >= 0 {
      operationsLeft -= 1
      if operationsLeft < 0 { onLastOperation() }
    }
    if climate.strikes(faults, path: path) {
      note("EIO \(operation) \(path)")
      throw DiskError(.inputOutput, operation: operation, path: path, code: 5)
    }
  }

  func syncFailed() {
    if operationsLeft < 0 { operationsLeft = operationsAfterFailedSync }
  }

  var freeBytes: Int {
    guard let capacity = weather.capacity else { return 1 << 40 }
    return max(0, capacity - medium.usedBytes(open: open.map(\.file)))
  }

  func takeSpace(_ bytes: Int, _ operation: String, _ path: String) throws(DiskError) {
    guard weather.capacity != nil, bytes > 0, freeBytes < bytes else { return }
    note("full: \(operation) \(path)")
    climate.faultCount += 1
    throw DiskError(.full, operation: operation, path: path, code: 28)
  }
}

final class SimFile: DiskFile {
  private final class Handle {
    let file: Medium.File
    let path: String
    let disk: DiskState
    var isClosed = false
    var failuresHeard: Int
    init(_ file: Medium.File, path: String, _ disk: DiskState) {
      self.file = file
      self.path = path
      self.disk = disk
      failuresHeard = file.isFailureHeard ? file.failures : file.failures - 1
    }
  }
  private let held: Held<Handle>

  init(_ file: Medium.File, path: String, _ disk: DiskState) {
    held = Held(Handle(file, path: path, disk))
    disk.open.append((file, path))
    disk.openMax = max(disk.openMax, disk.open.count)
  }

  private var handle: Handle {
    let handle = held.value
    precondition(!handle.isClosed, "\(handle.path) was used after it was closed")
    return handle
  }

  public func read(
    at position: Int, count: Int, into buffer: inout ByteBuffer
  ) throws(DiskError) -> Int {
    let handle = handle
    let disk = handle.disk
    try disk.begin("read", handle.path, faults: disk.weather.readFaults)
    if !handle.file.lost.isEmpty, disk.climate.strikes(disk.weather.pageDrops) {
      disk.note("drop pages of \(handle.path)")
      disk.medium.dropCleanPages(of: handle.file)
    }
    let end = min(position + count, handle.file.cached.count)
    guard position < end else { return 0 }
    handle.file.cached.withUnsafeBytes { _ = buffer.writeBytes($0[position..<end]) }
    return end - position
  }

  public func write(_ buffers: [ByteBuffer], at position: Int) throws(DiskError) {
    let handle = handle
    let disk = handle.disk
    let total = buffers.reduce(0) { $0 + $1.readableBytes }
    let growth =
      (Medium.pages(position + total) - Medium.pages(handle.file.cached.count)) * Medium.pageBytes
    do {
      try disk.begin("write", handle.path, faults: disk.weather.writeFaults)
      try disk.takeSpace(growth, "write", handle.path)
    } catch {
      // What a failed write leaves behind: some of it.
      if !disk.isDead { write(buffers, at: position, bytesMax: disk.climate.below(total + 1)) }
      throw error
    }
    write(buffers, at: position, bytesMax: total)
  }

  private func write(_ buffers: [ByteBuffer], at start: Int, bytesMax: Int) {
    var position = start
    var checksum: UInt32 = 0
    for buffer in buffers {
      buffer.withUnsafeReadableBytes { whole in
        let bytes = UnsafeRawBufferPointer(rebasing: whole.prefix(start + bytesMax - position))
        handle.disk.medium.write(bytes, at: position, in: handle.file)
        checksum = CRC32C.checksum(bytes, continuing: checksum)
        position += bytes.count
      }
    }
    handle.disk.note(
      "write \(handle.path) \(start)..<\(position) crc \(String(checksum, radix: 16))")
  }

  public func sync() throws(DiskError) {
    let handle = handle
    let disk = handle.disk
    do {
      try disk.begin("sync", handle.path, faults: disk.weather.syncFaults)
    } catch {
      if !disk.isDead { disk.medium.failSync(handle.file) }
      disk.syncFailed()
      hearFailures()
      throw error
    }
    disk.note("sync \(handle.path)")
    disk.medium.sync(handle.file)
    if hearFailures() {
      disk.note("EIO sync \(handle.path), from before")
      throw DiskError(.inputOutput, operation: "sync", path: handle.path, code: 5)
    }
  }

  /// True if a sync of the file failed and this handle was not told.
  @discardableResult
  private func hearFailures() -> Bool {
    let handle = handle
    defer {
      handle.failuresHeard = handle.file.failures
      handle.file.isFailureHeard = true
    }
    return handle.failuresHeard < handle.file.failures
  }

  public func size() throws(DiskError) -> Int {
    try handle.disk.begin("size", handle.path, faults: 0)
    return handle.file.cached.count
  }

  public func truncate(to size: Int) throws(DiskError) {
    let handle = handle
    try handle.disk.begin("truncate", handle.path, faults: handle.disk.weather.writeFaults)
    handle.disk.note("truncate \(handle.path) to \(size)")
    handle.disk.medium.truncate(handle.file, to: size)
  }

  public func prewrite(to size: Int) throws(DiskError) {
    let handle = handle
    let disk = handle.disk
    try disk.begin("prewrite", handle.path, faults: disk.weather.writeFaults)
    let old = handle.file.cached.count
    try disk.takeSpace(
      (Medium.pages(size) - Medium.pages(old)) * Medium.pageBytes, "prewrite", handle.path)
    guard size > old else { return }
    disk.note("prewrite \(handle.path) to \(size)")
    disk.medium.truncate(handle.file, to: size)
  }

  public func close() {
    let handle = handle
    handle.isClosed = true
    let disk = handle.disk
    if let index = disk.open.firstIndex(where: { $0.file === handle.file }) {
      disk.open.remove(at: index)
    }
  }
}
