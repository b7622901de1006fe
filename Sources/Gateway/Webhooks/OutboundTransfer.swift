// One easy handle of libcurl and the request it carries; reused for request after request.
import CCurl
import Engine
import Glibc
import NIOCore

/// Belongs to its loop's thread. libcurl holds an unretained pointer to it while the handle lives.
final class OutboundTransfer {
  let easy: UnsafeMutableRawPointer
  private unowned let loop: OutboundLoop
  private var call: OutboundCall?
  /// What the handle was last told.
  private var url = ""
  private var timeoutMilliseconds = 0
  /// Header lines for libcurl: nodes that point into the request's own bytes.
  private var nodes: UnsafeMutablePointer<curl_slist>
  private var nodesMax: Int
  /// What keeps the request's bytes in place.
  private var held: [Unmanaged<AnyObject>] = []
  private var body = ByteBuffer()
  private var isCut = false
  /// Of the answer's head and those of 1xx before it.
  private var headBytes = 0
  private var hasWholeHead = false
  private var refused: (address: IPAddress, kind: String)?
  private var hasDialled = false
  /// This process may open no more: nothing that the endpoint could help.
  private var lacksSockets = false
  private var pinned: UnsafeMutablePointer<curl_slist>?
  private let errorText = UnsafeMutablePointer<CChar>.allocate(capacity: Int(CURL_ERROR_SIZE))

  /// Text that libcurl wants as a pointer for ever.
  private struct Constant: @unchecked Sendable {
    let text: UnsafeMutablePointer<CChar>
    init(_ string: String) { text = strdup(string) }
  }
  /// A line without a value: the header is not sent.
  private static let noExpect = Constant("Expect:")
  private static let noContentType = Constant("Content-Type:")

  init(_ loop: OutboundLoop) {
    guard let easy = curl_easy_init() else { preconditionFailure("no memory for libcurl") }
    self.easy = easy
    self.loop = loop
    nodesMax = 32
    nodes = .allocate(capacity: nodesMax)
    configure()
  }

  /// Frees the handle; it must not be in use.
  func close() {
    precondition(call == nil, "a transfer is released before its handle is")
    curl_easy_cleanup(easy)
    curl_slist_free_all(pinned)
    nodes.deallocate()
    errorText.deallocate()
  }

  /// The transfer that a handle of libcurl belongs to.
  static func of(_ easy: UnsafeMutableRawPointer) -> OutboundTransfer {
    var context: UnsafeMutablePointer<CChar>?
    millrace_curl_get_text(easy, CURLINFO_PRIVATE, &context)
    return Unmanaged<OutboundTransfer>.fromOpaque(context!).takeUnretainedValue()
  }

  // MARK: - Options

  private func set(_ option: CURLoption, _ value: Int) {
    let result = millrace_curl_set_long(easy, option, value)
    precondition(result == CURLE_OK, "libcurl refuses option \(option.rawValue)")
  }

  private func set(_ option: CURLoption, _ text: String?) {
    let result = millrace_curl_set_text(easy, option, text)
    precondition(result == CURLE_OK, "libcurl refuses option \(option.rawValue)")
  }

  private func set(_ option: CURLoption, pointer: UnsafeRawPointer?) {
    let result = millrace_curl_set_pointer(easy, option, pointer)
    precondition(result == CURLE_OK, "libcurl refuses option \(option.rawValue)")
  }

  /// What holds for every request.
  private func configure() {
    let me = UnsafeRawPointer(Unmanaged.passUnretained(self).toOpaque())
    set(CURLOPT_PRIVATE, pointer: me)
    set(CURLOPT_ERRORBUFFER, pointer: errorText)
    set(CURLOPT_NOSIGNAL, 1)
    // Ending a request whose name is still being looked up must not wait for the resolver.
    set(CURLOPT_QUICK_EXIT, 1)
    set(CURLOPT_PROTOCOLS_STR, "http,https")
    set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https")
    set(CURLOPT_FOLLOWLOCATION, 0)
    set(CURLOPT_DISALLOW_USERNAME_IN_URL, 1)
    set(CURLOPT_PROXY, "")  // whatever the environment says
    set(CURLOPT_NETRC, Int(CURL_NETRC_IGNORED.rawValue))
    set(CURLOPT_USERAGENT, loop.settings.userAgent)
    set(CURLOPT_TCP_NODELAY, 1)
    set(CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_2TLS)
    set(CURLOPT_MAXLIFETIME_CONN, Int(loop.settings.connectionAgeMax / .seconds(1)))
    set(CURLOPT_BUFFERSIZE, 8 << 10)
    configureTLS()
    configureSockets(me)
    for name in loop.settings.pinnedNames { pinned = curl_slist_append(pinned, name) }
    if let pinned { millrace_curl_set_list(easy, CURLOPT_RESOLVE, pinned) }
    let write: curl_write_callback = { bytes, size, count, context in
      let transfer = Unmanaged<OutboundTransfer>.fromOpaque(context!).takeUnretainedValue()
      return transfer.receive(UnsafeRawBufferPointer(start: bytes, count: size * count))
    }
    millrace_curl_set_callback(easy, CURLOPT_WRITEFUNCTION, write)
    set(CURLOPT_WRITEDATA, pointer: me)
    let head: curl_write_callback = { bytes, size, count, context in
      let transfer = Unmanaged<OutboundTransfer>.fromOpaque(context!).takeUnretainedValue()
      return transfer.receiveHead(UnsafeRawBufferPointer(start: bytes, count: size * count))
    }
    millrace_curl_set_callback(easy, CURLOPT_HEADERFUNCTION, head)
    set(CURLOPT_HEADERDATA, pointer: me)
  }

  private func configureTLS() {
    set(CURLOPT_SSL_VERIFYPEER, 1)
    set(CURLOPT_SSL_VERIFYHOST, 2)
    set(CURLOPT_SSLVERSION, Int(CURL_SSLVERSION_TLSv1_2))
    // Debian's libcurl would read the whole bundle of authorities for each connection: its cache is off beside a
    // CAPATH, which it has by default. Ours is read once.
    set(CURLOPT_CAINFO, nil)
    set(CURLOPT_CAPATH, nil)
    let context: curl_ssl_ctx_callback = { _, context, trust in
      Unmanaged<TrustStore>.fromOpaque(trust!).takeUnretainedValue().install(in: context!)
      return CURLE_OK
    }
    millrace_curl_set_ssl_context(easy, context)
    set(CURLOPT_SSL_CTX_DATA, pointer: Unmanaged.passUnretained(loop.trust).toOpaque())
  }

  private func configureSockets(_ me: UnsafeRawPointer) {
    let open: curl_opensocket_callback = { context, _, address in
      let transfer = Unmanaged<OutboundTransfer>.fromOpaque(context!).takeUnretainedValue()
      return transfer.open(address!)
    }
    millrace_curl_set_open_socket(easy, open)
    set(CURLOPT_OPENSOCKETDATA, pointer: me)
    // A connection outlives the transfer that made it, so its end is told to what outlives both.
    let close: curl_closesocket_callback = { context, socket in
      Unmanaged<OutboundSockets>.fromOpaque(context!).takeUnretainedValue().close(socket)
    }
    millrace_curl_set_close_socket(easy, close)
    set(CURLOPT_CLOSESOCKETDATA, pointer: Unmanaged.passUnretained(loop.sockets).toOpaque())
  }

  // MARK: - A request

  /// Loads the handle with `call`.
  func prepare(_ call: OutboundCall) {
    precondition(self.call == nil, "a transfer carries one request at a time")
    self.call = call
    let request = call.request
    if request.target.url != url {
      url = request.target.url
      set(CURLOPT_URL, url)
      // Over TLS the first connection may turn out to carry many requests (HTTP/2): worth waiting for.
      set(CURLOPT_PIPEWAIT, request.target.isTLS ? 1 : 0)
    }
    let milliseconds = max(1, Int(request.timeout / .milliseconds(1)))
    if milliseconds != timeoutMilliseconds {
      timeoutMilliseconds = milliseconds
      set(CURLOPT_TIMEOUT_MS, milliseconds)
      let connect = Int(loop.settings.connectTimeout / .milliseconds(1))
      set(CURLOPT_CONNECTTIMEOUT_MS, min(milliseconds, connect))
    }
    prepareHeaders(request.headers)
    set(CURLOPT_POSTFIELDS, pointer: hold(request.body) ?? UnsafeRawPointer(Self.noExpect.text))
    millrace_curl_set_size(
      easy, CURLOPT_POSTFIELDSIZE_LARGE, curl_off_t(request.body.readableBytes))
    errorText.pointee = 0
  }

  private func prepareHeaders(_ headers: OutboundHeaders) {
    let count = headers.count + 2
    if count > nodesMax {
      nodes.deallocate()
      nodesMax = count
      nodes = .allocate(capacity: nodesMax)
    }
    var used = 0
    func add(_ line: UnsafeMutablePointer<CChar>) {
      nodes[used] = curl_slist(data: line, next: nil)
      if used > 0 { nodes[used - 1].next = nodes + used }
      used += 1
    }
    if let lines = hold(headers.lines) {
      var line = UnsafeMutablePointer(mutating: lines.assumingMemoryBound(to: CChar.self))
      for _ in 0..<headers.count {
        add(line)
        line += strlen(line) + 1
      }
    }
    if !headers.hasContentType { add(Self.noContentType.text) }
    add(Self.noExpect.text)
    millrace_curl_set_list(easy, CURLOPT_HTTPHEADER, nodes)
  }

  /// Keeps a buffer's bytes where they are until `release`, and says where that is.
  private func hold(_ buffer: ByteBuffer) -> UnsafeRawPointer? {
    guard buffer.readableBytes > 0 else { return nil }
    return buffer.withUnsafeReadableBytesWithStorageManagement { bytes, storage in
      held.append(storage.retain())
      return bytes.baseAddress
    }
  }

  /// Lets go of the request; libcurl must have let go of the handle.
  func release() -> OutboundCall {
    guard let call else { preconditionFailure("nothing to release") }
    self.call = nil
    for storage in held { storage.release() }
    held.removeAll(keepingCapacity: true)
    body = ByteBuffer()
    isCut = false
    headBytes = 0
    hasWholeHead = false
    refused = nil
    hasDialled = false
    lacksSockets = false
    return call
  }

  // MARK: - What libcurl calls

  private func open(_ address: UnsafeMutablePointer<curl_sockaddr>) -> curl_socket_t {
    let bytes = Int(address.pointee.addrlen)
    // The very address that connect() is called with: nothing can change between this look and the call.
    let found = withUnsafePointer(to: &address.pointee.addr) { IPAddress($0, bytes: bytes) }
    guard let found else { return CURL_SOCKET_BAD }
    if let kind = loop.settings.policy.refusal(of: found) {
      refused = (found, kind)
      return CURL_SOCKET_BAD
    }
    hasDialled = true
    let socket = loop.sockets.open(
      address.pointee.family, address.pointee.socktype, address.pointee.protocol)
    if socket < 0 { lacksSockets = true }
    return socket
  }

  /// A line of the head, with its end; an empty one ends it. libcurl takes a head that breaks off for an answer.
  private func receiveHead(_ line: UnsafeRawBufferPointer) -> Int {
    headBytes += line.count
    hasWholeHead = line.count <= 2
    return headBytes <= loop.settings.answerHeadBytesMax ? line.count : 0
  }

  private func receive(_ bytes: UnsafeRawBufferPointer) -> Int {
    let room = loop.settings.answerBytesMax - body.readableBytes
    body.writeBytes(bytes.prefix(room))
    if bytes.count <= room { return bytes.count }
    isCut = true
    return 0  // an error to libcurl, which ends the transfer
  }

  // MARK: - The outcome

  /// What `result` means, read while the handle still knows.
  func outcome(_ result: CURLcode) -> Result<OutboundAnswer, OutboundFailure> {
    var microseconds: curl_off_t = 0
    millrace_curl_get_size(easy, CURLINFO_TOTAL_TIME_T, &microseconds)
    let latency = Duration.microseconds(Int64(microseconds))
    var result = result
    if result == CURLE_OK, !hasWholeHead { result = CURLE_GOT_NOTHING }
    if result == CURLE_HTTP2_STREAM, isWhole { result = CURLE_OK }
    if lacksSockets, result == CURLE_COULDNT_CONNECT {
      return .failure(OutboundFailure(.internalTrouble))
    }
    guard result == CURLE_OK || (result == CURLE_WRITE_ERROR && isCut) else {
      return .failure(
        OutboundFailure(
          result, refused: hasDialled ? nil : refused, target: call!.request.target,
          libcurlSays: String(cString: errorText), remoteAddress: remoteAddress, latency: latency))
    }
    let status = long(CURLINFO_RESPONSE_CODE)
    return .success(
      OutboundAnswer(
        status: status, retryAfter: status == 429 || status == 503 ? header("retry-after") : nil,
        body: body, isCut: isCut, latency: latency, remoteAddress: remoteAddress ?? "",
        protocolVersion: long(CURLINFO_HTTP_VERSION) == CURL_HTTP_VERSION_2_0 ? .http2 : .http1))
  }

  /// Whether all of the answer came that its head spoke of. Over HTTP/2 a server may answer before it has read the
  /// request, and then end the stream (RFC 9113 §8.1; nginx does), which libcurl takes for a failure.
  private var isWhole: Bool {
    var announced: curl_off_t = -1
    millrace_curl_get_size(easy, CURLINFO_CONTENT_LENGTH_DOWNLOAD_T, &announced)
    return hasWholeHead && announced == body.readableBytes
  }

  private func long(_ info: CURLINFO) -> Int {
    var value = 0
    millrace_curl_get_long(easy, info, &value)
    return value
  }

  private var remoteAddress: String? {
    var text: UnsafeMutablePointer<CChar>?
    millrace_curl_get_text(easy, CURLINFO_PRIMARY_IP, &text)
    guard let text, text.pointee != 0 else { return nil }
    return String(cString: text)
  }

  private func header(_ name: String) -> String? {
    var found: UnsafeMutablePointer<curl_header>?
    guard curl_easy_header(easy, name, 0, UInt32(CURLH_HEADER), -1, &found) == CURLHE_OK,
      let found
    else { return nil }
    return String(cString: found.pointee.value)
  }
}
