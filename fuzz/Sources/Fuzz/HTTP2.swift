// HTTP/2: any bytes behind a good preface, in any pieces. None traps, and nothing is held once the peer is gone.

@testable import Gateway

/// RFC 9113 §3.4: what a connection begins with, before the first frame.
let http2Preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)

func fuzzHTTP2(_ bytes: UnsafeRawBufferPointer) -> CInt {
  guard let first = bytes.first else { return 0 }
  // RFC 9113 §3.4 wants SETTINGS next; a peer may do without.
  let settings: [UInt8] = first < 128 ? [0, 0, 0, 4, 0, 0, 0, 0, 0] : []
  let input = http2Preface + settings + Array(bytes.dropFirst())
  let conversation = Conversation(limits: smallLimits)
  _ = conversation.run(first & 1 == 0 ? [input] : cut(input, seed: first))
  return 0
}
