// `Fuzz TARGET [libFuzzer's options] [CORPUS…]`: gives bytes of libFuzzer's making to one target, until it traps.
//
// To add a target: write a function of bytes in a file of its own, and list it here and in run.sh.
import CFuzzer

typealias Target = @convention(c) (UnsafePointer<UInt8>?, Int) -> CInt

let targets: [(name: String, run: Target)] = [
  ("json", { fuzzJSON(lend($0, $1)) }),
  ("ndjson", { fuzzNDJSON(lend($0, $1)) }),
  ("frame", { fuzzFrame(lend($0, $1)) }),
  ("cursor", { fuzzCursor(lend($0, $1)) }),
  ("text", { fuzzText(lend($0, $1)) }),
  ("http1", { fuzzHTTP1(lend($0, $1)) }),
  ("http2", { fuzzHTTP2(lend($0, $1)) }),
  ("packet", { fuzzPacket(lend($0, $1)) }),
  ("swim", { fuzzSwim(lend($0, $1)) }),
]

func lend(_ bytes: UnsafePointer<UInt8>?, _ count: Int) -> UnsafeRawBufferPointer {
  UnsafeRawBufferPointer(start: bytes, count: count)
}

/// A promise that was not kept: libFuzzer writes the bytes that broke it to a file.
func check(_ holds: @autoclosure () -> Bool, _ promise: String) {
  if !holds() { fatalError(promise) }
}

@main
enum Main {
  static func main() {
    let names = targets.map(\.name).joined(separator: " ")
    guard CommandLine.argc > 1,
      let target = targets.first(where: { $0.name == CommandLine.arguments[1] })
    else {
      print("usage: Fuzz TARGET [OPTION…] [CORPUS…]; targets: \(names)")
      return
    }
    // The target's name goes; libFuzzer reads the rest, the program's name first.
    var count = CommandLine.argc - 1
    var arguments: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>? = CommandLine.unsafeArgv + 1
    arguments?[0] = CommandLine.unsafeArgv[0]
    _ = LLVMFuzzerRunDriver(&count, &arguments, target.run)
  }
}
