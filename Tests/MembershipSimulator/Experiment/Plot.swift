// Line plots as SVG, just enough for an experiment's picture.

struct Plot {
  struct Panel {
    var x: Int
    var y: Int
    var width: Int
    var height: Int
    var title: String
    /// Along the x axis, evenly.
    var ticks: [String]
    /// Of 1 + the value, so that 0 has a place.
    var isLogarithmic: Bool
  }

  struct Series {
    var colour: String
    /// nil where there is none.
    var values: [Double?]
  }

  private let width: Int
  private let height: Int
  private var parts: [String] = []

  init(width: Int, height: Int) {
    self.width = width
    self.height = height
  }

  var svg: String {
    """
    <svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 \(width) \(height)" \
    font-family="sans-serif" font-size="12" fill="#333">
    <rect width="\(width)" height="\(height)" fill="#fff"/>
    \(parts.joined(separator: "\n"))
    </svg>

    """
  }

  mutating func draw(_ panel: Panel, _ series: [Series]) {
    let most = max(1, series.flatMap(\.values).compactMap { $0 }.max() ?? 1)
    let (x, y) = (panel.x, panel.y)
    let (bottom, right) = (y + panel.height, x + panel.width)
    text(panel.title, x: x, y: y - 6, weight: "bold")
    parts.append(
      "<path d=\"M\(x) \(y)V\(bottom)H\(right)\" fill=\"none\" stroke=\"#333\"/>")
    for mark in marks(most, panel) {
      let at = height(mark, most, panel)
      parts.append("<path d=\"M\(x) \(at)H\(right)\" stroke=\"#ddd\"/>")
      text("\(Int(mark))", x: x - 6, y: at + 4, anchor: "end")
    }
    for (index, tick) in panel.ticks.enumerated() {
      text(tick, x: place(index, panel), y: bottom + 16, anchor: "middle")
    }
    for line in series { draw(line, most, panel) }
  }

  private mutating func draw(_ series: Series, _ most: Double, _ panel: Panel) {
    var path = ""
    for (index, value) in series.values.enumerated() {
      guard let value else { continue }
      let (x, y) = (place(index, panel), height(value, most, panel))
      path += (path.isEmpty ? "M" : "L") + "\(x) \(y)"
      parts.append("<circle cx=\"\(x)\" cy=\"\(y)\" r=\"3\" fill=\"\(series.colour)\"/>")
    }
    parts.append(
      "<path d=\"\(path)\" fill=\"none\" stroke=\"\(series.colour)\" stroke-width=\"2\"/>")
  }

  private func marks(_ most: Double, _ panel: Panel) -> [Double] {
    if panel.isLogarithmic {
      return [0, 1, 10, 100, 1000, 10_000, 100_000].filter { $0 <= most }
    }
    let step: Double = most > 40 ? 20 : most > 10 ? 5 : most > 4 ? 2 : 1
    return (0...Int(most / step)).map { Double($0) * step }
  }

  private func place(_ index: Int, _ panel: Panel) -> Int {
    panel.x + panel.width * (2 * index + 1) / (2 * panel.ticks.count)
  }

  private func height(_ value: Double, _ most: Double, _ panel: Panel) -> Int {
    let part =
      panel.isLogarithmic ? Self.bits(1 + value) / Self.bits(1 + most) : value / most
    return panel.y + panel.height - Int((part * Double(panel.height - 10)).rounded())
  }

  /// log2, to a thousandth: squaring doubles a logarithm.
  private static func bits(_ value: Double) -> Double {
    var whole = Double(value.exponent)
    var rest = value.significand
    var part = 0.5
    for _ in 0..<12 {
      rest *= rest
      if rest >= 2 {
        rest /= 2
        whole += part
      }
      part /= 2
    }
    return whole
  }

  mutating func legend(
    _ entries: [(label: String, colour: String)], x: Int, y: Int, columns: Int, columnWidth: Int
  ) {
    for (index, entry) in entries.enumerated() {
      let left = x + index % columns * columnWidth
      let top = y + index / columns * 16
      parts.append(
        "<path d=\"M\(left) \(top - 4)h18\" stroke=\"\(entry.colour)\" stroke-width=\"2\"/>")
      text(entry.label, x: left + 24, y: top)
    }
  }

  mutating func caption(_ line: String, x: Int, y: Int) { text(line, x: x, y: y, anchor: "middle") }

  private mutating func text(
    _ line: String, x: Int, y: Int, anchor: String = "start", weight: String = "normal"
  ) {
    parts.append(
      "<text x=\"\(x)\" y=\"\(y)\" text-anchor=\"\(anchor)\" font-weight=\"\(weight)\">"
        + line + "</text>")
  }
}
