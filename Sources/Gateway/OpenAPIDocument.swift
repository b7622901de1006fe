// The contract in OpenAPI, as `GET /openapi.yaml` gives it.
import NIOCore

enum OpenAPIDocument {
  static let bytes = ByteBuffer(string: "")
}
