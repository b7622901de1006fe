// Paths and queries: which route a path means, its parameters, and what is refused.
import Engine
import Testing

@testable import Gateway

private let nothing: Route.Handler = { _ throws(Problem) in }
private let router = Router([
  Route("GET", "/", "home", nothing),
  Route("GET", "/v1/things", "list", nothing),
  Route("PUT", "/v1/things/{thing}", "put", nothing),
  Route("GET", "/v1/things/{thing}", "get", nothing),
  Route("POST", "/v1/things/{thing}:act", "act", nothing),
  Route("POST", "/v1/things/{thing}/parts/{part}:act", "actOnPart", nothing),
  Route("GET", "/v1/things/{thing}/parts/{part}/more", "more", nothing),
])

private func found(_ method: String, _ path: String) -> String {
  switch router.match(method: method, path: path).outcome {
  case .route(let index): router.routes[index].operation
  case .preflight(let allow): "options \(allow)"
  case .method(let allow): "405 \(allow)"
  case .none: "404"
  }
}

struct RouterTests {
  @Test(arguments: [
    ("GET", "/", "home"),
    ("GET", "/v1/things", "list"),
    ("HEAD", "/v1/things", "list"),
    ("PUT", "/v1/things/a", "put"),
    ("GET", "/v1/things/a%2Fb", "get"),
    ("POST", "/v1/things/a:act", "act"),
    ("POST", "/v1/things/a:b:act", "act"),
    ("POST", "/v1/things/a/parts/0:act", "actOnPart"),
    ("GET", "/v1/things/a/parts/0/more", "more"),
    // A colon without a known action is part of the name, which the name rule refuses.
    ("PUT", "/v1/things/a:b", "put"),
    ("GET", "/v1/things/a:b/parts/0/more", "more"),
  ])
  func `a path finds its route`(method: String, path: String, operation: String) {
    #expect(found(method, path) == operation)
  }

  @Test(arguments: [
    "", "//", "/v1", "/v1/", "/v1/thing", "/v1//things", "//v1/things", "/v1/things/", "/v2/things",
    "/v1/things/a/", "/v1/things/a/parts", "/v1/things/a/parts/0", "/v1/things/a/parts/0/more/",
    "/v1/things/../things", "*", "v1/things", "/V1/things",
  ])
  func `other paths find nothing`(path: String) {
    #expect(found("GET", path) == "404")
  }

  @Test func `an unknown action is not found rather than a wrong method`() {
    #expect(found("POST", "/v1/things/a:nope") == "404")
    #expect(found("POST", "/v1/things/a") == "405 PUT, GET, HEAD, OPTIONS")
  }

  @Test func `another method is told which ones there are`() {
    #expect(found("DELETE", "/v1/things/a") == "405 PUT, GET, HEAD, OPTIONS")
    #expect(found("GET", "/v1/things/a:act") == "405 POST, OPTIONS")
    #expect(found("get", "/v1/things") == "405 GET, HEAD, OPTIONS")
  }

  @Test func `OPTIONS is answered on every known path and on none other`() {
    #expect(found("OPTIONS", "/v1/things/a") == "options PUT, GET, HEAD, OPTIONS")
    #expect(found("OPTIONS", "*") == "options GET, HEAD, OPTIONS")
    #expect(found("OPTIONS", "/v1/nothing") == "404")
  }

  @Test func `parameters are the bytes between the slashes, without the action`() {
    let path = "/v1/things/caf%C3%A9/parts/12:act"
    let match = router.match(method: "POST", path: path)
    let bytes = Array(path.utf8)
    #expect(String(decoding: bytes[match.first!], as: UTF8.self) == "caf%C3%A9")
    #expect(String(decoding: bytes[match.second!], as: UTF8.self) == "12")
  }

  @Test func `the contract's routes have names of their own, and no template twice`() {
    let operations = Routes.all.map(\.operation)
    #expect(Set(operations).count == operations.count)
    let places = Routes.all.map { "\($0.method) \($0.template)" }
    #expect(Set(places).count == places.count)
  }
}

struct NameTests {
  @Test(arguments: [
    "a", "0", "orders", "A.b_c~d-e", String(repeating: "x", count: 255), "orders.dead", "a..b",
  ])
  func `names of the contract are taken`(name: String) {
    #expect(Request.isName(name))
  }

  @Test(arguments: [
    "", "_system", ".", "..", ".a", "-a", "~a", "a b", "a/b", "a:b", "é", "a\u{0}", "a\n",
    "../../etc/passwd", String(repeating: "x", count: 256),
  ])
  func `all others are refused`(name: String) {
    #expect(!Request.isName(name))
  }
}

struct QueryTests {
  private func problem(_ raw: String, known: [String] = ["a", "b"]) -> Problem? {
    do throws(Problem) {
      _ = try Query(raw, known: known)
      return nil
    } catch {
      return error
    }
  }

  @Test func `values are decoded, plus signs as the spaces that browsers mean`() throws {
    let query = try Query("a=x%20y+z%2B&b=%C3%A9%3D&", known: ["a", "b"])
    #expect(query["a"] == "x y z+")
    #expect(query["b"] == "é=")
    #expect(try Query("a", known: ["a"])["a"] == "")
    #expect(try Query("a==b", known: ["a"])["a"] == "=b")
  }

  @Test func `an unknown parameter is refused by name`() {
    let problem = problem("a=1&color=red")
    #expect(problem?.code == .unknownField)
    #expect(problem?.facts.first?.value == .text("color"))
  }

  @Test(arguments: ["a=1&a=2", "a=1&%61=2", "a=%", "a=%4", "a=%zz", "a=%ff", "a=%c0%80"])
  func `what comes twice or is not UTF-8 is refused`(raw: String) {
    #expect(problem(raw)?.code == .badParameter)
  }

  @Test(arguments: ["", "0", "1001", "-1", "+1", "01", "1.0", "1e2", " 1", "99999999999999999999"])
  func `a number is digits within its range`(text: String) throws {
    let query = try Query(
      "n=\(text.replacing("+", with: "%2B").replacing(" ", with: "%20"))", known: ["n"])
    #expect(throws: Problem.self) { try query.integer("n", in: 1...1000) }
  }

  @Test func `a number within its range is taken, and none at all is nil`() throws {
    #expect(try Query("n=1000", known: ["n"]).integer("n", in: 1...1000) == 1000)
    #expect(try Query().integer("n", in: 1...1000) == nil)
  }

  @Test func `a flag is true or false`() throws {
    #expect(try Query("f=true", known: ["f"]).flag("f") == true)
    #expect(try Query("", known: ["f"]).flag("f") == nil)
    for empty in ["f", "f="] {
      #expect(throws: Problem.self) { try Query(empty, known: ["f"]).flag("f") }
    }
    #expect(try Query("f=false", known: ["f"]).flag("f") == false)
    #expect(throws: Problem.self) { try Query("f=yes", known: ["f"]).flag("f") }
  }

  @Test func `a duration has a unit and a limit`() throws {
    func wait(_ text: String) throws(Problem) -> Duration? {
      try Query("wait=\(text)", known: ["wait"]).duration("wait", max: .seconds(60))
    }
    #expect(try wait("20s") == .seconds(20))
    #expect(try wait("1m") == .seconds(60))
    for text in ["61s", "20", "-1s", "1.5s", "", "s"] {
      #expect(throws: Problem.self) { try wait(text) }
    }
  }
}
