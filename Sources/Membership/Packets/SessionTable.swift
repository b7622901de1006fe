// The sessions of other processes: what was seen of each, and the key that opens its datagrams.
import Wire

/// Entered only by those who have the key. When it is full the ones that were silent longest go first, nearly (the
/// clock algorithm: Corbató, "A Paging Experiment with the Multics System", 1968); of those a replay could be taken
/// once more.
struct SessionTable: Sendable {
  static let sessionsMax = 4096

  struct Session: Sendable {
    let id: UInt64
    var opener: Opener?
    /// Over the counters of its datagrams.
    var datagrams = ReplayWindow()
    /// Over the numbers of the streams that it opened.
    var streams = ReplayWindow()
    /// It was heard again since the hand came by.
    var isInUse = false

    func opener(for key: MemberKey) -> AES256GCM.Opener? {
      opener?.key == key ? opener?.cipher : nil
    }
  }

  struct Opener: Sendable {
    let key: MemberKey
    let cipher: AES256GCM.Opener
  }

  private var sessions: [Session] = []
  private var places: [UInt64: Int] = [:]
  private var hand = 0

  var count: Int { sessions.count }

  func place(of id: UInt64) -> Int? { places[id] }

  subscript(place: Int) -> Session {
    _read { yield sessions[place] }
    _modify { yield &sessions[place] }
  }

  /// The place of a session that has none yet.
  mutating func enter(_ id: UInt64) -> Int {
    precondition(places[id] == nil, "session \(id) is entered twice")
    if sessions.count < Self.sessionsMax {
      places[id] = sessions.count
      sessions.append(Session(id: id))
      return sessions.count - 1
    }
    while sessions[hand].isInUse {
      sessions[hand].isInUse = false
      hand = (hand + 1) % sessions.count
    }
    let place = hand
    places[sessions[place].id] = nil
    places[id] = place
    sessions[place] = Session(id: id)
    hand = (hand + 1) % sessions.count
    return place
  }

  /// Keys have changed: each session's is derived again with its next packet. What was seen stays seen.
  mutating func forgetOpeners() {
    for place in sessions.indices { sessions[place].opener = nil }
  }
}
