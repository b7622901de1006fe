// nghttp2 as this server uses it: its options, its callbacks turned into methods of `HTTP2Session`.
import CNghttp2

/// The callbacks and options that every HTTP/2 session of a loop is made with. Owns two C objects.
final class HTTP2Library {
  let callbacks: OpaquePointer
  let options: OpaquePointer

  init() {
    var callbacks: OpaquePointer?
    var options: OpaquePointer?
    precondition(
      nghttp2_session_callbacks_new(&callbacks) == 0 && nghttp2_option_new(&options) == 0,
      "no memory for nghttp2")
    self.callbacks = callbacks!
    self.options = options!
    setOptions()
    setInputCallbacks()
    setOutputCallbacks()
  }

  deinit {
    nghttp2_session_callbacks_del(callbacks)
    nghttp2_option_del(options)
  }

  private func setOptions() {
    // Windows open when the work is done, not when bytes arrive.
    nghttp2_option_set_no_auto_window_update(options, 1)
    // Closed streams are kept for RFC 7540 priorities only, which nobody here reads.
    nghttp2_option_set_no_closed_streams(options, 1)
    // A browser that leaves a page resets a handful of streams; rapid reset (CVE-2023-44487) thousands a second.
    nghttp2_option_set_stream_reset_rate_limit(options, 500, 50)
    // CVE-2024-28182: a head within the limit needs few CONTINUATION frames.
    nghttp2_option_set_max_continuations(options, 8)
    // Acknowledgements of PING and SETTINGS that may wait for a peer that does not read.
    nghttp2_option_set_max_outbound_ack(options, 256)
    nghttp2_option_set_max_settings(options, 32)
  }

  private func setInputCallbacks() {
    nghttp2_session_callbacks_set_on_begin_frame_callback(callbacks) { _, header, user in
      HTTP2Session.of(user).frameBegins(header!.pointee)
      return 0
    }
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks) { _, frame, user in
      HTTP2Session.of(user).headersBegin(frame!.pointee)
      return 0
    }
    nghttp2_session_callbacks_set_on_header_callback(callbacks) {
      _, frame, name, nameBytes, value, valueBytes, _, user in
      HTTP2Session.of(user).header(
        UnsafeRawBufferPointer(start: name, count: nameBytes),
        UnsafeRawBufferPointer(start: value, count: valueBytes))
      return 0
    }
    nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks) {
      _, frame, _, _, _, _, _, user in
      HTTP2Session.of(user).invalidHeader()
      return 0
    }
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks) {
      _, _, stream, bytes, count, user in
      HTTP2Session.of(user).data(stream, UnsafeRawBufferPointer(start: bytes, count: count))
      return 0
    }
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks) { _, frame, user in
      HTTP2Session.of(user).frameReceived(frame!.pointee)
      return 0
    }
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks) { _, stream, _, user in
      HTTP2Session.of(user).streamClosed(stream)
      return 0
    }
  }

  private func setOutputCallbacks() {
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks) { _, frame, user in
      HTTP2Session.of(user).frameSent(frame!.pointee)
      return 0
    }
    nghttp2_session_callbacks_set_send_data_callback(callbacks) {
      _, frame, header, count, _, user in
      HTTP2Session.of(user).sendData(
        frame!.pointee.hd.stream_id,
        header: UnsafeRawBufferPointer(start: header, count: 9), count: count)
    }
  }

  /// Where DATA comes from; the bytes themselves are copied once, in `sendData`.
  static func dataProvider() -> nghttp2_data_provider {
    nghttp2_data_provider(
      source: nghttp2_data_source(fd: 0),
      read_callback: { _, stream, _, room, flags, _, user in
        let (count, isLast) = HTTP2Session.of(user).dataAvailable(stream, room: room)
        if count == 0 && !isLast { return ssize_t(NGHTTP2_ERR_DEFERRED.rawValue) }
        flags!.pointee |= NGHTTP2_DATA_FLAG_NO_COPY.rawValue
        if isLast { flags!.pointee |= NGHTTP2_DATA_FLAG_EOF.rawValue }
        return count
      })
  }
}
