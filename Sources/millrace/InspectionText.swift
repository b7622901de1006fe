// What inspect and verify found, for a person to read.
import Engine
import Wire

enum InspectionText {
  static func text(_ inspection: StoreInspection, of directory: String, eachShard: Bool) -> String {
    var text = "\(directory): \(server(inspection.server))\n\n"
    var table = TextTable(["STREAM", "SHARD", "RECORDS", "FROM", "TO", "SIZE", "SEGMENTS", "LAST"])
    for stream in inspection.streams {
      if eachShard {
        for (index, shard) in stream.shards.enumerated() {
          table.add(row(stream.name, "\(index)", [shard]))
        }
      } else {
        table.add(row(stream.name, "\(stream.shards.count) in all", stream.shards))
      }
    }
    for stray in inspection.strays { table.add(row("(deleted)", "id \(stray.id)", [stray])) }
    text += table.isEmpty ? "No streams.\n" : table.text
    if !inspection.subscriptions.isEmpty { text += "\n" + subscriptions(inspection).text }
    let all =
      inspection.streams.flatMap(\.shards) + inspection.subscriptions.map(\.journal)
      + inspection.strays
    let bytes = all.reduce(0) { $0 + $1.bytes }
    let subscribed =
      inspection.subscriptions.isEmpty
      ? "" : count(inspection.subscriptions.count, "subscription") + ", "
    text += """

      \(count(inspection.streams.count, "stream")), \(subscribed)\(count(all.count, "shard")), \
      \(count(all.reduce(0) { $0 + $1.records }, "record")), \
      \(ByteCount.readable(bytes)) in \
      \(count(all.reduce(0) { $0 + $1.segments }, "segment")) and logs


      """
    for lane in inspection.lanes {
      text += """
        lane \(lane.number): \(count(lane.shards, "shard")), \
        \(count(lane.logFiles, "log file")) of \(ByteCount.readable(lane.logBytes))
        """
      if let waiting = lane.waiting {
        text += """
          , \(count(waiting.frames, "batch", "batches")) \
          (\(ByteCount.readable(waiting.bytes))) not in segments yet
          """
      }
      text += "\n"
    }
    text += "\n" + findings(inspection.findings, inspection.shardNames)
    if !inspection.isDamaged {
      text += "No damage shows. millrace verify \(directory) reads everything.\n"
    }
    return text
  }

  static func text(_ verification: StoreVerification, of directory: String) -> String {
    var text = "\(directory): \(server(verification.server))\n"
    text += """
      read \(count(verification.segments, "segment")), \
      \(count(verification.frames, "batch", "batches")), \
      \(count(verification.records, "record")), \
      \(ByteCount.readable(verification.bytes))
      """
    text +=
      verification.server == nil
      ? ", and \(count(verification.logFrames, "batch", "batches")) in write-ahead logs\n" : "\n"
    text += findings(verification.findings, verification.shardNames)
    let damages = verification.findings.count { $0.severity == .damage }
    text +=
      damages == 0
      ? "Everything is whole.\n"
      : """
      \(count(damages, "place is", "places are")) damaged. Look at the disk (dmesg, smartctl); \
      restore the directory from a backup; or go on without what is lost: \
      docs/operating.md, "Damage, and the way out".

      """
    return text
  }

  private static func server(_ holder: PosixDisk.Holder?) -> String {
    guard let holder else { return "no server is running" }
    return "beside a running server" + (holder.process.map { ", process \($0)" } ?? "")
      + ", as of its last checkpoints"
  }

  private static func row(_ stream: String, _ shard: String, _ shards: [StoreInspection.Shard])
    -> [String]
  {
    let one = shards.count == 1 ? shards.first : nil
    let last = shards.compactMap(\.lastTimestamp).max()
    return [
      stream, shard, "\(shards.reduce(0) { $0 + $1.records })",
      one.map { "\($0.earliest)" } ?? "", one.map { "\($0.tail)" } ?? "",
      ByteCount.readable(shards.reduce(0) { $0 + $1.bytes }),
      "\(shards.reduce(0) { $0 + $1.segments })", last.map(RFC3339.text) ?? "",
    ]
  }

  /// Each has one shard of its own, its journal.
  private static func subscriptions(_ inspection: StoreInspection) -> TextTable {
    var table = TextTable(["SUBSCRIPTION", "OF", "FROM", "TO", "SIZE", "SEGMENTS", "LAST"])
    for subscription in inspection.subscriptions {
      let journal = subscription.journal
      table.add([
        subscription.name, subscription.stream, "\(journal.earliest)", "\(journal.tail)",
        ByteCount.readable(journal.bytes), "\(journal.segments)",
        journal.lastTimestamp.map(RFC3339.text) ?? "",
      ])
    }
    return table
  }

  private static func findings(
    _ findings: [StoreFinding], _ names: [ShardID: ShardName]
  ) -> String {
    var text = ""
    for finding in findings {
      text += "\(finding.severity.rawValue): \(finding.file)"
      text += finding.position.map { ", byte \($0)" } ?? ""
      text += ": \(finding.what)\n"
      for loss in finding.losses { text += "  lost: \(loss.words(names))\n" }
    }
    return text
  }

  private static func count(_ count: Int, _ one: String, _ many: String? = nil) -> String {
    "\(count) " + (count == 1 ? one : many ?? one + "s")
  }
}

extension RecordLoss {
  /// "orders, shard 0 (id 7): records 100 to 219 (120 records, 14.2 KiB)"
  func words(_ names: [ShardID: ShardName]) -> String {
    let name: String? =
      switch names[shard] {
      case .shard(let stream, let index): "\(stream), shard \(index) (id \(shard))"
      case .journal(let subscription): "the journal of subscription \(subscription) (id \(shard))"
      case nil: nil
      }
    let count = offsets.upperBound.distance(from: offsets.lowerBound)
    let last = Offset(max(offsets.upperBound.rawValue, 1) - 1)
    return "\(name ?? "a shard of no stream (id \(shard))"): records \(offsets.lowerBound) to "
      + "\(last) (\(count) records, \(ByteCount.readable(bytes)))"
  }
}

extension ByteCount {
  /// For people: three digits or so.
  static func readable(_ bytes: Int) -> String {
    for (unit, scale) in [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)]
    where bytes >= scale {
      let tenths = bytes * 10 / scale
      return tenths >= 1000 ? "\(tenths / 10) \(unit)" : "\(tenths / 10).\(tenths % 10) \(unit)"
    }
    return "\(bytes) B"
  }
}

/// Columns as wide as their longest cell; numbers to the right.
struct TextTable {
  private let titles: [String]
  private var rows: [[String]] = []
  var isEmpty: Bool { rows.isEmpty }

  init(_ titles: [String]) { self.titles = titles }

  mutating func add(_ row: [String]) {
    precondition(row.count == titles.count, "a row has a cell for each column")
    rows.append(row)
  }

  var text: String {
    let widths = titles.indices.map { column in
      ([titles] + rows).map { $0[column].count }.max() ?? 0
    }
    return ([titles] + rows).map { row in
      let cells = row.enumerated().map { column, cell in
        let padding = String(repeating: " ", count: widths[column] - cell.count)
        let isLeft = column == 0 || column == row.count - 1
        return isLeft ? cell + padding : padding + cell
      }
      return cells.joined(separator: "  ").trimmedEnd + "\n"
    }.joined()
  }
}

extension String {
  fileprivate var trimmedEnd: Substring {
    self[..<(lastIndex { $0 != " " }.map { index(after: $0) } ?? startIndex)]
  }
}
