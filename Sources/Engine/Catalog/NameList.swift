// Names in order: found by their beginning, a page at a time.

struct NameList: Sendable {
  private(set) var names: [String] = []

  init() {}
  init(_ names: some Sequence<String>) { self.names = names.sorted() }

  var isEmpty: Bool { names.isEmpty }

  mutating func insert(_ name: String) {
    let place = names.partitionPoint { $0 < name }
    guard place == names.count || names[place] != name else { return }
    names.insert(name, at: place)
  }

  mutating func remove(_ name: String) {
    let place = names.partitionPoint { $0 < name }
    guard place < names.count, names[place] == name else { return }
    names.remove(at: place)
  }

  /// Up to `limit` names that begin with `prefix` and come after `after`.
  func page(prefix: String, after: String?, limit: Int) -> ArraySlice<String> {
    let first = names.partitionPoint { name in
      name < prefix || after.map { name <= $0 } ?? false
    }
    var end = first
    while end < names.count, end - first < limit, names[end].hasPrefix(prefix) { end += 1 }
    return names[first..<end]
  }
}

extension Array {
  /// The first index whose element is not `before`, in an array where those that are come first.
  func partitionPoint(_ before: (Element) -> Bool) -> Int {
    var low = 0
    var high = count
    while low < high {
      let middle = (low + high) / 2
      if before(self[middle]) { low = middle + 1 } else { high = middle }
    }
    return low
  }
}
