// One end of one stream, as the envelope needs to know it: what was sent and taken so far.
import Wire

/// Each direction of a stream is a session of its own, named by the process that writes it and the number that it gives
/// the stream; its frames are counted from 0 without gaps. So nobody drops, repeats or reorders one unseen, and a whole
/// stream that is played again is refused by whoever has heard it.
public struct StreamEnvelope: Sendable {
  /// Given once by this process, to streams that it opens and those that it accepts alike.
  public let number: UInt64
  public let isOpener: Bool

  var sealer: Sealer?
  private(set) var opener: SessionTable.Opener?
  /// The other direction, once a frame has come.
  private(set) var peer: Peer?
  var sent: UInt64 = 0
  private(set) var received: UInt64 = 0

  public init(number: UInt64, isOpener: Bool) {
    self.number = number
    self.isOpener = isOpener
  }

  struct Sealer: Sendable {
    let key: MemberKey
    let cipher: AES256GCM.Sealer
  }

  struct Peer: Equatable, Sendable {
    let session: UInt64
    let number: UInt64
  }

  func flags(isOutgoing: Bool) -> PacketFlags {
    isOutgoing == isOpener ? .stream : [.stream, .accepted]
  }

  /// A frame was taken.
  mutating func note(_ header: SealedHeader, _ opener: SessionTable.Opener) {
    peer = Peer(session: header.session, number: header.number)
    received = header.counter + 1
    self.opener = opener
  }
}
