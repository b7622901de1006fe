// Seals and opens one process's packets: who has the key is believed, each packet once.
import NIOCore
import Wire

/// With keys, a packet is sealed by AES-256-GCM: nobody else reads it, changes it, makes one, or sends one again. The
/// key is the session's own, derived from the shared one, so that a counter is nonce enough (RFC 5116 §3.2) however
/// many processes share it. Without keys, a checksum and the cluster's id keep accidents out, and nobody who means
/// harm.
/// - SeeAlso: docs/membership.md
public struct Envelope: Sendable {
  public static let labelBytesMax = 255
  static let tagBytes = AES256GCM.tagBytes

  public let label: String
  /// Drawn for this process alone, by a generator for secrets: two of one number under one key would give it away.
  public let session: UInt64
  public var keyring: Keyring? {
    didSet {
      guard keyring != oldValue else { return }
      sealer = nil
      sessions.forgetOpeners()
    }
  }

  private let clear: ClearEnvelope
  private let labelBytes: [UInt8]
  private var counter: UInt64 = 0
  private var sealer: AES256GCM.Sealer?
  private(set) var sessions = SessionTable()

  /// - Parameter keyring: nil to speak in clear.
  public init(keyring: Keyring?, label: String, session: UInt64) {
    labelBytes = Array(label.utf8)
    precondition(labelBytes.count <= Self.labelBytesMax, "a label of \(labelBytes.count) bytes")
    self.keyring = keyring
    self.label = label
    self.session = session
    clear = ClearEnvelope(label: labelBytes)
  }

  /// Bytes of the body, message and rumours, that fill a datagram to `Codec.datagramBytesMax`.
  public var datagramBodyBytesMax: Int {
    Codec.datagramBytesMax
      - (keyring == nil ? PacketHeader.clearBytes : SealedHeader.datagramBytes + Self.tagBytes)
  }

  /// The same for a frame.
  public var frameBodyBytesMax: Int {
    Codec.frameBytesMax
      - (keyring == nil ? PacketHeader.clearBytes : SealedHeader.frameBytes + Self.tagBytes)
  }

  // MARK: - Datagrams

  public mutating func seal(_ body: ByteBuffer) -> ByteBuffer {
    guard let keyring else { return clear.seal(body, flags: []) }
    let sealer =
      self.sealer
      ?? AES256GCM.Sealer(key: Subkey.datagrams(of: keyring.primary, session: session))
    self.sealer = sealer
    let header = SealedHeader(
      flags: .sealed, key: keyring.primary.id, session: session, number: 0, counter: counter)
    counter += 1
    return sealer.seal(body, header, binding: labelBytes)
  }

  /// The body, once. When it throws, nothing has changed.
  public mutating func open(_ bytes: ByteBufferView) throws(OpenError) -> ByteBufferView {
    guard bytes.count <= Codec.datagramBytesMax else {
      throw .tooLong(bytes: bytes.count, bytesMax: Codec.datagramBytesMax)
    }
    guard let keyring else { return try clear.open(bytes, flags: []) }
    let header = try SealedHeader(bytes, expecting: .sealed)
    guard let key = keyring[header.key] else { throw .unknownKey(header.key) }
    guard header.session != session else { throw .own }
    let known = sessions.place(of: header.session)
    if let known, !sessions[known].datagrams.accepts(header.counter) {
      throw .replayed(session: header.session, counter: header.counter)
    }
    let kept = known.flatMap { sessions[$0].opener(for: key) }
    let cipher =
      kept ?? AES256GCM.Opener(key: Subkey.datagrams(of: key, session: header.session))
    guard let body = cipher.open(bytes, header, binding: labelBytes) else {
      throw .forged(header.key)
    }
    let place = known ?? sessions.enter(header.session)
    if kept == nil {
      sessions[place].opener = SessionTable.Opener(key: key, cipher: cipher)
    }
    sessions[place].isInUse = known != nil
    sessions[place].datagrams.mark(header.counter)
    return body
  }

  // MARK: - Streams

  /// The next frame of a stream. The side that accepted it opens a frame before it seals one.
  public mutating func seal(_ body: ByteBuffer, on stream: inout StreamEnvelope) -> ByteBuffer {
    let flags = stream.flags(isOutgoing: true)
    guard let keyring else { return clear.seal(body, flags: flags) }
    let key = keyring.primary
    let cipher: AES256GCM.Sealer
    if let sealer = stream.sealer, sealer.key == key {
      cipher = sealer.cipher
    } else {
      cipher = AES256GCM.Sealer(
        key: Subkey.frames(of: key, session: session, number: stream.number))
      stream.sealer = StreamEnvelope.Sealer(key: key, cipher: cipher)
    }
    let header = SealedHeader(
      flags: flags.union(.sealed), key: key.id, session: session, number: stream.number,
      counter: stream.sent)
    stream.sent += 1
    return cipher.seal(body, header, binding: binding(of: stream, isOutgoing: true))
  }

  /// The body of the next frame of a stream. When it throws, nothing has changed, and the stream is to be closed: its
  /// next frame will not come.
  public mutating func open(
    _ bytes: ByteBufferView, on stream: inout StreamEnvelope
  ) throws(OpenError) -> ByteBufferView {
    guard bytes.count <= Codec.frameBytesMax else {
      throw .tooLong(bytes: bytes.count, bytesMax: Codec.frameBytesMax)
    }
    let flags = stream.flags(isOutgoing: false)
    guard let keyring else { return try clear.open(bytes, flags: flags) }
    let header = try SealedHeader(bytes, expecting: flags.union(.sealed))
    guard let key = keyring[header.key] else { throw .unknownKey(header.key) }
    guard header.session != session else { throw .own }
    let known = sessions.place(of: header.session)
    if let peer = stream.peer {
      guard peer == StreamEnvelope.Peer(session: header.session, number: header.number) else {
        throw .otherSession(header.session)
      }
    } else if !stream.isOpener, let known, !sessions[known].streams.accepts(header.number) {
      throw .replayed(session: header.session, counter: header.number)
    }
    guard header.counter == stream.received else {
      throw .outOfOrder(counter: header.counter, expected: stream.received)
    }
    let cipher: AES256GCM.Opener
    if let opener = stream.opener, opener.key == key {
      cipher = opener.cipher
    } else {
      cipher = AES256GCM.Opener(
        key: Subkey.frames(of: key, session: header.session, number: header.number))
    }
    let binding = binding(of: stream, isOutgoing: false)
    guard let body = cipher.open(bytes, header, binding: binding) else { throw .forged(header.key) }
    if stream.peer == nil, !stream.isOpener {
      let place = known ?? sessions.enter(header.session)
      sessions[place].isInUse = known != nil
      sessions[place].streams.mark(header.number)
    }
    stream.note(header, SessionTable.Opener(key: key, cipher: cipher))
    return body
  }

  /// What a frame is authenticated with beside its header: the label, and for frames of the side that accepted the
  /// stream also which stream it accepted, so that an answer to one is no answer to another.
  private func binding(of stream: StreamEnvelope, isOutgoing: Bool) -> [UInt8] {
    if stream.isOpener == isOutgoing { return labelBytes }
    let opened: StreamEnvelope.Peer
    if stream.isOpener {
      opened = StreamEnvelope.Peer(session: session, number: stream.number)
    } else {
      guard let peer = stream.peer else {
        preconditionFailure("a stream that was accepted is answered before anything was asked")
      }
      opened = peer
    }
    return bigEndian(opened.session) + bigEndian(opened.number) + labelBytes
  }
}

/// The keys of sessions. Purposes and salts keep them apart (RFC 5869 §3.1, §3.2).
private enum Subkey {
  static func datagrams(of key: MemberKey, session: UInt64) -> [UInt8] {
    KeyDerivation.hkdfSHA256(
      secret: key.bytes, salt: bigEndian(session), info: Array("millrace member 1".utf8),
      count: AES256GCM.keyBytes)
  }

  static func frames(of key: MemberKey, session: UInt64, number: UInt64) -> [UInt8] {
    KeyDerivation.hkdfSHA256(
      secret: key.bytes, salt: bigEndian(session) + bigEndian(number),
      info: Array("millrace member stream 1".utf8), count: AES256GCM.keyBytes)
  }
}

private func bigEndian(_ value: UInt64) -> [UInt8] {
  withUnsafeBytes(of: value.bigEndian) { Array($0) }
}

extension AES256GCM.Sealer {
  fileprivate func seal(
    _ body: ByteBuffer, _ header: SealedHeader, binding: [UInt8]
  ) -> ByteBuffer {
    let headerBytes = SealedHeader.byteCount(header.flags)
    let tagStart = headerBytes + body.readableBytes
    var packet = ByteBuffer()
    packet.reserveCapacity(tagStart + AES256GCM.tagBytes)
    header.write(into: &packet)
    packet.writeImmutableBuffer(body)
    packet.writeRepeatingByte(0, count: AES256GCM.tagBytes)
    packet.withUnsafeMutableReadableBytes { packet in
      binding.withUnsafeBytes { binding in
        seal(
          AES256GCM.Nonce(high: 0, counter: header.counter),
          head: UnsafeRawBufferPointer(rebasing: packet[..<headerBytes]), rest: binding,
          text: UnsafeMutableRawBufferPointer(rebasing: packet[headerBytes..<tagStart]),
          tag: UnsafeMutableRawBufferPointer(rebasing: packet[tagStart...]))
      }
    }
    return packet
  }
}

extension AES256GCM.Opener {
  fileprivate func open(
    _ bytes: ByteBufferView, _ header: SealedHeader, binding: [UInt8]
  ) -> ByteBufferView? {
    let headerBytes = SealedHeader.byteCount(header.flags)
    let textBytes = bytes.count - headerBytes - AES256GCM.tagBytes
    let textStart = bytes.startIndex + headerBytes
    var body = ByteBuffer(bytes[textStart..<textStart + textBytes])
    let isGenuine = bytes.withUnsafeBytes { bytes in
      body.withUnsafeMutableReadableBytes { body in
        binding.withUnsafeBytes { binding in
          open(
            AES256GCM.Nonce(high: 0, counter: header.counter),
            head: UnsafeRawBufferPointer(rebasing: bytes[..<headerBytes]), rest: binding,
            text: body,
            tag: UnsafeRawBufferPointer(rebasing: bytes[(headerBytes + textBytes)...]))
        }
      }
    }
    return isGenuine ? body.readableBytesView : nil
  }
}
