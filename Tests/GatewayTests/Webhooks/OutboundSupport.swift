// A client for one test, and certificates made for it.
import Engine
import Glibc
import NIOCore
import NIOPosix

@testable import Gateway

/// Runs `body` with a client that may dial 127.0.0.0/8, and ends it afterwards.
func withOutbound<Result>(
  allowing ranges: [String] = ["127.0.0.0/8"], trust: TrustStore? = nil,
  configure: (inout OutboundSettings) -> Void = { _ in },
  _ body: (OutboundCaller) async throws -> Result
) async throws -> Result {
  var settings = OutboundSettings(userAgent: "millrace/test")
  settings.policy = EgressPolicy(allowing: ranges.map { AddressRange($0)! })
  configure(&settings)
  let thread = ThreadExecutor(name: "replies")
  let client = OutboundClient(settings, trust: try trust ?? TrustStore())
  defer {
    client.stop()
    thread.stop()
  }
  return try await body(OutboundCaller(client: client, executor: thread))
}

struct OutboundCaller: Sendable {
  let client: OutboundClient
  let executor: ThreadExecutor

  func post(
    _ url: String, _ headers: OutboundHeaders = OutboundHeaders(), body: String = "{}",
    timeout: Duration = .seconds(120)
  ) async throws -> Result<OutboundAnswer, OutboundFailure> {
    let target = try OutboundTarget(url: url)
    let request = OutboundRequest(
      to: target, headers: headers, body: ByteBuffer(string: body), timeout: timeout)
    return await withCheckedContinuation { continuation in
      client.send(request, on: executor) { [executor] result in
        precondition(executor.isCurrent, "a reply came to the wrong place")
        continuation.resume(returning: result)
      }
    }
  }

  /// Why there is no answer; traps the test if there is one.
  func failure(_ url: String, timeout: Duration = .seconds(120)) async throws -> OutboundFailure {
    switch try await post(url, timeout: timeout) {
    case .success(let answer): throw ClientError(what: "answered \(answer.status)")
    case .failure(let failure): return failure
    }
  }
}

/// An authority and a certificate that it signed for localhost and 127.0.0.1, in a directory of their own.
final class TestCertificates: Sendable {
  let directory: String
  var authority: String { directory + "/ca.pem" }
  var tls: TLSConfiguration {
    TLSConfiguration(
      certificateFile: directory + "/server.pem", keyFile: directory + "/server.key")
  }

  init() throws {
    var template = Array("/tmp/millrace-test-XXXXXX".utf8CString)
    guard mkdtemp(&template) != nil else { throw ClientError(what: "mkdtemp: errno \(errno)") }
    directory = template.withUnsafeBufferPointer { String(cString: $0.baseAddress!) }
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
    let script = """
      cd '\(directory)' &&
      openssl req -x509 \(key) -keyout ca.key -out ca.pem -days 2 -subj /CN=test-authority &&
      openssl req \(key) -keyout server.key -out server.csr -subj /CN=localhost &&
      printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\\n' >names &&
      openssl x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial \
        -out server.pem -days 2 -extfile names
      """
    guard system("(\(script)) >/dev/null 2>&1") == 0 else {
      throw ClientError(what: "openssl made no certificates")
    }
  }

  deinit { _ = system("rm -rf '\(directory)'") }
}
