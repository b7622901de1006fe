// One connection's TLS: ciphertext in, plaintext out, and the other way round. Knows no socket.
import COpenSSL
import NIOCore

/// Owns an `SSL` whose BIO reads from `incoming` and writes to `outgoing`, so that no byte is copied more than needed.
final class TLSSession {
  enum State {
    case handshaking
    case established
    /// The peer will send no more.
    case ended
    case failed
  }

  private let ssl: OpaquePointer
  /// Keeps the context alive whatever is reloaded meanwhile.
  private let context: TLSContext
  private(set) var state = State.handshaking
  fileprivate var incoming = ByteBuffer()
  /// Ciphertext for the peer.
  fileprivate(set) var outgoing = ByteBuffer()

  init(_ context: TLSContext, bio method: TLSBIOMethod) {
    self.context = context
    guard let ssl = SSL_new(context.context), let bio = BIO_new(method.method) else {
      preconditionFailure("no memory for TLS")
    }
    self.ssl = ssl
    BIO_set_data(bio, Unmanaged.passUnretained(self).toOpaque())
    BIO_set_init(bio, 1)
    // Both directions hold the one reference.
    SSL_set_bio(ssl, bio, bio)
    SSL_set_accept_state(ssl)
  }

  deinit { SSL_free(ssl) }

  /// Takes what the peer sent, and returns what it meant. `outgoing` may hold something afterwards.
  func receive(_ bytes: ByteBuffer) -> ByteBuffer {
    var plaintext = ByteBuffer()
    if incoming.readableBytes == 0 {
      incoming = bytes
    } else {
      incoming.writeImmutableBuffer(bytes)
    }
    if state == .handshaking { handshake() }
    if state == .established { read(into: &plaintext) }
    if incoming.readableBytes == 0 { incoming = ByteBuffer() }
    return plaintext
  }

  private func handshake() {
    ERR_clear_error()
    let result = SSL_do_handshake(ssl)
    if result == 1 {
      state = .established
    } else if SSL_get_error(ssl, result) != SSL_ERROR_WANT_READ {
      state = .failed
    }
  }

  private func read(into plaintext: inout ByteBuffer) {
    // Plaintext is shorter than its ciphertext; a record that came in pieces may be longer than the last of them.
    var room = max(incoming.readableBytes, 512)
    while true {
      var result: Int32 = 0
      ERR_clear_error()
      plaintext.writeWithUnsafeMutableBytes(minimumWritableBytes: room) { memory in
        result = SSL_read(ssl, memory.baseAddress, Int32(clamping: memory.count))
        return max(0, Int(result))
      }
      if result > 0 {
        room = max(incoming.readableBytes, 512)
        continue
      }
      switch SSL_get_error(ssl, result) {
      case SSL_ERROR_WANT_READ: return
      case SSL_ERROR_ZERO_RETURN: state = .ended
      default: state = .failed
      }
      return
    }
  }

  /// Encrypts `plaintext` behind `outgoing`.
  func send(_ plaintext: ByteBuffer) {
    guard state == .established || state == .ended, plaintext.readableBytes > 0 else { return }
    let isSent = plaintext.withUnsafeReadableBytes { bytes in
      ERR_clear_error()
      outgoing.reserveCapacity(minimumWritableBytes: bytes.count + bytes.count / 256 + 64)
      return SSL_write(ssl, bytes.baseAddress, Int32(bytes.count)) == Int32(bytes.count)
    }
    if !isSent { state = .failed }
  }

  /// Says goodbye; nothing may be sent after it.
  func end() {
    guard state == .established || state == .ended else { return }
    ERR_clear_error()
    _ = SSL_shutdown(ssl)
  }

  func takeOutgoing() -> ByteBuffer? {
    if outgoing.readableBytes == 0 { return nil }
    let taken = outgoing
    outgoing = ByteBuffer()
    return taken
  }

  /// What ALPN chose: h2, or anything else.
  var isHTTP2: Bool {
    var name: UnsafePointer<UInt8>?
    var count: UInt32 = 0
    SSL_get0_alpn_selected(ssl, &name, &count)
    return count == 2 && name?[0] == UInt8(ascii: "h") && name?[1] == UInt8(ascii: "2")
  }

  /// Whether ALPN took place.
  var hasChosenProtocol: Bool {
    var name: UnsafePointer<UInt8>?
    var count: UInt32 = 0
    SSL_get0_alpn_selected(ssl, &name, &count)
    return count > 0
  }
}

/// The BIO that connects OpenSSL to a session's two buffers. Owns a `BIO_METHOD`; immutable once made.
final class TLSBIOMethod: @unchecked Sendable {
  let method: OpaquePointer
  /// `BIO_clear_retry_flags`.
  private static let retryFlags =
    BIO_FLAGS_READ | BIO_FLAGS_WRITE | BIO_FLAGS_IO_SPECIAL | BIO_FLAGS_SHOULD_RETRY

  init() {
    guard let method = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "millrace") else {
      preconditionFailure("no memory for TLS")
    }
    self.method = method
    BIO_meth_set_read(method) { bio, target, count in
      guard let bio, let target, count > 0 else { return 0 }
      let session = TLSBIOMethod.session(bio)
      BIO_clear_flags(bio, TLSBIOMethod.retryFlags)
      let taken = min(Int(count), session.incoming.readableBytes)
      if taken == 0 {
        BIO_set_flags(bio, BIO_FLAGS_READ | BIO_FLAGS_SHOULD_RETRY)
        return -1
      }
      session.incoming.readWithUnsafeReadableBytes { bytes in
        UnsafeMutableRawPointer(target).copyMemory(from: bytes.baseAddress!, byteCount: taken)
        return taken
      }
      return Int32(taken)
    }
    BIO_meth_set_write(method) { bio, source, count in
      guard let bio, let source, count > 0 else { return 0 }
      BIO_clear_flags(bio, TLSBIOMethod.retryFlags)
      TLSBIOMethod.session(bio).outgoing.writeBytes(
        UnsafeRawBufferPointer(start: source, count: Int(count)))
      return count
    }
    BIO_meth_set_ctrl(method) { _, command, _, _ in command == BIO_CTRL_FLUSH ? 1 : 0 }
  }

  deinit { BIO_meth_free(method) }

  private static func session(_ bio: OpaquePointer) -> TLSSession {
    Unmanaged<TLSSession>.fromOpaque(BIO_get_data(bio)!).takeUnretainedValue()
  }
}
