// XADD of one record a command over RESP, each connection waiting for its answer.
import Glibc

enum RESP: AnswerFraming {
  /// Answers of XADD: a bulk string with the entry's id, or an error line.
  static func answer(in bytes: UnsafeRawBufferPointer) -> Answer {
    guard let start = bytes.baseAddress, let line = memchr(start, 10, bytes.count) else {
      return .incomplete
    }
    let lineBytes = UnsafeRawPointer(line) - start + 1
    guard bytes[0] == UInt8(ascii: "$") else {
      return .complete(bytes: lineBytes, isSuccess: bytes[0] == UInt8(ascii: "+"))
    }
    var length = 0
    for byte in bytes[1..<(lineBytes - 2)] { length = length * 10 + Int(byte &- 48) }
    let whole = lineBytes + length + 2
    return bytes.count < whole ? .incomplete : .complete(bytes: whole, isSuccess: true)
  }
}

enum AppendRedis {
  static func run(_ options: Options) -> Report {
    let record = Payload.record(bytes: options.integer("record-bytes", 1024))
    let head = "*5\r\n$4\r\nXADD\r\n$6\r\ns00000\r\n$1\r\n*\r\n$1\r\nv\r\n$\(record.count)\r\n"
    let template = RequestTemplate(
      bytes: Array(head.utf8) + record + [13, 10],
      digitsAt: "*5\r\n$4\r\nXADD\r\n$6\r\ns".utf8.count)
    var loop = ClosedLoop<RESP>(options, template: template)
    return loop.run(options, recordsPerRequest: 1)
  }
}
