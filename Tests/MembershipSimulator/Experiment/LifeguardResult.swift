// What Lifeguard's experiment found, as tables in Markdown and as a plot.

public struct LifeguardResult: Sendable {
  private let members: Int
  private let seconds: Int
  private let seeds: Int
  private let stressed: [Int]
  private let lengths: [Int]
  private var findings: [Arm: [Stress: Finding]] = [:]

  init(_ experiment: Lifeguard) {
    members = experiment.members
    seconds = experiment.seconds
    seeds = experiment.seeds
    stressed = experiment.stressed
    lengths = experiment.lengths
  }

  mutating func add(_ finding: Finding, _ arm: Arm, _ stress: Stress) {
    findings[arm, default: [:]][stress, default: Finding()] += finding
  }

  private func finding(_ arm: Arm, _ members: Int, _ length: Int) -> Finding {
    findings[arm]?[Stress(members: members, milliseconds: length)] ?? Finding()
  }

  private func sum(_ arm: Arm) -> Finding {
    var sum = Finding()
    for members in stressed { for length in lengths { sum += finding(arm, members, length) } }
    return sum
  }

  func line(_ arm: Arm) -> String {
    let sum = sum(arm)
    return "\(arm): of the healthy \(sum.suspicions) suspected, \(sum.falseAmongHealthy) dead, "
      + "by anyone \(sum.falseOfHealthy) dead; \(sum.falseOfAnyone) false deaths in all"
  }

  // MARK: Markdown

  public var markdown: String {
    var lines = [
      "| mechanisms | healthy: suspected | held for dead by the healthy, by anyone | stressed: "
        + "held for dead | silent machine: first, all know (median, worst), s | killed process: "
        + "first, all know (median, worst), s | B/s a member |",
      "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for arm in Arm.allCases {
      let sum = sum(arm)
      lines.append(
        "| \(arm.label) | \(sum.suspicions) | \(sum.falseAmongHealthy), \(sum.falseOfHealthy) | "
          + "\(sum.falseOfAnyone - sum.falseOfHealthy) | "
          + "\(Self.times(sum.silencedFirst, sum.silencedAll)) | "
          + "\(Self.times(sum.killedFirst, sum.killedAll)) | "
          + "\(sum.bytes / max(1, sum.memberSeconds)) |")
    }
    lines.append("")
    let titles = lengths.map { "\(Self.seconds(Int64($0) * 1_000_000)) s" }
    lines.append("| stressed | mechanisms | " + titles.joined(separator: " | ") + " |")
    lines.append("| --- | --- |" + String(repeating: " --- |", count: lengths.count))
    for count in stressed {
      for arm in [Arm.noneTimersFirst, .lifeguardTimersFirst, .none, .lifeguard, .all] {
        let cells = lengths.map { length in
          let finding = finding(arm, count, length)
          return "\(finding.suspicions) / \(finding.falseOfHealthy) / "
            + "\(finding.falseOfAnyone - finding.falseOfHealthy)"
        }
        lines.append("| \(count) | \(arm.label) | " + cells.joined(separator: " | ") + " |")
      }
    }
    return lines.joined(separator: "\n") + "\n"
  }

  private static func times(_ first: Spans, _ all: Spans) -> String {
    guard first.count > 0 else { return "never" }
    guard all.count > 0 else { return "\(seconds(first.quantile(0.5))), not by all" }
    return "\(seconds(first.quantile(0.5))), \(seconds(all.quantile(0.5))) "
      + "(\(seconds(all.most)))"
  }

  /// One decimal, two below a second.
  private static func seconds(_ nanoseconds: Int64) -> String {
    let hundredths = (nanoseconds + 5_000_000) / 10_000_000
    if hundredths % 100 == 0 { return "\(hundredths / 100)" }
    if hundredths < 100 { return "0." + (hundredths < 10 ? "0" : "") + "\(hundredths)" }
    return "\((hundredths + 5) / 100).\((hundredths + 5) / 10 % 10)"
  }

  // MARK: Plot

  /// Left, suspicions among the healthy by the length of the anomalies; right, how long it takes until all know of a
  /// silent machine.
  public var svg: String {
    let arms: [(Arm, String)] = [
      (.noneTimersFirst, "#b3261e"), (.lifeguardTimersFirst, "#c77700"), (.none, "#7b4fb3"),
      (.lifeguard, "#3b7a57"), (.all, "#1f5fbf"),
    ]
    var plot = Plot(width: 760, height: 330)
    let titles = lengths.map { "\(Self.seconds(Int64($0) * 1_000_000)) s" }
    let left = Plot.Panel(
      x: 60, y: 40, width: 290, height: 210, title: "suspicions of healthy members, told by such",
      ticks: titles,
      isLogarithmic: true)
    let right = Plot.Panel(
      x: 430, y: 40, width: 290, height: 210, title: "a silent machine is known to all, s",
      ticks: titles, isLogarithmic: false)
    plot.draw(
      left,
      arms.map { arm, colour in
        Plot.Series(
          colour: colour,
          values: lengths.map { length in
            Double(stressed.reduce(0) { $0 + finding(arm, $1, length).suspicions })
          })
      })
    plot.draw(
      right,
      arms.map { arm, colour in
        Plot.Series(
          colour: colour,
          values: lengths.map { length in
            var spans = Spans()
            for count in stressed { spans += finding(arm, count, length).silencedAll }
            return spans.count == 0 ? nil : Double(spans.quantile(0.5)) / 1e9
          })
      })
    plot.legend(arms.map { ($0.label, $1) }, x: 60, y: 290, columns: 2, columnWidth: 340)
    let counts = stressed.map(String.init).joined(separator: ", ")
    plot.caption(
      "by the length of the anomalies; \(members) members, \(counts) of them stressed, "
        + "\(seconds) s each", x: 380, y: 14)
    return plot.svg
  }
}
