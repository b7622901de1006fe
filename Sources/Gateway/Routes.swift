// The table of routes: every operation of the contract, once.

enum Routes {
  static let all: [Route] = streams + records + operation

  static let streams: [Route] = []

  static let records: [Route] = []

  static let operation: [Route] = []
}
