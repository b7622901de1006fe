// What an operator says about TLS, and what can be wrong with it.

/// PEM files. They are read again when they change, without a restart.
public struct TLSConfiguration: Sendable, Equatable {
  /// The certificate, followed by those that lead to its authority.
  public var certificateFile: String
  public var keyFile: String
  /// The authorities whose clients alone are let in; nil asks no client for a certificate.
  public var clientAuthorityFile: String?

  public init(certificateFile: String, keyFile: String, clientAuthorityFile: String? = nil) {
    self.certificateFile = certificateFile
    self.keyFile = keyFile
    self.clientAuthorityFile = clientAuthorityFile
  }
}

public enum TLSError: Error, Equatable, CustomStringConvertible {
  case certificate(file: String, reason: String)
  /// Expired, or not valid yet.
  case notInForce(file: String, reason: String)
  case key(file: String, reason: String)
  case clientAuthority(file: String, reason: String)
  /// Of servers that we call.
  case authority(file: String, reason: String)

  public var description: String {
    switch self {
    case .certificate(let file, let reason): "cannot use the certificate \(file): \(reason)"
    case .notInForce(let file, let reason): "the certificate \(file) \(reason)"
    case .key(let file, let reason): "cannot use the private key \(file): \(reason)"
    case .clientAuthority(let file, let reason):
      "cannot use the client authorities \(file): \(reason)"
    case .authority(let file, let reason): "cannot use the authorities \(file): \(reason)"
    }
  }
}
