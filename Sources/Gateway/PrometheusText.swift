// Samples as Prometheus reads them: exposition format 0.0.4.
import Engine
import NIOCore

public enum PrometheusText {
  public static let contentType = "text/plain; version=0.0.4; charset=utf-8"

  /// Writes samples, those of one name together under one heading.
  public static func write(_ samples: [MetricSample], into buffer: inout ByteBuffer) {
    var names: [String] = []
    var byName: [String: [MetricSample]] = [:]
    for sample in samples {
      if byName[sample.name] == nil { names.append(sample.name) }
      byName[sample.name, default: []].append(sample)
    }
    for name in names {
      let group = byName[name]!
      buffer.writeString(
        "# HELP \(name) \(group[0].help)\n# TYPE \(name) \(group[0].kind.rawValue)\n")
      for sample in group {
        if let histogram = sample.histogram {
          write(histogram, name, into: &buffer)
          continue
        }
        buffer.writeString(name)
        if !sample.labels.isEmpty {
          let labels = sample.labels.map { "\($0.name)=\"\(escaped($0.value))\"" }
          buffer.writeString("{\(labels.joined(separator: ","))}")
        }
        buffer.writeString(" \(text(of: sample.value))\n")
      }
    }
  }

  private static func write(
    _ histogram: LatencyHistogram, _ name: String, into buffer: inout ByteBuffer
  ) {
    var sum = 0
    for (bucket, count) in histogram.buckets.enumerated() {
      sum += count
      let bound =
        bucket < LatencyHistogram.bounds.count
        ? String(Double(LatencyHistogram.bounds[bucket]) / 1_000_000) : "+Inf"
      buffer.writeString("\(name)_bucket{le=\"\(bound)\"} \(sum)\n")
    }
    buffer.writeString("\(name)_sum \(Double(histogram.sumMicroseconds) / 1_000_000)\n")
    buffer.writeString("\(name)_count \(sum)\n")
  }

  /// Whole numbers without a point, so that counters read as counts.
  private static func text(of value: Double) -> String {
    Int(exactly: value).map(String.init) ?? String(value)
  }

  private static func escaped(_ value: String) -> String {
    var text = ""
    for character in value.unicodeScalars {
      switch character {
      case "\\": text += "\\\\"
      case "\"": text += "\\\""
      case "\n": text += "\\n"
      default: text.unicodeScalars.append(character)
      }
    }
    return text
  }
}
