// HTTP/2: any frames behind a good preface, in any pieces. None traps, and nothing is held once the peer is gone.

@testable import Gateway

func fuzzHTTP2(_ bytes: UnsafeRawBufferPointer) -> CInt {
  guard let first = bytes.first else { return 0 }
  let preface = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + [0, 0, 0, 4, 0, 0, 0, 0, 0]
  let input = preface + Array(bytes.dropFirst())
  let conversation = Conversation(limits: smallLimits)
  _ = conversation.run(first & 1 == 0 ? [input] : cut(input, seed: first))
  return 0
}
