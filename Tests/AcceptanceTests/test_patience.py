"""Peers that are slow, go away by halves, or come by the ten thousand: bounded, and others are served meanwhile."""

import json
import os
import resource
import socket
import threading
import time

import pytest

from peer import HEADERS, HTTP2Peer, Peer, metric, wait_until
from server import EventReader, Server

SHORT = ["--head-timeout", "1s", "--body-timeout", "1s", "--write-timeout", "2s", "--idle-timeout", "3s"]
HEAD = b"POST /v1/streams/slow/records HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
MIB = 1 << 20


@pytest.fixture(scope="module")
def hasty():
    """A server with short time limits, and a stream `slow` in it."""
    with Server(arguments=[*SHORT, "--loops", "2"]) as running:
        running.create("slow")
        yield running
        assert running.alive, running.log_text()


@pytest.fixture(scope="module")
def deep(hasty):
    """48 MB of records in the stream `deep`."""
    hasty.create("deep")
    line = json.dumps({"text": "x" * 8000}) + "\n"
    for _ in range(16):
        answer = hasty.request("POST", "/v1/streams/deep/records", line * 375, {"Content-Type": "application/x-ndjson"})
        assert answer.status == 200, answer
    return "/v1/streams/deep/records?limit=10000&max_bytes=16777216"


def served(server):
    """Others are served meanwhile."""
    return server.get("/v1/streams/slow", timeout=5).status == 200


def drip(peer, data, pause):
    """Sends a byte at a time until the server says something; gives the seconds that took."""
    begun = time.monotonic()
    peer.socket.settimeout(pause)
    for byte in data:
        peer.send(bytes([byte]))
        if peer.receive() or peer.ended:
            break
    peer.socket.settimeout(10)
    return time.monotonic() - begun


@pytest.mark.parametrize("sent", ["", "G", "GET /livez HTT", "GET /livez HTTP/1.1\r\nHost: loc"])
def test_a_head_that_does_not_come_is_given_up(hasty, sent):
    with Peer(hasty.port) as peer:
        peer.send(sent.encode())
        begun = time.monotonic()
        if sent:
            peer.answer().is_problem(408, "request_timeout")
        peer.end()
        assert peer.to_end() == b"" and peer.ended
        assert time.monotonic() - begun < 5


def test_a_head_that_comes_a_byte_at_a_time_is_given_up(hasty):
    with Peer(hasty.port) as peer:
        took = drip(peer, b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"a" * 200, 0.1)
        assert took < 4 and served(hasty)
        peer.answer().is_problem(408, "request_timeout")


@pytest.mark.parametrize("framing", ["Content-Length: 1000", "Transfer-Encoding: chunked"])
def test_a_body_that_does_not_come_is_given_up(hasty, framing):
    with Peer(hasty.port) as peer:
        peer.send(HEAD + framing.encode() + b"\r\n\r\n")
        if "chunked" in framing:
            peer.send(b"3e8\r\n")
        took = drip(peer, b'"' + b"a" * 200, 0.1)
        assert took < 5 and served(hasty)
        answer = peer.answer()
        answer.is_problem(408, "request_timeout")
        assert answer.headers["connection"] == "close"
    assert hasty.read("slow").json["records"] == []


def test_a_body_that_comes_slowly_but_comes_is_taken(hasty):
    hasty.create("patient")
    body = b'"' + b"a" * 400 + b'"'
    with Peer(hasty.port) as peer:
        peer.send(HEAD.replace(b"/slow/", b"/patient/") + b"Content-Length: %d\r\n\r\n" % len(body))
        for start in range(0, len(body), 20):
            peer.send(body[start:start + 20])
            time.sleep(0.1)
        assert peer.answer().status == 200
    assert len(hasty.read_all("patient")) == 1


def test_a_connection_without_requests_is_closed_and_one_with_a_live_reader_is_not(hasty):
    reader = EventReader(hasty, "/v1/streams/slow/records?from=tail")
    with Peer(hasty.port) as idle:
        idle.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.answer().status == 200
        begun = time.monotonic()
        assert idle.to_end() == b"" and idle.ended
        assert 2 < time.monotonic() - begun < 6
    time.sleep(1)
    assert hasty.append("slow", {"still": "here"}).status == 200
    assert reader.take(1)[0]["value"] == {"still": "here"}
    reader.close()


def test_a_reader_that_takes_nothing_is_let_go_and_holds_little_memory(hasty, deep):
    before = hasty.resident_bytes
    with Peer(hasty.port, receive_buffer=4096) as peer:
        peer.send(f"GET {deep} HTTP/1.1\r\nHost: localhost\r\n".encode()
                  + b"Accept: application/x-ndjson\r\n\r\n")
        assert wait_until(lambda: served(hasty) and hasty.resident_bytes < before + 64 * MIB, 2)
        time.sleep(6)
        peer.socket.settimeout(2)
        body = peer.to_end()
        # What the kernel had taken is read to its end, and that comes long before the answer's.
        assert peer.ended and len(body) < 16 * MIB


def test_a_thousand_reads_on_one_connection_that_takes_nothing_cost_one(hasty, deep):
    """Each of a read's pipelined requests would be answered with 16 MB."""
    before = hasty.resident_bytes
    with Peer(hasty.port, receive_buffer=4096) as peer:
        peer.send(f"GET {deep} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode() * 1000)
        end, most = time.monotonic() + 1.5, 0
        while time.monotonic() < end:
            most = max(most, hasty.resident_bytes)
            assert served(hasty)
        assert most < before + 200 * MIB, f"{(most - before) / MIB:.0f} MiB"


def test_answers_that_nobody_takes_stay_within_a_budget_and_the_budget_comes_back(hasty, deep):
    """120 pages of 16 MB, asked for at once: some are made, the others are told to come back."""
    peers = [Peer(hasty.port, receive_buffer=4096) for _ in range(120)]
    refused = 0
    for peer in peers:
        peer.send(f"GET {deep} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    most = held = 0

    def sample():
        nonlocal most, held, refused
        most = max(most, hasty.resident_bytes)
        held = max(held, metric(hasty, "millrace_held_answer_bytes"))
        for peer in peers:
            peer.socket.settimeout(0.001)
            peer.receive()
        refused = sum(peer.received.startswith(b"HTTP/1.1 429") for peer in peers)
        return held > 100 * MIB and refused > 10

    wait_until(sample, 20)
    for peer in peers:
        peer.socket.close()
    assert held > 100 * MIB and refused > 10, (held, refused)
    assert most < 900 * MIB, f"{most / MIB:.0f} MiB"
    assert wait_until(lambda: metric(hasty, "millrace_held_answer_bytes") == 0)
    assert hasty.get(deep).status == 200


# Half-closed connections

def test_a_client_that_ends_its_side_still_gets_its_answer(hasty):
    with Peer(hasty.port) as peer:
        peer.send(HEAD + b"Content-Length: 2\r\n\r\n{}")
        peer.end()
        assert peer.answer().status == 200
        assert peer.to_end() == b"" and peer.ended


def test_an_http2_client_that_ends_its_side_still_gets_its_answers(hasty):
    with HTTP2Peer(hasty.port) as peer:
        for stream in (1, 3, 5):
            peer.request(stream, "/v1/streams/slow")
        peer.end()
        answered = [one[2] for one in peer.frames_to_end() if one[0] == HEADERS]
        assert sorted(answered) == [1, 3, 5] and peer.ended


def test_a_client_that_ends_its_side_behind_a_long_pipeline_gets_every_answer(hasty):
    hasty.create("piped")
    post = HEAD.replace(b"/slow/", b"/piped/") + b"Content-Length: 2\r\n\r\n{}"
    get = b"GET /v1/streams/piped HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with Peer(hasty.port) as peer:
        peer.send((post + get) * 100)
        peer.end()
        for _ in range(100):
            assert peer.answer().json["appended"] == 1
            assert peer.answer().json["name"] == "piped"
        assert peer.to_end() == b"" and peer.ended
    assert len(hasty.read_all("piped")) == 100


def test_a_body_cut_off_by_its_client_changes_nothing(hasty):
    hasty.create("cut")
    with Peer(hasty.port) as peer:
        peer.send(HEAD.replace(b"/slow/", b"/cut/") + b'Content-Length: 20\r\n\r\n{"a":1}')
        peer.end()
        assert peer.to_end() == b"" and peer.ended
    assert hasty.read("cut").json["records"] == []
    assert metric(hasty, "millrace_held_body_bytes") == 0


def test_a_client_that_resets_while_it_waits_is_forgotten(hasty):
    before = metric(hasty, "millrace_connections")
    peers = [Peer(hasty.port) for _ in range(50)]
    for index, peer in enumerate(peers):
        if index % 2:
            peer.send(b"GET /v1/streams/slow/records?from=tail&wait=60s HTTP/1.1\r\nHost: localhost\r\n\r\n")
        else:
            peer.send(b"GET /v1/streams/slow/records?live=sse HTTP/1.1\r\nHost: localhost\r\n\r\n")
            peer.line()
    for peer in peers:
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.socket.close()
    assert wait_until(lambda: metric(hasty, "millrace_connections") <= before)


# Very many

def test_ten_thousand_connections_over_the_limit_are_refused_and_the_rest_is_served(fresh):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 11_000
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"this test may open {hard} files only")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    server = fresh("--connections-max", "500", "--loops", "2").start()
    server.create("calm")
    before = server.resident_bytes
    held, refused, closed = [], 0, 0
    kept = server.connection()
    assert server.get("/v1/streams/calm", connection=kept).status == 200
    try:
        for index in range(10_500):
            held.append(socket.create_connection(("127.0.0.1", server.port), timeout=10))
            if index % 1000 == 999:
                # A connection that was there before is served in the midst of it.
                assert server.get("/v1/streams/calm", connection=kept).status == 200
        for one in held[600:]:
            one.settimeout(5)
            try:
                data = one.recv(4096)
            except OSError:
                data = b""
            refused += data.startswith(b"HTTP/1.1 503") and b"too_many_connections" in data
            closed += data == b""
        most = server.resident_bytes
        assert refused + closed == len(held) - 600
        assert refused >= 100, "some are told why"
        assert most < before + 100 * MIB, f"{(most - before) / MIB:.0f} MiB"
        assert server.get("/v1/streams/calm", connection=kept).status == 200
    finally:
        for one in held:
            one.close()
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert wait_until(lambda: get_or_none(server, "/livez") == 200), "it recovers"
    assert metric(server, "millrace_connections_refused_total") >= 9000
    assert wait_until(lambda: metric(server, "millrace_connections") <= 2)


def get_or_none(server, path):
    try:
        return server.get(path).status
    except OSError:
        return None


@pytest.mark.parametrize("kind", ["heads", "bodies", "preface", "streams"])
def test_two_thousand_slow_peers_cost_little_each(fresh, kind):
    """Slow heads, slow bodies, HTTP/2 prefaces without a sequel, HTTP/2 streams without a body."""
    server = fresh("--loops", "2", "--head-timeout", "60s", "--body-timeout", "60s").start()
    server.create("slow")
    before, peers = server.resident_bytes, []
    for _ in range(2000):
        peer = HTTP2Peer(server.port) if kind in ("preface", "streams") else Peer(server.port)
        peers.append(peer)
        if kind == "heads":
            peer.send(b"GET /livez HTTP/1.1\r\nHost: localhost\r\nX: ")
        elif kind == "bodies":
            peer.send(HEAD + b"Content-Length: 4000000\r\n\r\n" + b'"aaaa')
        elif kind == "streams":
            peer.request(1, "/v1/streams/slow/records", "POST", end=False)
    assert wait_until(lambda: metric(server, "millrace_connections") >= 2000)
    assert server.append("slow", {"others": "served"}).status == 200
    each = (server.resident_bytes - before) / 2000 / 1024
    for peer in peers:
        peer.socket.close()
    assert each < 48, f"{each:.1f} KiB each"
    assert wait_until(lambda: metric(server, "millrace_connections") <= 2)


def test_twenty_thousand_short_connections_leave_nothing_behind(fresh):
    server = fresh("--loops", "2").start()
    server.create("brief")

    def visit(count):
        for index in range(count):
            with Peer(server.port) as peer:
                peer.send(b"GET /v1/streams/brief HTTP/1.1\r\nHost: localhost\r\n\r\n")
                if index % 4:
                    assert peer.answer().status == 200

    def visits(total):
        threads = [threading.Thread(target=visit, args=(total // 4,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert wait_until(lambda: metric(server, "millrace_connections") <= 1)

    visits(4000)
    files, memory = open_files(server), server.resident_bytes
    visits(16_000)
    assert open_files(server) <= files + 2
    assert server.resident_bytes < memory + 16 * MIB, f"{(server.resident_bytes - memory) / MIB:.1f} MiB"


def open_files(server):
    return len(os.listdir(f"/proc/{server.process.pid}/fd"))
