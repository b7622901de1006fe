// libcurl's results as typed failures, in words that hold no secret.
import CCurl

extension OutboundFailure {
  /// Of a request that libcurl did not see through.
  init(_ reason: Reason) {
    let text =
      switch reason {
      case .busy: "too many requests wait already"
      case .cancelled: "the request was cancelled"
      case .stopped: "the server is stopping"
      default: "the request could not be made"
      }
    self.init(reason: reason, text: text, remoteAddress: nil, latency: .zero)
  }

  /// - Parameters:
  ///   - refused: the last address that the policy refused, if none was dialled.
  ///   - libcurlSays: may hold names of hosts, certificates and protocols; used of TLS only.
  init(
    _ result: CURLcode, refused: (address: IPAddress, kind: String)?, target: OutboundTarget,
    libcurlSays: String, remoteAddress: String?, latency: Duration
  ) {
    let reason: Reason
    let text: String
    switch result {
    case _ where refused != nil:
      reason = .refusedAddress(refused!.address, range: refused!.kind)
      text = EgressPolicy.words(for: refused!.address, refused!.kind)
    case CURLE_COULDNT_RESOLVE_HOST:
      reason = .resolve
      text = "no address is known for \(target.host)"
    case CURLE_COULDNT_CONNECT:
      reason = .connect
      text = "nobody answers at \(target.host)"
    case CURLE_OPERATION_TIMEDOUT:
      reason = .timeout
      text = remoteAddress == nil ? "no connection in time" : "no complete answer in time"
    case CURLE_SSL_CONNECT_ERROR, CURLE_PEER_FAILED_VERIFICATION, CURLE_SSL_CERTPROBLEM,
      CURLE_SSL_CIPHER, CURLE_SSL_ISSUER_ERROR, CURLE_SSL_INVALIDCERTSTATUS,
      CURLE_USE_SSL_FAILED:
      reason = .tls
      text = libcurlSays.isEmpty ? "TLS: \(Self.words(result))" : "TLS: \(libcurlSays)"
    case CURLE_GOT_NOTHING:
      reason = .closed
      text = "the connection was closed without an answer"
    case CURLE_PARTIAL_FILE, CURLE_RECV_ERROR, CURLE_SEND_ERROR:
      reason = .closed
      text = "the connection was closed before the answer was complete"
    case CURLE_HTTP2, CURLE_HTTP2_STREAM, CURLE_WEIRD_SERVER_REPLY, CURLE_UNSUPPORTED_PROTOCOL,
      CURLE_BAD_CONTENT_ENCODING, CURLE_WRITE_ERROR:
      reason = .badAnswer
      text = "the answer is not sound HTTP: \(Self.words(result))"
    case CURLE_OUT_OF_MEMORY, CURLE_FAILED_INIT:
      reason = .internalTrouble
      text = "the request could not be made: \(Self.words(result))"
    default:
      // Whatever else it is must use up attempts, or it would be tried for ever.
      reason = .badAnswer
      text = "no answer: \(Self.words(result))"
    }
    self.init(reason: reason, text: text, remoteAddress: remoteAddress, latency: latency)
  }

  private static func words(_ result: CURLcode) -> String {
    String(cString: curl_easy_strerror(result)).lowercased()
  }
}
