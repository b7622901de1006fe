"""HTTP/2 peers that keep its grammar and not its sense: the server lives, bounded, and serves the others."""

import json
import random
import struct
import time

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import pytest

from peer import (
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, PRIORITY, RST_STREAM, SETTINGS, WINDOW_UPDATE,
    HTTP2Peer, Peer, frame, literal, metric, request_fields, wait_until)
from server import Server

MIB = 1 << 20
PROTOCOL_ERROR, FLOW_CONTROL_ERROR, FRAME_SIZE_ERROR, COMPRESSION_ERROR, CALM = 1, 3, 6, 9, 11
INITIAL_WINDOW, MAX_FRAME_SIZE, HEADER_TABLE = 4, 5, 1


@pytest.fixture(scope="module")
def target():
    """A server with short time limits; it must be alive, and not large, when all floods are over."""
    short = ["--write-timeout", "2s", "--body-timeout", "1s", "--head-timeout", "3s"]
    with Server(arguments=[*short, "--loops", "2"]) as running:
        running.create("calm")
        running.create("deep")
        line = json.dumps({"text": "x" * 8000}) + "\n"
        for _ in range(6):
            answer = running.request(
                "POST", "/v1/streams/deep/records", line * 375, {"Content-Type": "application/x-ndjson"})
            assert answer.status == 200, answer
        yield running
        assert running.alive, running.log_text()


@pytest.fixture(scope="module")
def most_bytes(target):
    """A few pages of 16 MB have been through the allocator, which keeps some of it."""
    for _ in range(4):
        assert target.get("/v1/streams/deep/records?limit=10000&max_bytes=16777216").status == 200
    return target.resident_bytes + 700 * MIB


@pytest.fixture
def watched(target, most_bytes):
    """Around each test: it is served over both protocols, and keeps within its budget."""
    yield target
    assert target.alive, target.log_text()
    assert target.get("/v1/streams/calm").status == 200
    with HTTP2Peer(target.port) as other:
        other.request(1)
        assert other.until(HEADERS, 1)
    assert target.resident_bytes < most_bytes


def flood(server, data, times, settings=(), open_first=True):
    """Sends `data` until the server has had enough; others are served meanwhile. Gives its GOAWAY code."""
    with HTTP2Peer(server.port, settings) as peer:
        if open_first:
            peer.request(1)
        for index in range(times):
            if not peer.send(data(index) if callable(data) else data):
                break
            if index % 64 == 0:
                assert server.get("/livez", timeout=5).status == 200
        peer.frames_to_end()
        assert peer.ended, "it was not closed"
        return peer.goaway


def stream_of(index):
    return 2 * index + 3


def resets(index):
    return b"".join(
        frame(HEADERS, END_HEADERS | END_STREAM, stream_of(index * 50 + n), request_fields())
        + frame(RST_STREAM, 0, stream_of(index * 50 + n), struct.pack(">I", 8)) for n in range(50))


def test_rapid_reset(watched):
    """CVE-2023-44487."""
    assert flood(watched, resets, 200) in (CALM, PROTOCOL_ERROR, 2, None)
    assert metric(watched, "millrace_streams_reset_total") < 5000


def made_to_reset(index):
    # WINDOW_UPDATE of nothing is a stream's error: the server resets it.
    return b"".join(
        frame(HEADERS, END_HEADERS, stream_of(index * 50 + n), request_fields(method="POST"))
        + frame(WINDOW_UPDATE, 0, stream_of(index * 50 + n), bytes(4)) for n in range(50))


FLOODS = {
    # CVE-2019-9512, -9515, -9513, -9518, -9511 by their kinds.
    "PING": frame(PING, 0, 0, bytes(8)) * 100,
    "SETTINGS": frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW, 65535)) * 100,
    "SETTINGS that are empty": frame(SETTINGS) * 100,
    "acknowledgements": frame(SETTINGS, 1) * 100,
    "priorities": frame(PRIORITY, 0, 1, struct.pack(">IB", 3, 7)) * 100,
    "priorities of idle streams": lambda index: b"".join(
        frame(PRIORITY, 0, 2 * n + 1, struct.pack(">IB", 0, 7)) for n in range(index * 50, index * 50 + 50)),
    "windows by one": frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)) * 100,
    "streams that the server is made to reset": made_to_reset,
}


@pytest.mark.parametrize("kind", FLOODS)
def test_a_flood_of_frames_that_carry_nothing(watched, kind):
    assert flood(watched, FLOODS[kind], 400) in (CALM, PROTOCOL_ERROR, 2, None)


def test_frames_of_an_unknown_type_are_passed_over(watched):
    with HTTP2Peer(watched.port) as peer:
        for _ in range(400):
            assert peer.send(frame(0xB7, 0, 0, b"noise") * 100)
        peer.request(1)
        assert peer.until(HEADERS, 1)


def test_a_flood_of_empty_data(watched):
    with HTTP2Peer(watched.port) as peer:
        peer.request(1, "/v1/streams/calm/records", "POST", end=False)
        for _ in range(400):
            if not peer.send(frame(DATA, 0, 1) * 100):
                break
        peer.frames_to_end()
        assert peer.ended and peer.goaway in (CALM, None)


@pytest.mark.parametrize("kind", ["PING", "SETTINGS"])
def test_a_flood_by_a_peer_that_reads_nothing(watched, kind):
    with HTTP2Peer(watched.port, receive_buffer=4096, timeout=5) as peer:
        for _ in range(2000):
            if not peer.send(FLOODS[kind]):
                break
        assert watched.get("/livez").status == 200


def test_continuation_flood(watched):
    """CVE-2024-27316: a head that never ends."""
    with HTTP2Peer(watched.port) as peer:
        peer.send(frame(HEADERS, END_STREAM, 1, request_fields()))
        for index in range(5000):
            if not peer.send(frame(CONTINUATION, 0, 1, literal(f"x-{index}", "a" * 4000))):
                break
        peer.frames_to_end()
        assert peer.ended


def test_a_head_of_empty_continuations(watched):
    with HTTP2Peer(watched.port) as peer:
        peer.send(frame(HEADERS, END_STREAM, 1, request_fields()))
        for _ in range(500):
            if not peer.send(frame(CONTINUATION, 0, 1) * 100):
                break
        peer.frames_to_end()
        assert peer.ended


def test_a_head_that_stops_midway_is_given_up(watched):
    with HTTP2Peer(watched.port) as peer:
        peer.send(frame(HEADERS, END_STREAM, 1, request_fields()))
        begun = time.monotonic()
        peer.frames_to_end()
        assert peer.ended and time.monotonic() - begun < 8


def test_a_header_bomb(watched):
    """One field of 4,000 bytes in the table, named again and again by one byte (the HPACK bomb, CVE-2016-6581)."""
    indexed = b"\x40" + b"\x01x" + b"\x7f" + bytes([(4000 - 127) % 128 + 128, (4000 - 127) // 128]) + b"a" * 4000
    with HTTP2Peer(watched.port) as peer:
        peer.send(frame(HEADERS, END_HEADERS | END_STREAM, 1, request_fields() + indexed))
        assert peer.until(HEADERS, 1)
        for index in range(20):
            peer.send(frame(HEADERS, END_HEADERS | END_STREAM, 3 + 2 * index, request_fields() + b"\xbe" * 16_000))
            answer = peer.until(HEADERS, 3 + 2 * index)
            assert answer, "it is answered"
            body = peer.until(DATA, 3 + 2 * index)
            assert json.loads(body[3])["code"] == "headers_too_large"


def test_heads_over_the_limits_have_a_problem_document(watched):
    with HTTP2Peer(watched.port) as peer:
        for stream, more, code in [
            (1, [("x", "a" * 14_000)] * 3, "headers_too_large"),
            (3, [(f"x{n}", "a") for n in range(200)], "headers_too_large"),
            (5, [("x", "a\rb")], "malformed_request"), (7, [("x", b"\xc0\xaf")], "malformed_request"),
            (9, [("X", "a")], "malformed_request"), (11, [("connection", "close")], "malformed_request"),
            (13, [("transfer-encoding", "chunked")], "malformed_request"),
            (15, [("host", "example.org")], "malformed_request"),
        ]:
            payload = request_fields(more=more)
            pieces = [payload[start:start + 16_000] for start in range(0, len(payload), 16_000)]
            peer.send(frame(HEADERS, END_STREAM | (END_HEADERS if len(pieces) == 1 else 0), stream, pieces[0]))
            for number, piece in enumerate(pieces[1:], 2):
                peer.send(frame(CONTINUATION, END_HEADERS if number == len(pieces) else 0, stream, piece))
            kind, _, _, body = next_of(peer, stream, (DATA, RST_STREAM))
            # What breaks the protocol's grammar may be a stream's error instead: RFC 9113 §8.1.1.
            if kind == DATA:
                assert json.loads(body)["code"] == code
            else:
                assert code == "malformed_request" and int.from_bytes(body, "big") == PROTOCOL_ERROR


def next_of(peer, stream, kinds):
    while one := peer.next_frame():
        if one[2] == stream and one[0] in kinds:
            return one
    raise AssertionError(f"nothing for stream {stream}")


def ask_on_400_streams(peer):
    for index in range(400):
        peer.request(2 * index + 1, "/v1/streams/calm/records?from=tail&wait=1s")


def test_more_streams_than_allowed_are_refused_one_by_one_before_the_limit_is_known(watched):
    with HTTP2Peer(watched.port) as peer:
        ask_on_400_streams(peer)
        ends = {}
        while len(ends) < 400 and (one := peer.next_frame()):
            if one[0] == HEADERS:
                ends[one[2]] = "answered"
            elif one[0] == RST_STREAM:
                ends[one[2]] = int.from_bytes(one[3], "big")
        assert sorted(map(str, ends.values())) == ["7"] * 144 + ["answered"] * 256


def test_more_streams_than_allowed_end_the_connection_once_the_limit_is_known(watched):
    with HTTP2Peer(watched.port) as peer:
        assert peer.until(SETTINGS)
        peer.send(frame(SETTINGS, 1))
        ask_on_400_streams(peer)
        peer.frames_to_end()
        assert peer.ended and peer.goaway == PROTOCOL_ERROR


# Windows

def test_many_streams_whose_windows_never_open(watched):
    """A page of 16 MB on each of 200 streams, and not one byte may be sent."""
    with HTTP2Peer(watched.port, [(INITIAL_WINDOW, 0)], timeout=15) as peer:
        most, before = 0, watched.resident_bytes
        for index in range(200):
            peer.request(2 * index + 1, "/v1/streams/deep/records?limit=10000&max_bytes=16777216")
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            most = max(most, watched.resident_bytes)
            assert watched.get("/livez", timeout=5).status == 200
        assert most < before + 700 * MIB, f"{(most - before) / MIB:.0f} MiB"
        # Those that wait are given up, each by itself.
        assert peer.until(RST_STREAM), "no stream was given up"
    assert wait_until(lambda: metric(watched, "millrace_held_answer_bytes") == 0)


def test_windows_opened_a_byte_at_a_time(watched):
    with HTTP2Peer(watched.port, [(INITIAL_WINDOW, 1)]) as peer:
        for index in range(100):
            peer.request(2 * index + 1, "/v1/streams/deep/records?limit=1000")
        for _ in range(20):
            peer.send(b"".join(frame(WINDOW_UPDATE, 0, 2 * n + 1, struct.pack(">I", 1)) for n in range(100)))
        assert watched.get("/livez").status == 200
        assert peer.until(RST_STREAM), "taken more slowly than 64 bytes a second"


def test_data_that_goes_on_after_its_refusal(watched):
    with HTTP2Peer(watched.port, timeout=2) as peer:
        peer.request(1, "/v1/streams/calm/records", "POST", end=False)
        for _ in range(2000):
            if not peer.send(frame(DATA, 0, 1, b"a" * 16_384)):
                break
        assert json.loads(peer.until(DATA, 1)[3])["code"] == "body_too_large"
    assert watched.read("calm").json["records"] == []


def test_data_beyond_the_window(watched):
    """Of two bodies that are not whole, the later one's windows stay shut once a megabyte is held."""
    with HTTP2Peer(watched.port) as peer:
        for stream in (1, 3):
            peer.request(stream, "/v1/streams/calm/records", "POST", end=False)
            peer.send(frame(DATA, 0, stream, b"a"))
        for _ in range(200):
            if not peer.send(frame(DATA, 0, 3, b"a" * 16_384)):
                break
        codes = [int.from_bytes(one[3], "big") for one in peer.frames_to_end() if one[0] == RST_STREAM and one[2] == 3]
        assert peer.goaway == FLOW_CONTROL_ERROR or FLOW_CONTROL_ERROR in codes, (peer.goaway, codes)
    assert watched.read("calm").json["records"] == []


def test_a_window_that_overflows(watched):
    with HTTP2Peer(watched.port) as peer:
        peer.send(frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 0x7FFFFFFF)))
        peer.frames_to_end()
        assert peer.ended and peer.goaway == FLOW_CONTROL_ERROR


def test_a_body_that_does_not_come_is_given_up(watched):
    with HTTP2Peer(watched.port) as peer:
        peer.request(1, "/v1/streams/calm/records", "POST", end=False)
        body = peer.until(DATA, 1)
        assert json.loads(body[3])["code"] == "request_timeout"


def test_a_body_over_the_limit_is_refused_by_its_length_and_by_its_bytes(watched):
    with HTTP2Peer(watched.port) as peer:
        peer.request(1, "/v1/streams/calm/records", "POST", end=False, more=[("content-length", "5000000")])
        assert json.loads(peer.until(DATA, 1)[3])["code"] == "body_too_large"
    client = Client(watched.port)
    stream = client.post("/v1/streams/calm/records", [b"a" * 100_000] * 45)
    assert client.status(stream) == 413
    client.close()


# What is no HTTP/2

def whole_head(stream, block=None):
    return frame(HEADERS, END_HEADERS | END_STREAM, stream, block or request_fields())


GARBAGE = {
    "half a preface": PREFACE[:12],
    "a preface that goes wrong": PREFACE[:18] + b"XX\r\n\r\n" + frame(SETTINGS),
    "a preface and noise": PREFACE + bytes(range(200)) * 10,
    "a preface without settings": PREFACE + frame(PING, 0, 0, bytes(8)),
    "a frame of 16 MB": PREFACE + frame(SETTINGS) + b"\xff\xff\xff\0\0\0\0\0\1" + b"a" * 100_000,
    "data of a stream that never was": PREFACE + frame(SETTINGS) + frame(DATA, 0, 5, b"a"),
    "headers on stream 0": PREFACE + frame(SETTINGS) + frame(HEADERS, END_HEADERS, 0, request_fields()),
    "headers on an even stream": PREFACE + frame(SETTINGS) + whole_head(2),
    "streams that go backwards": PREFACE + frame(SETTINGS) + whole_head(5) + whole_head(3),
    "a head that is no HPACK": PREFACE + frame(SETTINGS) + whole_head(1, b"\xff\xff\xff\xff\xff"),
    "a push by a client": PREFACE + frame(SETTINGS) + frame(5, END_HEADERS, 1, struct.pack(">I", 2)),
    "settings of five bytes": PREFACE + frame(SETTINGS, 0, 0, bytes(5)),
    "settings on a stream": PREFACE + frame(SETTINGS) + frame(SETTINGS, 0, 1),
    "a window beyond 31 bits": PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW, 1 << 31)),
    "a frame size of 1": PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", MAX_FRAME_SIZE, 1)),
    "a ping of seven bytes": PREFACE + frame(SETTINGS) + frame(PING, 0, 0, bytes(7)),
    "a stream that depends on itself": PREFACE + frame(SETTINGS)
    + frame(PRIORITY, 0, 1, struct.pack(">IB", 1, 7)) * 3000,
    "a continuation of nothing": PREFACE + frame(SETTINGS) + frame(CONTINUATION, END_HEADERS, 1, b""),
    "a frame inside a head": PREFACE + frame(SETTINGS) + frame(HEADERS, 0, 1, request_fields())
    + frame(PING, 0, 0, bytes(8)),
    "padding longer than the frame": PREFACE + frame(SETTINGS) + frame(HEADERS, END_HEADERS | 8, 1, b"\xff"),
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_what_is_no_http2_ends_its_connection_alone(watched, kind):
    with Peer(watched.port) as peer:
        peer.send(GARBAGE[kind])
        peer.end()
        peer.to_end()
        assert peer.ended


def test_noise_ends_its_connection_alone(watched):
    for seed in range(200):
        with Peer(watched.port) as peer:
            peer.send((PREFACE + frame(SETTINGS) if seed % 2 else b"") + noise(seed))
            peer.end()
            peer.to_end()
            assert peer.ended


def noise(seed):
    return random.Random(seed).randbytes(300)


UPGRADES = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
    "h2c with broken settings": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: !!\r\n",
    "a web socket": b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\n",
}


@pytest.mark.parametrize("kind", UPGRADES)
def test_an_upgrade_is_not_made_and_the_request_is_answered(watched, kind):
    with Peer(watched.port) as peer:
        peer.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n" + UPGRADES[kind] + b"\r\n")
        assert peer.answer().status == 200
        peer.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert peer.answer().status == 200


# What an honest client may do

class Client:
    """HTTP/2 by the independent implementation h2."""

    def __init__(self, port):
        self.peer = Peer(port)
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self.h2.initiate_connection()
        self.events, self.held = [], set()
        self.flush()

    def flush(self):
        self.peer.send(self.h2.data_to_send())

    def step(self):
        """Reads once; windows open at once, but for streams in `held`."""
        if not self.peer.receive():
            return False
        data, self.peer.received = self.peer.received, b""
        for event in self.h2.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                self.h2.increment_flow_control_window(event.flow_controlled_length)
                if event.stream_id not in self.held and self.h2.streams[event.stream_id].open:
                    self.h2.increment_flow_control_window(event.flow_controlled_length, event.stream_id)
            self.events.append(event)
        self.flush()
        return True

    def get(self, path, more=()):
        return self.begin("GET", path, more, True)

    def begin(self, method, path, more, end):
        stream = self.h2.get_next_available_stream_id()
        fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", "localhost"), *more]
        self.h2.send_headers(stream, fields, end_stream=end)
        self.flush()
        return stream

    def post(self, path, pieces, more=(("content-type", "application/json"),)):
        """Sends as the windows allow; stops when it is answered before its end."""
        stream = self.begin("POST", path, more, False)
        try:
            for piece in pieces:
                while piece:
                    room = min(self.h2.local_flow_control_window(stream), self.h2.max_outbound_frame_size)
                    if room == 0:
                        if not self.step() or self.is_answered(stream):
                            return stream
                        continue
                    self.h2.send_data(stream, piece[:room])
                    piece = piece[room:]
                    self.flush()
            self.h2.end_stream(stream)
        except h2.exceptions.StreamClosedError:
            return stream
        self.flush()
        return stream

    def is_answered(self, stream):
        return any(isinstance(e, h2.events.ResponseReceived) and e.stream_id == stream for e in self.events)

    def status(self, stream):
        while not self.is_answered(stream):
            assert self.step(), self.events
        return next(int(dict(e.headers)[b":status"]) for e in self.events
                    if isinstance(e, h2.events.ResponseReceived) and e.stream_id == stream)

    def data(self, stream):
        events = [e for e in self.events if isinstance(e, h2.events.DataReceived)]
        return b"".join(e.data for e in events if e.stream_id == stream)

    def body(self, stream):
        while not any(isinstance(e, h2.events.StreamEnded) and e.stream_id == stream for e in self.events):
            assert self.step(), self.events[-3:]
        return self.data(stream)

    def close(self):
        self.peer.socket.close()


def test_a_slow_live_reader_does_not_hold_its_connection(watched):
    """One stream's window stays shut; the others of its connection go on, and what it missed is there when it opens."""
    watched.create("held")
    client = Client(watched.port)
    client.held.add(client.h2.get_next_available_stream_id())
    slow = client.get("/v1/streams/held/records?from=earliest", [("accept", "text/event-stream")])
    assert client.status(slow) == 200
    value = "y" * 1000
    for _ in range(10):
        assert watched.append_lines("held", [value] * 300).status == 200
        quick = client.get("/v1/streams/held")
        assert client.status(quick) == 200 and json.loads(client.body(quick))["name"] == "held"
    # The reader got its first window and no more.
    assert len(client.data(slow)) <= 65_535
    client.held.discard(slow)
    client.h2.increment_flow_control_window(65_535, slow)
    client.flush()
    while client.data(slow).count(b"event: record") < 3000:
        assert client.step()
    client.close()


def test_appends_and_reads_share_a_connection(watched):
    watched.create("shared")
    client = Client(watched.port)
    path = "/v1/streams/shared/records"
    streams = [client.post(path, [json.dumps({"n": n}).encode()]) for n in range(200)]
    assert {client.status(stream) for stream in streams} == {200}
    body = json.loads(client.body(client.get(path + "?limit=1000")))
    assert sorted(record["value"]["n"] for record in body["records"]) == list(range(200))
    large = client.post(path, [b'"' + b"a" * 1_000_000 + b'"'])
    assert client.status(large) == 200
    client.close()


def test_a_stream_that_its_reader_resets_frees_what_it_held(watched):
    client = Client(watched.port)
    for _ in range(20):
        stream = client.get("/v1/streams/deep/records?live=sse&from=earliest")
        assert client.status(stream) == 200
        client.h2.reset_stream(stream, 8)
        client.flush()
    assert client.status(client.get("/livez")) == 200
    assert wait_until(lambda: metric(watched, "millrace_held_answer_bytes") == 0)
    client.close()
