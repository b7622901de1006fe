// AES-256-GCM (NIST SP 800-38D), by OpenSSL: sealed bytes are read and changed by nobody without the key.
import COpenSSL
import Synchronization

public enum AES256GCM {
  public static let keyBytes = 32
  public static let nonceBytes = 12
  public static let tagBytes = 16

  /// 96 bits, as the standard recommends (§5.2.1.1). Two messages under one key never share one: that would give away
  /// both, and the means to forge more (§8).
  public struct Nonce: Sendable {
    let bytes: (UInt32, UInt32, UInt32)

    public init(high: UInt32, counter: UInt64) {
      bytes = (
        high.bigEndian, UInt32(truncatingIfNeeded: counter >> 32).bigEndian,
        UInt32(truncatingIfNeeded: counter).bigEndian
      )
    }
  }

  /// Seals under one key. The key is expanded once: a packet pays for its own bytes.
  public final class Sealer: Sendable {
    private let context: Mutex<Context>

    public init(key: [UInt8]) { context = Mutex(Context(key: key, isSealing: true)) }

    /// Encrypts `text` where it lies and writes its tag. `head` and `rest`, one after the other, are authenticated
    /// with it and not encrypted.
    public func seal(
      _ nonce: Nonce, head: UnsafeRawBufferPointer, rest: UnsafeRawBufferPointer,
      text: UnsafeMutableRawBufferPointer, tag: UnsafeMutableRawBufferPointer
    ) {
      precondition(tag.count == AES256GCM.tagBytes, "a tag has \(AES256GCM.tagBytes) bytes")
      context.withLock {
        $0.begin(nonce)
        $0.update(head: head, rest: rest, text: text)
        precondition($0.finish(), "sealing cannot fail")
        $0.takeTag(into: tag)
      }
    }
  }

  /// Opens what was sealed under one key.
  public final class Opener: Sendable {
    private let context: Mutex<Context>

    public init(key: [UInt8]) { context = Mutex(Context(key: key, isSealing: false)) }

    /// Decrypts `text` where it lies. False if anything is not as it was sealed: then `text` holds zeros, so that
    /// nobody takes it for what was sent.
    public func open(
      _ nonce: Nonce, head: UnsafeRawBufferPointer, rest: UnsafeRawBufferPointer,
      text: UnsafeMutableRawBufferPointer, tag: UnsafeRawBufferPointer
    ) -> Bool {
      guard tag.count == AES256GCM.tagBytes else { return false }
      return context.withLock {
        $0.begin(nonce)
        $0.update(head: head, rest: rest, text: text)
        $0.expectTag(tag)
        if $0.finish() { return true }
        _ = text.initializeMemory(as: UInt8.self, repeating: 0)
        return false
      }
    }
  }

  /// Owns an `EVP_CIPHER_CTX` that has taken its key. Whoever has it may use it from any thread, one at a time.
  private struct Context: ~Copyable, @unchecked Sendable {
    private let pointer: OpaquePointer
    private let isSealing: CInt

    init(key: [UInt8], isSealing: Bool) {
      precondition(key.count == keyBytes, "a key of \(key.count) bytes; AES-256 takes \(keyBytes)")
      guard let pointer = EVP_CIPHER_CTX_new() else { preconditionFailure("no memory for AES") }
      self.pointer = pointer
      self.isSealing = isSealing ? 1 : 0
      let result = EVP_CipherInit_ex2(pointer, algorithm, key, nil, self.isSealing, nil)
      precondition(result == 1, "AES-256 takes any key")
    }

    deinit { EVP_CIPHER_CTX_free(pointer) }

    /// A new message under the same key: the expanded key stays.
    func begin(_ nonce: Nonce) {
      let result = withUnsafeBytes(of: nonce.bytes) {
        EVP_CipherInit_ex2(
          pointer, nil, nil, $0.baseAddress?.assumingMemoryBound(to: UInt8.self), isSealing, nil)
      }
      precondition(result == 1, "AES-GCM takes any nonce")
    }

    func update(
      head: UnsafeRawBufferPointer, rest: UnsafeRawBufferPointer,
      text: UnsafeMutableRawBufferPointer
    ) {
      for part in [head, rest] where !part.isEmpty { update(part, into: nil) }
      if !text.isEmpty { update(UnsafeRawBufferPointer(text), into: text.baseAddress) }
    }

    private func update(_ bytes: UnsafeRawBufferPointer, into target: UnsafeMutableRawPointer?) {
      var written: CInt = 0
      let result = EVP_CipherUpdate(
        pointer, target?.assumingMemoryBound(to: UInt8.self), &written,
        bytes.baseAddress?.assumingMemoryBound(to: UInt8.self), CInt(bytes.count))
      precondition(result == 1 && written == bytes.count, "AES-GCM failed")
    }

    /// False if it opens and the tag is another.
    func finish() -> Bool {
      // GCM is a stream cipher: nothing is left to write, but the call wants a place.
      withUnsafeTemporaryAllocation(of: UInt8.self, capacity: tagBytes) { none in
        var written: CInt = 0
        return EVP_CipherFinal_ex(pointer, none.baseAddress, &written) == 1
      }
    }

    func takeTag(into target: UnsafeMutableRawBufferPointer) {
      let result = EVP_CIPHER_CTX_ctrl(
        pointer, EVP_CTRL_AEAD_GET_TAG, CInt(target.count), target.baseAddress)
      precondition(result == 1, "AES-GCM has a tag after its end")
    }

    func expectTag(_ tag: UnsafeRawBufferPointer) {
      let result = EVP_CIPHER_CTX_ctrl(
        pointer, EVP_CTRL_AEAD_SET_TAG, CInt(tag.count),
        UnsafeMutableRawPointer(mutating: tag.baseAddress))  // copied by the call
      precondition(result == 1, "AES-GCM takes any tag of 16 bytes")
    }
  }

  /// Fetched once: a lookup by name costs more than sealing a packet.
  private nonisolated(unsafe) static let algorithm: OpaquePointer = {
    guard let algorithm = EVP_CIPHER_fetch(nil, "AES-256-GCM", nil) else {
      preconditionFailure("OpenSSL has no AES-256-GCM")
    }
    return algorithm
  }()
}
