// JSON as a tree, for the control plane: requests about streams, problem documents, catalog entries.

/// A JSON value. Objects keep the order of their members.
public indirect enum JSONValue: Equatable, Sendable {
  case null
  case bool(Bool)
  case integer(Int64)
  /// Finite: JSON has no word for the others.
  case real(Double)
  case string(String)
  case array([JSONValue])
  case object(JSONObject)

  /// An object of these members, in this order.
  public static func members(_ members: KeyValuePairs<String, JSONValue>) -> JSONValue {
    .object(JSONObject(members.map { ($0.key, $0.value) }))
  }

  public var isNull: Bool { self == .null }
  public var asBool: Bool? { if case .bool(let value) = self { value } else { nil } }
  public var asInteger: Int64? { if case .integer(let value) = self { value } else { nil } }
  /// An integer counts too.
  public var asReal: Double? {
    switch self {
    case .real(let value): value
    case .integer(let value): Double(value)
    default: nil
    }
  }
  public var asString: String? { if case .string(let value) = self { value } else { nil } }
  public var asArray: [JSONValue]? { if case .array(let value) = self { value } else { nil } }
  public var asObject: JSONObject? { if case .object(let value) = self { value } else { nil } }

  /// The member of this name; nil if there is none or this is not an object.
  public subscript(name: String) -> JSONValue? { asObject?[name] }

  /// The element at `index`; nil if there is none or this is not an array.
  public subscript(index: Int) -> JSONValue? {
    guard case .array(let elements) = self, elements.indices.contains(index) else { return nil }
    return elements[index]
  }

  /// What kind of value this is, in the words of JSON.
  public var kind: String {
    switch self {
    case .null: "null"
    case .bool: "boolean"
    case .integer, .real: "number"
    case .string: "string"
    case .array: "array"
    case .object: "object"
    }
  }
}

/// The members of an object, in order; no name twice.
public struct JSONObject: Sendable, Sequence, ExpressibleByDictionaryLiteral {
  public private(set) var members: [(name: String, value: JSONValue)] = []

  public init() {}

  /// Traps if a name comes twice.
  public init(_ members: [(String, JSONValue)]) {
    self.members.reserveCapacity(members.count)
    for (name, value) in members { append(name, value) }
  }

  public init(dictionaryLiteral elements: (String, JSONValue)...) { self.init(elements) }

  public var count: Int { members.count }
  public var isEmpty: Bool { members.isEmpty }
  public var names: [String] { members.map(\.name) }

  /// Reading gives nil for a name that is not there. Writing replaces in place, appends a new name, and removes with
  /// nil; `.null` is a value like any other.
  public subscript(name: String) -> JSONValue? {
    get { members.first { $0.name == name }?.value }
    set {
      let place = members.firstIndex { $0.name == name }
      switch (place, newValue) {
      case (let place?, let value?): members[place].value = value
      case (let place?, nil): members.remove(at: place)
      case (nil, let value?): members.append((name, value))
      case (nil, nil): break
      }
    }
  }

  public func makeIterator() -> some IteratorProtocol<(name: String, value: JSONValue)> {
    members.makeIterator()
  }

  /// For a reader that knows the name to be new; comparing with all others would make long objects quadratic.
  init(unique members: [(name: String, value: JSONValue)]) { self.members = members }

  private mutating func append(_ name: String, _ value: JSONValue) {
    precondition(self[name] == nil, "the name \(name) comes twice")
    members.append((name, value))
  }
}

/// The order of members does not count.
extension JSONObject: Equatable {
  public static func == (left: JSONObject, right: JSONObject) -> Bool {
    guard left.count == right.count else { return false }
    if zip(left.members, right.members).allSatisfy({ $0.name == $1.name && $0.value == $1.value }) {
      return true
    }
    let others = Dictionary(
      right.members.map { ($0.name, $0.value) }, uniquingKeysWith: { first, _ in first })
    return left.members.allSatisfy { others[$0.name] == $0.value }
  }
}

extension JSONValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral,
  ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral, ExpressibleByStringInterpolation,
  ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
  public init(nilLiteral: ()) { self = .null }
  public init(booleanLiteral value: Bool) { self = .bool(value) }
  public init(integerLiteral value: Int64) { self = .integer(value) }
  public init(floatLiteral value: Double) { self = .real(value) }
  public init(stringLiteral value: String) { self = .string(value) }
  public init(arrayLiteral elements: JSONValue...) { self = .array(elements) }
  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    self = .object(JSONObject(elements))
  }
}
