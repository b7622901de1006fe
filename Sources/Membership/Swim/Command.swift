// What the operator, or the rest of the process, asks of the core.

public enum Command: Sendable {
  /// Tells three others, or all there are, within a second; then `.stop(.left)`.
  case leave
  case setMetadata(Metadata)
  /// All keys, the one to seal with first. A node in clear stays in clear, a sealed one sealed: else nothing happens.
  case setKeyring(Keyring)
  /// More endpoints to look for members at, for ever.
  case join([Endpoint])
}
