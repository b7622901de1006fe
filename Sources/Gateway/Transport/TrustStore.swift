// Whose signature makes another server's certificate good: the system's authorities, and one file more.
import COpenSSL

/// Owns an `X509_STORE`, immutable and counted by OpenSSL; read once, however many connections use it.
public final class TrustStore: @unchecked Sendable {
  private let store: OpaquePointer

  /// The system's authorities are looked up when they are needed (/etc/ssl/certs on Debian), so new ones need no
  /// restart; those of `file` (PEM) are read now.
  /// - Throws: what is wrong with the file.
  public init(adding file: String? = nil) throws(TLSError) {
    guard let store = X509_STORE_new() else { preconditionFailure("no memory for certificates") }
    self.store = store
    ERR_clear_error()
    // It fails only without memory; an empty directory means that nobody is trusted.
    precondition(X509_STORE_set_default_paths(store) == 1, "OpenSSL has no default paths")
    ERR_clear_error()
    // As libcurl does by itself: an authority in the middle of a chain may be the one that is trusted.
    X509_STORE_set_flags(store, UInt(X509_V_FLAG_PARTIAL_CHAIN))
    guard let file else { return }
    guard X509_STORE_load_locations(store, file, nil) == 1 else {
      throw .authority(file: file, reason: TLSContext.lastError())
    }
  }

  deinit { X509_STORE_free(store) }

  /// Makes an `SSL_CTX` of libcurl's check certificates against these.
  func install(in context: UnsafeMutableRawPointer) {
    SSL_CTX_set1_cert_store(OpaquePointer(context), store)
  }
}
