// From a method and a raw path to a route: segments in a tree, and an action after a colon.

/// One operation: `openapi.yaml` has the same, by method, template and id.
struct Route: Sendable {
  typealias Handler = @Sendable (Request) throws(Problem) -> Void
  let method: String
  /// `/v1/streams/{stream}:trim`: a segment is literal or one parameter, the last may end in a verb.
  let template: String
  let operation: String
  let handler: Handler

  init(_ method: String, _ template: String, _ operation: String, _ handler: @escaping Handler) {
    self.method = method
    self.template = template
    self.operation = operation
    self.handler = handler
  }
}

/// What a path stands for.
struct RouteMatch {
  enum Outcome: Equatable {
    case route(Int)
    /// OPTIONS on a known path: its methods.
    case preflight(allow: String)
    /// Another method than the path takes: its methods.
    case method(allow: String)
    case none
  }
  var outcome: Outcome
  /// Parameters in the template's order: ranges of the path's bytes, not yet decoded. No template has more than two.
  var first: Range<Int>?
  var second: Range<Int>?
}

/// The routes as a tree of segments. Matching allocates nothing.
struct Router: Sendable {
  let routes: [Route]
  private var nodes: [Node] = [Node()]

  private struct Node: Sendable {
    var literals: [(text: [UInt8], node: Int)] = []
    var parameter: Int?
    /// Actions after a colon, on a parameter's node.
    var verbs: [(text: [UInt8], node: Int)] = []
    var methods: [(name: String, route: Int)] = []
    /// For `Allow`: "GET, HEAD, PUT, OPTIONS".
    var allow = ""
  }

  init(_ routes: [Route]) {
    self.routes = routes
    for (index, route) in routes.enumerated() { add(route, index) }
    for index in nodes.indices where !nodes[index].methods.isEmpty {
      var names: [String] = []
      for (name, _) in nodes[index].methods {
        names.append(name)
        if name == "GET" { names.append("HEAD") }
      }
      nodes[index].allow = (names + ["OPTIONS"]).joined(separator: ", ")
    }
  }

  private mutating func add(_ route: Route, _ index: Int) {
    var node = 0
    // "/" itself is one empty segment.
    let segments = route.template.split(separator: "/", omittingEmptySubsequences: false)
    for segment in segments.dropFirst() {
      guard segment.first == "{" else {
        node = child(of: node, Array(segment.utf8), \.literals)
        continue
      }
      if nodes[node].parameter == nil {
        nodes.append(Node())
        nodes[node].parameter = nodes.count - 1
      }
      node = nodes[node].parameter!
      if let colon = segment.firstIndex(of: ":") {
        node = child(of: node, Array(segment[segment.index(after: colon)...].utf8), \.verbs)
      }
    }
    precondition(
      !nodes[node].methods.contains { $0.name == route.method },
      "two routes for \(route.method) \(route.template)")
    nodes[node].methods.append((route.method, index))
  }

  private mutating func child(
    of node: Int, _ text: [UInt8], _ list: WritableKeyPath<Node, [(text: [UInt8], node: Int)]>
  ) -> Int {
    if let known = nodes[node][keyPath: list].first(where: { $0.text == text }) {
      return known.node
    }
    nodes.append(Node())
    nodes[node][keyPath: list].append((text, nodes.count - 1))
    return nodes.count - 1
  }

  func match(method: String, path: String) -> RouteMatch {
    var path = path
    return path.withUTF8 { match(method, $0) }
  }

  private func match(_ method: String, _ path: UnsafeBufferPointer<UInt8>) -> RouteMatch {
    var match = RouteMatch(outcome: .none)
    guard path.first == UInt8(ascii: "/") else {
      // `OPTIONS *` asks about the server as a whole (RFC 9110 §9.3.7).
      if method == "OPTIONS", path.count == 1, path[0] == UInt8(ascii: "*") {
        match.outcome = .preflight(allow: "GET, HEAD, OPTIONS")
      }
      return match
    }
    var node = 0
    var position = 1
    var hasForeignVerb = false
    while position <= path.count {
      var end = position
      while end < path.count, path[end] != UInt8(ascii: "/") { end += 1 }
      let segment = UnsafeBufferPointer(rebasing: path[position..<end])
      if let literal = nodes[node].literals.first(where: { $0.text.elementsEqual(segment) }) {
        node = literal.node
      } else if let parameter = nodes[node].parameter, !segment.isEmpty {
        node = parameter
        var range = position..<end
        if end == path.count, let colon = segment.lastIndex(of: UInt8(ascii: ":")) {
          let verb = segment[(colon + 1)...]
          if let action = nodes[node].verbs.first(where: { $0.text.elementsEqual(verb) }) {
            node = action.node
            range = position..<(position + colon)
          } else {
            hasForeignVerb = true
          }
        }
        if match.first == nil { match.first = range } else { match.second = range }
      } else {
        return match
      }
      position = end + 1
    }
    match.outcome = outcome(method, nodes[node], hasForeignVerb: hasForeignVerb)
    return match
  }

  /// The route that was matched; nil for OPTIONS, which every path answers alike.
  /// - Throws: `not_found`, `method_not_allowed`.
  func route(of match: RouteMatch, _ head: RequestHead) throws(Problem) -> Route? {
    switch match.outcome {
    case .route(let index): return routes[index]
    case .preflight: return nil
    case .method(let allow):
      var problem = Problem(
        .methodNotAllowed, "\(head.method) is not taken here; these are: \(allow).")
      problem.headers = [("allow", allow)]
      throw problem
    case .none:
      throw Problem(.notFound, "There is no route for this path; GET /openapi.yaml lists them.")
    }
  }

  private func outcome(
    _ method: String, _ node: Node, hasForeignVerb: Bool
  ) -> RouteMatch.Outcome {
    if node.methods.isEmpty { return .none }
    let sought = method == "HEAD" ? "GET" : method
    if let known = node.methods.first(where: { $0.name == sought }) { return .route(known.route) }
    if method == "OPTIONS" { return .preflight(allow: node.allow) }
    // POST /v1/streams/orders:nope is an action that does not exist, not a wrong method on a stream.
    return hasForeignVerb && method == "POST" ? .none : .method(allow: node.allow)
  }
}
