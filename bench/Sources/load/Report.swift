// One flat JSON object: what a load program found.

struct Report {
  private var fields: [String] = []

  mutating func add(_ name: String, _ value: Int) { fields.append("\"\(name)\":\(value)") }
  mutating func add(_ name: String, _ value: UInt64) { fields.append("\"\(name)\":\(value)") }
  mutating func add(_ name: String, _ value: Double) {
    let thousandths = (value * 1000).rounded() / 1000
    fields.append("\"\(name)\":\(thousandths.isFinite ? thousandths : 0)")
  }
  mutating func add(_ name: String, _ value: String) {
    var escaped = ""
    for scalar in value.unicodeScalars {
      switch scalar {
      case "\"", "\\": escaped += "\\\(scalar)"
      case _ where scalar.value < 32: escaped += " "
      default: escaped.unicodeScalars.append(scalar)
      }
    }
    fields.append("\"\(name)\":\"\(escaped)\"")
  }
  /// Quantiles in microseconds.
  mutating func add(_ name: String, _ histogram: Histogram) {
    add("\(name)_count", histogram.count)
    add("\(name)_p50_us", Double(histogram.quantile(0.50)) / 1000)
    add("\(name)_p90_us", Double(histogram.quantile(0.90)) / 1000)
    add("\(name)_p99_us", Double(histogram.quantile(0.99)) / 1000)
    add("\(name)_p999_us", Double(histogram.quantile(0.999)) / 1000)
    add("\(name)_max_us", Double(histogram.max) / 1000)
  }

  var line: String { "{\(fields.joined(separator: ","))}" }
}
