// OpenSSL's context: certificate, key, protocols. Immutable once made; a reload makes another.
import COpenSSL

/// Owns an `SSL_CTX`, which OpenSSL lets any number of threads make sessions from.
final class TLSContext: @unchecked Sendable {
  let context: OpaquePointer

  /// - Throws: what is wrong with which file.
  init(_ configuration: TLSConfiguration) throws(TLSError) {
    guard let context = SSL_CTX_new(TLS_server_method()) else {
      preconditionFailure("OpenSSL makes no context: \(Self.lastError())")
    }
    self.context = context
    ERR_clear_error()
    _ = millrace_SSL_CTX_set_min_proto_version(context, TLS1_2_VERSION)
    SSL_CTX_set_options(
      context,
      UInt64(millrace_SSL_OP_NO_RENEGOTIATION()) | UInt64(millrace_SSL_OP_NO_COMPRESSION())
        | UInt64(millrace_SSL_OP_CIPHER_SERVER_PREFERENCE()))
    // An idle connection gives its record buffers (34 KiB) back.
    _ = millrace_SSL_CTX_set_mode(context, Int(SSL_MODE_RELEASE_BUFFERS))
    // Tickets resume sessions; a cache in memory would be one more thing to bound.
    _ = millrace_SSL_CTX_set_session_cache_mode(context, Int(SSL_SESS_CACHE_OFF))
    let name: StaticString = "millrace"
    SSL_CTX_set_session_id_context(context, name.utf8Start, UInt32(name.utf8CodeUnitCount))
    SSL_CTX_set_alpn_select_cb(context, Self.selectProtocol, nil)
    try load(configuration)
  }

  deinit { SSL_CTX_free(context) }

  private func load(_ configuration: TLSConfiguration) throws(TLSError) {
    guard SSL_CTX_use_certificate_chain_file(context, configuration.certificateFile) == 1 else {
      throw .certificate(file: configuration.certificateFile, reason: Self.lastError())
    }
    try checkDates(configuration)
    // Without this OpenSSL would ask the terminal for a passphrase, and wait.
    SSL_CTX_set_default_passwd_cb(context) { _, _, _, _ in -1 }
    guard SSL_CTX_use_PrivateKey_file(context, configuration.keyFile, SSL_FILETYPE_PEM) == 1,
      SSL_CTX_check_private_key(context) == 1
    else { throw .key(file: configuration.keyFile, reason: Self.lastError()) }
    guard let authorities = configuration.clientAuthorityFile else { return }
    guard SSL_CTX_load_verify_locations(context, authorities, nil) == 1,
      let names = SSL_load_client_CA_file(authorities)
    else { throw .clientAuthority(file: authorities, reason: Self.lastError()) }
    SSL_CTX_set_client_CA_list(context, names)
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nil)
  }

  /// No client would take a certificate out of its time: better said at start than found out by them.
  private func checkDates(_ configuration: TLSConfiguration) throws(TLSError) {
    guard let certificate = SSL_CTX_get0_certificate(context) else {
      preconditionFailure("a context has the certificate that it was given")
    }
    // Zero means that a date cannot be read, which OpenSSL has refused before.
    if X509_cmp_current_time(X509_get0_notAfter(certificate)) < 0 {
      throw .notInForce(
        file: configuration.certificateFile,
        reason: "expired on \(Self.day(X509_get0_notAfter(certificate)))")
    }
    if X509_cmp_current_time(X509_get0_notBefore(certificate)) > 0 {
      throw .notInForce(
        file: configuration.certificateFile,
        reason: "is not valid before \(Self.day(X509_get0_notBefore(certificate)))")
    }
  }

  private static func day(_ time: UnsafePointer<ASN1_TIME>?) -> String {
    var parts = tm()
    guard ASN1_TIME_to_tm(time, &parts) == 1 else { return "an unknown day" }
    func padded(_ number: Int32) -> String { number < 10 ? "0\(number)" : "\(number)" }
    return "\(parts.tm_year + 1900)-\(padded(parts.tm_mon + 1))-\(padded(parts.tm_mday))"
  }

  /// RFC 7301: h2 before http/1.1 before http/1.0; a client that offers none of them is refused.
  private static let selectProtocol:
    @convention(c) (
      OpaquePointer?, UnsafeMutablePointer<UnsafePointer<UInt8>?>?, UnsafeMutablePointer<UInt8>?,
      UnsafePointer<UInt8>?, UInt32, UnsafeMutableRawPointer?
    ) -> Int32 = { _, chosen, chosenBytes, offered, offeredBytes, _ in
      let ours: StaticString = "\u{02}h2\u{08}http/1.1\u{08}http/1.0"
      var selected: UnsafeMutablePointer<UInt8>?
      let result = SSL_select_next_proto(
        &selected, chosenBytes, ours.utf8Start, UInt32(ours.utf8CodeUnitCount), offered,
        offeredBytes)
      guard result == OPENSSL_NPN_NEGOTIATED else { return SSL_TLSEXT_ERR_ALERT_FATAL }
      chosen?.pointee = UnsafePointer(selected)
      return SSL_TLSEXT_ERR_OK
    }

  /// The oldest of OpenSSL's errors on this thread, in its words; the others are forgotten.
  static func lastError() -> String {
    let code = ERR_get_error()
    ERR_clear_error()
    if code == 0 { return "unknown error" }
    return withUnsafeTemporaryAllocation(of: CChar.self, capacity: 256) { text in
      ERR_error_string_n(code, text.baseAddress, text.count)
      return String(cString: text.baseAddress!)
    }
  }
}
