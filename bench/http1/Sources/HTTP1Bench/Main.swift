// `HTTP1Bench times` prints CPU time a request; `HTTP1Bench verdicts < CASES` what each parser says to each case.
import Glibc
import NIOCore

struct Workload {
  let name: String
  let request: String

  static let all = [
    Workload(
      name: "GET by curl, 3 headers",
      request:
        "GET /v1/streams/orders/records?from=1044 HTTP/1.1\r\nHost: 127.0.0.1:8420\r\n"
        + "User-Agent: curl/7.88.1\r\nAccept: */*\r\n\r\n"),
    Workload(
      name: "GET by a browser, 14 headers",
      request:
        "GET /v1/streams/orders/records?live=sse HTTP/1.1\r\nHost: localhost:8420\r\n"
        + "Connection: keep-alive\r\nAccept: text/event-stream\r\nCache-Control: no-cache\r\n"
        + "Sec-Ch-Ua: \"Chromium\";v=\"130\", \"Not?A_Brand\";v=\"99\"\r\nSec-Ch-Ua-Mobile: ?0\r\n"
        + "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/130.0\r\n"
        + "Sec-Ch-Ua-Platform: \"Linux\"\r\nSec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: cors\r\n"
        + "Sec-Fetch-Dest: empty\r\nReferer: http://localhost:8420/console/tail.html\r\n"
        + "Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: en-GB,en;q=0.9\r\n\r\n"),
    Workload(
      name: "POST of 1 KiB by its length, 6 headers",
      request:
        "POST /v1/streams/orders/records HTTP/1.1\r\nHost: 127.0.0.1:8420\r\n"
        + "User-Agent: load/1\r\nContent-Type: application/json\r\nProducer-Id: p1\r\n"
        + "Producer-Seq: 104\r\nContent-Length: 1024\r\n\r\n"
        + String(repeating: "x", count: 1024)),
    Workload(
      name: "POST of 1 KiB in 4 chunks",
      request:
        "POST /v1/streams/orders/records HTTP/1.1\r\nHost: 127.0.0.1:8420\r\n"
        + "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
        + String(repeating: "100\r\n" + String(repeating: "x", count: 256) + "\r\n", count: 4)
        + "0\r\n\r\n"),
  ]
}

/// This thread's own time: what others do on the machine counts for less.
func threadNanoseconds() -> Int {
  var time = timespec()
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
  return time.tv_sec * 1_000_000_000 + time.tv_nsec
}

func median(_ values: [Double]) -> Double { values.sorted()[values.count / 2] }

func rounded(_ value: Double) -> String {
  let tenths = Int((value * 10).rounded())
  return "\(tenths / 10).\(tenths % 10)"
}

/// Nanoseconds a request, `perRead` of them in each read.
func time(_ parser: any Parsing, _ read: ByteBuffer, perRead: Int, reads: Int) -> Double {
  let before = parser.outcome.whole
  let start = threadNanoseconds()
  for _ in 0..<reads { parser.receive(read) }
  let took = threadNanoseconds() - start
  precondition(parser.outcome.whole - before == perRead * reads, "not every request was parsed")
  return Double(took) / Double(perRead * reads)
}

func times(rounds: Int) {
  print("| request | a read | ours, ns | NIO's decoder, ns | ratio of the medians |")
  print("| --- | --- | --- | --- | --- |")
  for workload in Workload.all {
    for perRead in [1, 16] {
      let read = ByteBuffer(string: String(repeating: workload.request, count: perRead))
      var ours: [Double] = []
      var theirs: [Double] = []
      for _ in 0..<rounds {
        ours.append(time(Strict(), read, perRead: perRead, reads: 40_000 / perRead))
        theirs.append(time(Decoder(), read, perRead: perRead, reads: 40_000 / perRead))
      }
      let ratio = rounded(median(theirs) / median(ours))
      let figures = "\(rounded(median(ours))) | \(rounded(median(theirs))) | \(ratio)"
      print("| \(workload.name) | \(perRead) | \(figures) |")
    }
  }
}

/// Lines of a name, a tab, and bytes in hexadecimal. Another request follows each, which only a message that is
/// accepted lets through.
func verdicts() {
  print("| case | ours | NIO's decoder |")
  print("| --- | --- | --- |")
  var counts = (ours: 0, theirs: 0, all: 0)
  while let line = readLine() {
    let parts = line.split(separator: "\t")
    guard parts.count == 2 else { continue }
    let digits = Array(parts[1].utf8)
    var bytes = ByteBuffer()
    for index in stride(from: 0, to: digits.count, by: 2) {
      bytes.writeInteger(
        UInt8(String(decoding: digits[index...(index + 1)], as: UTF8.self), radix: 16)!)
    }
    bytes.writeString("GET /smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n")
    let ours = verdict(Strict(keepsTargets: true), bytes)
    let theirs = verdict(Decoder(keepsTargets: true), bytes)
    counts.all += 1
    if ours.isRefused { counts.ours += 1 }
    if theirs.isRefused { counts.theirs += 1 }
    print("| \(parts[0]) | \(ours.text) | \(theirs.text) |")
  }
  print("\nRefused: ours \(counts.ours), NIO's decoder \(counts.theirs), of \(counts.all).")
}

func verdict(_ parser: any Parsing, _ bytes: ByteBuffer) -> (text: String, isRefused: Bool) {
  parser.receive(bytes)
  let outcome = parser.outcome
  if outcome.isRefused { return ("refuses", true) }
  return (outcome.whole > 0 ? "accepts" : "waits for its body", false)
}

@main
enum Main {
  static func main() {
    switch CommandLine.arguments.dropFirst().first {
    case "times": times(rounds: 15)
    case "verdicts": verdicts()
    default: print("usage: HTTP1Bench times | verdicts < CASES")
    }
  }
}
