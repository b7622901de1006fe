// Signatures as Standard Webhooks' own libraries make them.
import NIOCore
import Testing
import Wire

@testable import Gateway

@Suite struct WebhookSignerTests {
  /// From the tests of the specification's reference libraries.
  @Test func `a delivery is signed as the reference libraries sign it`() throws {
    let secret = try #require(SigningSecret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"))
    let signature = WebhookSigner(secrets: [secret]).signature(
      id: "msg_p5jXN8AQM9LWM0D4loKWxJek", seconds: 1_614_265_330,
      body: ByteBuffer(string: #"{"test": 2432232314}"#))
    #expect(signature == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")
  }

  @Test func `two secrets make two signatures, each what it alone would make`() {
    let secrets = [SigningSecret.generate(), SigningSecret.generate()]
    let body = ByteBuffer(string: "{}")
    let each = secrets.map {
      WebhookSigner(secrets: [$0]).signature(id: "msg_1", seconds: 1, body: body)
    }
    let both = WebhookSigner(secrets: secrets).signature(id: "msg_1", seconds: 1, body: body)
    #expect(both == each.joined(separator: " "))
    #expect(each[0] != each[1])
  }
}
