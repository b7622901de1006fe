// What is printed of a simulation: one line when all went well, everything needed to look into it when not.

extension Outcome {
  public var report: String {
    let hash = String(traceHash, radix: 16)
    guard let violation else {
      return "seed \(seed): ok, \(turns) turns, trace \(hash) of \(traceLines) lines, \(summary)"
    }
    return """
      \(lastLines.joined(separator: "\n"))
      seed \(seed): VIOLATION at turn \(violation.turn): \(violation.invariant)
        \(violation.detail)
        trace \(hash) of \(traceLines) lines, \(summary)
        again: swift run millrace-sim --seed \(seed)
      """
  }
}
