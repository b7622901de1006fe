// The platter: what files hold, what of it would outlive a loss of power, and what is left after one.
import Wire

/// Files and directories below one root, each in two states: as programs see them, and as a crash would leave them.
///
/// Data is lost by pages of 4 KiB, torn at sectors of 512 B. Names are lost by directory operations. A failed sync
/// marks pages clean that never arrived, as Linux does: they read back as written until they are dropped from memory.
final class Medium {
  static let pageBytes = 4096
  static let sectorBytes = 512

  final class File {
    let number: Int
    /// What a crash leaves for certain.
    var durable: [UInt8] = []
    /// What reads see.
    var cached: [UInt8] = []
    /// Pages written since they last arrived.
    var dirty: Set<Int> = []
    /// Pages that a failed sync gave up: clean, yet different on the platter.
    var lost: Set<Int> = []
    /// Failed syncs so far. Whoever has the file open hears of each once, at their next sync; so does who opens it
    /// next if nobody heard (Linux's errseq_t).
    var failures = 0
    var isFailureHeard = true
    init(number: Int) { self.number = number }
  }

  enum Node: Equatable {
    case directory
    case file(Int)
  }

  /// A change of names that a crash may undo.
  private enum NameChange {
    case create(String, Node)
    case remove(String)
    case rename(String, to: String, Node)

    /// The directory whose sync makes it durable.
    var directory: String {
      switch self {
      case .create(let path, _), .remove(let path), .rename(_, let path, _):
        return Medium.parent(path)
      }
    }
  }

  private(set) var files: [Int: File] = [:]
  private(set) var names: [String: Node] = [:]
  private var durableNames: [String: Node] = [:]
  private var changes: [NameChange] = []
  private var fileCount = 0
  /// Failed syncs of any file so far.
  private(set) var failures = 0
  /// Draws what a crash keeps.
  private var random: Random

  init(seed: UInt64) { random = Random(seed: seed ^ 0x6469_736b) }

  /// The same bytes under the same names, all of it durable.
  func copy() -> Medium {
    let copy = Medium(seed: 0)
    copy.random = random
    copy.fileCount = fileCount
    copy.names = names
    copy.durableNames = names
    for (number, file) in files {
      let other = File(number: number)
      other.durable = file.cached
      other.cached = file.cached
      copy.files[number] = other
    }
    return copy
  }

  static func parent(_ path: String) -> String {
    guard let slash = path.lastIndex(of: "/") else { return "" }
    return String(path[..<slash])
  }

  // MARK: Names

  func file(at path: String) -> File? {
    guard case .file(let number)? = names[path] else { return nil }
    return files[number]!
  }

  func isDirectory(_ path: String) -> Bool { path.isEmpty || names[path] == .directory }

  func list(_ directory: String) -> [String] {
    let prefix = directory.isEmpty ? "" : directory + "/"
    return names.keys.filter { Self.parent($0) == directory && $0.hasPrefix(prefix) }
      .map { String($0.dropFirst(prefix.count)) }.sorted()
  }

  func createFile(_ path: String) -> File {
    fileCount += 1
    let file = File(number: fileCount)
    files[file.number] = file
    names[path] = .file(file.number)
    changes.append(.create(path, .file(file.number)))
    return file
  }

  func createDirectory(_ path: String) {
    if path.isEmpty || names[path] == .directory { return }
    createDirectory(Self.parent(path))
    names[path] = .directory
    changes.append(.create(path, .directory))
  }

  func remove(_ path: String) {
    for name in names.keys.filter({ $0 == path || $0.hasPrefix(path + "/") }).sorted().reversed() {
      names[name] = nil
      changes.append(.remove(name))
    }
    forgetUnnamedFiles()
  }

  func rename(_ from: String, to: String) {
    let node = names[from]!
    names[from] = nil
    names[to] = node
    changes.append(.rename(from, to: to, node))
    forgetUnnamedFiles()
  }

  /// Files that are nowhere any more, not in what a crash may bring back either. Open handles keep their own.
  private func forgetUnnamedFiles() {
    guard changes.isEmpty else { return }
    var named: Set<Int> = []
    for node in names.values { if case .file(let number) = node { named.insert(number) } }
    for number in files.keys where !named.contains(number) { files[number] = nil }
  }

  /// Makes the names in `directory` durable.
  func syncNames(in directory: String) {
    for change in changes where change.directory == directory { apply(change) }
    changes.removeAll { $0.directory == directory }
    forgetUnnamedFiles()
  }

  private func apply(_ change: NameChange) {
    switch change {
    case .create(let path, let node): durableNames[path] = node
    case .remove(let path): durableNames[path] = nil
    case .rename(let from, let to, let node):
      if durableNames[from] == node { durableNames[from] = nil }
      durableNames[to] = node
    }
  }

  func syncAll() {
    for number in files.keys.sorted() { sync(files[number]!) }
    for change in changes { apply(change) }
    changes = []
    forgetUnnamedFiles()
  }

  // MARK: Bytes

  func write(_ bytes: UnsafeRawBufferPointer, at position: Int, in file: File) {
    guard !bytes.isEmpty else { return }
    let end = position + bytes.count
    let oldEnd = file.cached.count
    if end > oldEnd { file.cached.append(contentsOf: repeatElement(0, count: end - oldEnd)) }
    file.cached.withUnsafeMutableBytes { cached in
      UnsafeMutableRawBufferPointer(rebasing: cached[position..<end]).copyMemory(from: bytes)
    }
    touch(min(position, oldEnd)..<end, of: file)
  }

  func truncate(_ file: File, to size: Int) {
    let old = file.cached.count
    if size < old {
      file.cached.removeLast(old - size)
      // A page cut in two is zero behind the cut, should the file grow again.
      if size % Self.pageBytes != 0 { touch(size - 1..<size, of: file) }
    } else if size > old {
      file.cached.append(contentsOf: repeatElement(0, count: size - old))
      touch(old..<size, of: file)
    }
  }

  private func touch(_ range: Range<Int>, of file: File) {
    guard !range.isEmpty else { return }
    for page in (range.lowerBound / Self.pageBytes)...((range.upperBound - 1) / Self.pageBytes) {
      file.dirty.insert(page)
      file.lost.remove(page)
    }
  }

  /// Everything written arrives.
  func sync(_ file: File) {
    guard file.lost.isEmpty else {
      // The size and the dirty pages arrive; pages given up before stay behind.
      for page in file.dirty.sorted() { deliver(page, of: file) }
      file.dirty = []
      resizeDurable(file, to: file.cached.count)
      return
    }
    file.durable = file.cached
    file.dirty = []
  }

  /// The sync fails: some pages arrived, the others never will, and all count as clean.
  func failSync(_ file: File) {
    for page in file.dirty.sorted() {
      if random.oneIn(3) { deliver(page, of: file) } else { file.lost.insert(page) }
    }
    file.dirty = []
    file.failures += 1
    file.isFailureHeard = false
    failures += 1
  }

  private func deliver(_ page: Int, of file: File) {
    let start = page * Self.pageBytes
    let end = max(start, min(start + Self.pageBytes, file.cached.count))
    copyToPlatter(start..<end, of: file)
  }

  private func copyToPlatter(_ range: Range<Int>, of file: File) {
    guard !range.isEmpty else { return }
    if file.durable.count < range.upperBound { resizeDurable(file, to: range.upperBound) }
    file.durable.withUnsafeMutableBytes { durable in
      file.cached.withUnsafeBytes { cached in
        UnsafeMutableRawBufferPointer(rebasing: durable[range])
          .copyMemory(from: UnsafeRawBufferPointer(rebasing: cached[range]))
      }
    }
  }

  private func resizeDurable(_ file: File, to size: Int) {
    let now = file.durable.count
    if size < now {
      file.durable.removeLast(now - size)
    } else {
      file.durable.append(contentsOf: repeatElement(0, count: size - now))
    }
  }

  /// Memory runs short: pages that a failed sync gave up are read from the platter again.
  func dropCleanPages(of file: File) {
    for page in file.lost.sorted() {
      let start = page * Self.pageBytes
      let end = min(start + Self.pageBytes, file.cached.count)
      for position in start..<max(start, end) {
        file.cached[position] = position < file.durable.count ? file.durable[position] : 0
      }
    }
    file.lost = []
  }

  /// Bytes that files take, by whole pages.
  func usedBytes(open: [File]) -> Int {
    var numbers: Set<Int> = []
    for node in names.values { if case .file(let number) = node { numbers.insert(number) } }
    var bytes = 0
    for number in numbers { bytes += Self.pages(files[number]!.cached.count) * Self.pageBytes }
    for file in open where numbers.insert(file.number).inserted {
      bytes += Self.pages(file.cached.count) * Self.pageBytes
    }
    return bytes
  }

  static func pages(_ bytes: Int) -> Int { (bytes + pageBytes - 1) / pageBytes }

  // MARK: Loss of power

  /// How kind a crash is, in percent of what was not synced.
  struct Mercy {
    var pagesKept: Int
    var pagesTorn: Int
    var namesKept: Int
    /// Name changes are kept up to a point in time, as a journal does, instead of one by one.
    var namesInOrder: Bool

    static func draw(_ random: inout Random) -> Mercy {
      Mercy(
        pagesKept: [0, 0, 30, 60, 100][random.below(5)], pagesTorn: [0, 20, 50][random.below(3)],
        namesKept: [0, 50, 50, 100][random.below(4)], namesInOrder: random.oneIn(2))
    }
  }

  /// Power goes: what was synced stays, the rest by chance.
  func crash(_ mercy: Mercy) {
    var isKeeping = true
    for change in changes {
      let isKept = random.below(100) < mercy.namesKept
      if !isKept { isKeeping = false }
      if mercy.namesInOrder ? isKeeping : isKept { apply(change) }
    }
    changes = []
    dropOrphans()
    names = durableNames
    for number in files.keys.sorted() { crash(files[number]!, mercy) }
    forgetUnnamedFiles()
  }

  /// A name is gone if a directory above it is.
  private func dropOrphans() {
    for path in durableNames.keys.sorted() {
      let parent = Self.parent(path)
      if !parent.isEmpty && durableNames[parent] != .directory { durableNames[path] = nil }
    }
  }

  private func crash(_ file: File, _ mercy: Mercy) {
    let newSize = file.cached.count
    let oldSize = file.durable.count
    for page in file.dirty.sorted() {
      let drawn = random.below(100)
      if drawn < mercy.pagesKept {
        deliver(page, of: file)
      } else if drawn < mercy.pagesKept + mercy.pagesTorn {
        tear(page, of: file)
      }
    }
    // The size may be the old one, the new one, or as far as pages came.
    if !file.dirty.isEmpty || newSize != oldSize {
      switch random.below(3) {
      case 0: resizeDurable(file, to: newSize)
      case 1: if newSize > oldSize && mercy.pagesKept == 0 { resizeDurable(file, to: oldSize) }
      default: break
      }
    }
    file.dirty = []
    file.lost = []
    file.cached = file.durable
    // The kernel that knew of failed syncs is gone.
    file.isFailureHeard = true
  }

  private func tear(_ page: Int, of file: File) {
    let start = page * Self.pageBytes
    for sector in stride(from: start, to: start + Self.pageBytes, by: Self.sectorBytes) {
      let end = min(sector + Self.sectorBytes, file.cached.count)
      guard sector < end, random.oneIn(2) else { continue }
      copyToPlatter(sector..<end, of: file)
    }
  }

  /// One bit of what is stored turns over.
  func rot(_ file: File, bit: Int) {
    file.durable[bit / 8] ^= 1 << (bit % 8)
    file.cached[bit / 8] = file.durable[bit / 8]
  }

  /// Whatever was from `size` on is gone.
  func cutOff(_ file: File, at size: Int) {
    resizeDurable(file, to: size)
    file.cached = file.durable
  }
}
