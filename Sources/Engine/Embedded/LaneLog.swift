// A lane's log files: which one is written, which wait for a checkpoint, which are free to be used again.
import Wire

struct LaneLog {
  struct File {
    enum State: Equatable {
      case free
      case active
      /// Holds groups up to `last` that wait for a checkpoint.
      case sealed(last: UInt64)
    }
    var slot: Int
    var path: String
    var handle: SharedFile
    var state: State
    var generation: UInt64 = 0
    /// Where the next group goes.
    var position = 0
    /// Groups committed in this generation.
    var commits = 0
    /// Readers on their way.
    var pins = 0
    /// Not of the size that the options ask for: removed when it is free.
    var isOdd = false
  }

  var files: [File] = []
  var nextSequence: UInt64 = 1
  var nextGeneration: UInt64 = 1
  /// The last group that is in segments.
  var checkpointed: UInt64 = 0
  /// A new file is being made.
  var isMakingFile = false
  let fileBytes: Int

  init(fileBytes: Int) { self.fileBytes = fileBytes }

  /// The last committed group.
  var durable: UInt64 { nextSequence - 1 }

  var active: Int? { files.firstIndex { $0.state == .active } }
  var free: Int? { files.firstIndex { $0.state == .free && $0.pins == 0 && !$0.isOdd } }
  var bytesInUse: Int {
    files.reduce(0) { sum, file in
      switch file.state {
      case .free: sum
      case .active: sum + file.position
      case .sealed: sum + fileBytes
      }
    }
  }

  /// The file for a group of this size; begins the next one if need be. nil if there is none.
  mutating func file(forGroupOf bytes: Int) -> Int? {
    if let active {
      if files[active].position + bytes <= fileBytes { return active }
      seal(active)
    }
    guard let free else { return nil }
    files[free].state = .active
    begin(free)
    return free
  }

  func hasRoom(forGroupOf bytes: Int) -> Bool {
    free != nil || active.map { files[$0].position + bytes <= fileBytes } ?? false
  }

  /// The group that was written to the file in this slot is durable.
  mutating func committed(bytes: Int, slot: Int) {
    guard let index = files.firstIndex(where: { $0.slot == slot }) else {
      preconditionFailure("log file \(slot) was removed while a group was written to it")
    }
    nextSequence += 1
    files[index].position += bytes
    files[index].commits += 1
  }

  private mutating func begin(_ index: Int) {
    files[index].generation = nextGeneration
    files[index].position = 0
    files[index].commits = 0
    nextGeneration += 1
  }

  private mutating func seal(_ index: Int) {
    files[index].state = .sealed(last: durable)
  }

  /// After a failed write or sync nothing more is written behind it: what the file holds from there on is unknown.
  mutating func abandonActive() {
    guard let active else { return }
    // Without a committed group there is nothing to keep: the next generation is written over this one.
    if files[active].commits == 0 { begin(active) } else { seal(active) }
  }

  /// Frees files whose groups are all in segments.
  mutating func checkpointed(upTo sequence: UInt64) {
    checkpointed = sequence
    for index in files.indices {
      if case .sealed(let last) = files[index].state, last <= sequence {
        files[index].state = .free
      }
    }
  }

  // MARK: Readers

  /// A view of the files as they are, which keeps them from being used again until `unpin`.
  mutating func pin() -> WALReader {
    for index in files.indices where files[index].state != .free { files[index].pins += 1 }
    return reader
  }

  mutating func unpin(_ reader: WALReader) {
    for pinned in reader.files {
      if let index = files.firstIndex(where: { $0.handle === pinned.handle }) {
        files[index].pins -= 1
      }
    }
  }

  /// For a checkpoint, which is what frees files: it needs no pin.
  var reader: WALReader {
    WALReader(
      files: files.filter { $0.state != .free }.map {
        WALReader.File(generation: $0.generation, path: $0.path, handle: $0.handle)
      })
  }
}

// MARK: Making files

extension LaneLog {
  /// A new file, written full of zeros and durable.
  static func makeFile(_ disk: any Disk, lane: Int, slot: Int, bytes: Int) throws(DiskError)
    -> SharedFile
  {
    let path = LaneFiles.log(lane, slot: slot)
    do throws(DiskError) {
      try disk.createDirectory(LaneFiles.directory(lane))
      let handle = SharedFile(try disk.open(path, create: true))
      try handle.file.prewrite(to: bytes)
      try handle.file.sync()
      try disk.syncDirectory(LaneFiles.directory(lane))
      return handle
    } catch {
      // Half a file would only hold the space that somebody else needs.
      try? disk.remove(path)
      throw error
    }
  }

  mutating func addFile(lane: Int, slot: Int, _ handle: SharedFile) {
    let path = LaneFiles.log(lane, slot: slot)
    files.append(File(slot: slot, path: path, handle: handle, state: .free))
  }

  /// Where the next group goes.
  var end: WALAddress {
    active.map { WALAddress(generation: files[$0].generation, position: files[$0].position) }
      ?? WALAddress(generation: nextGeneration, position: 0)
  }
}
