// What a node says of itself anew: its metadata, its keys; each time with an incarnation of its own.

extension Swim {
  mutating func renew(_ change: (inout Profile) -> Void) {
    guard departure == nil else { return }
    var profile = own.profile
    change(&profile)
    guard profile != own.profile else { return }
    let generation = claim.generation
    setOwn {
      $0.profile = profile
      if $0.claim.incarnation < .max {
        $0.claim.incarnation += 1
      } else if $0.claim.generation < Codec.generationMax {
        $0.claim.generation += 1
        $0.claim.incarnation = 0
      }
    }
    if claim.generation != generation { persist() }
  }

  mutating func rotate(to keyring: Keyring) {
    guard isSealed else { return }
    envelope.keyring = keyring
    renew { $0.keys = keyring.ids }
    persist()
  }
}
