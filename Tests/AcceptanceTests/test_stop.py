"""SIGTERM: what is in flight is finished, live readers hear when to come back, the process ends by itself, with 0."""

import http.client
import json
import os
import select
import signal
import socket
import subprocess
import threading
import time

import pytest

from server import EventReader

PROTOCOLS = {
    "http/1.1": ["--http1.1"], "http/2": ["--http2-prior-knowledge"],
    "tls, http/1.1": ["--http1.1"], "tls, http/2": ["--http2"]}


@pytest.fixture(scope="session")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
         "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True)
    return folder


def curl(server, path, *options, **popen):
    return subprocess.Popen(
        ["curl", "-sSN", *options, server.url + path], stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, **popen)


def wait_for(stream, wanted):
    """Reads until `wanted` has come."""
    seen = b""
    while wanted not in seen:
        assert select.select([stream], [], [], 15)[0], seen
        piece = os.read(stream.fileno(), 65536)
        assert piece, seen
        seen += piece
    return seen


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_live_reader_is_told_before_the_connection_closes(fresh, certificate, protocol):
    options, arguments = PROTOCOLS[protocol], []
    if protocol.startswith("tls"):
        arguments = [
            "--tls-cert", str(certificate / "cert.pem"), "--tls-key", str(certificate / "key.pem")]
        options = [*options, "--cacert", str(certificate / "cert.pem")]
    tls = None
    if arguments:
        import ssl

        tls = ssl.create_default_context(cafile=str(certificate / "cert.pem"))
    server = fresh(*arguments, tls=tls).start()
    server.create("s")
    server.append("s", {"n": 0})
    reader = curl(server, "/v1/streams/s/records?live=sse", *options)
    seen = wait_for(reader.stdout, b'"offset":"0"')
    started = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    rest, errors = reader.communicate(timeout=20)
    assert reader.returncode == 0, errors
    event = (seen + rest).decode().rstrip("\n").split("\n\n")[-1].split("\n")
    assert event[0] == "event: problem"
    document = json.loads(event[1].removeprefix("data: "))
    assert document["code"] == "stopping" and document["status"] == 503 and document["retryable"]
    assert event[2].startswith("retry: ") and int(event[2].removeprefix("retry: ")) >= 1000
    assert server.process.wait(20) == 0
    assert time.monotonic() - started < 10
    server.start()
    assert server.append("s", {"n": 1}).json["ranges"][0]["start"] == "1"


def test_lines_and_long_polls_end_whole(fresh):
    server = fresh().start()
    server.create("s")
    server.append("s", {"n": 0})
    lines = curl(server, "/v1/streams/s/records?live=ndjson")
    wait_for(lines.stdout, b'"offset":"0"')
    answers = []
    poll = threading.Thread(
        target=lambda: answers.append(server.read("s", 0, from_="1", wait="30s")))
    poll.start()
    wait_until(lambda: live_readers(server, "poll") == 1)
    assert server.stop() == 0
    _, errors = lines.communicate(timeout=10)
    # curl tells an answer that was broken off (18) from one that ended.
    assert lines.returncode == 0, errors
    poll.join(10)
    assert answers[0].status == 200 and answers[0].json["records"] == []
    assert answers[0].json["cursor"]


def wait_until(condition, wait=10):
    deadline = time.monotonic() + wait
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def live_readers(server, form):
    for line in server.get("/metrics").body.decode().splitlines():
        if line.startswith(f'millrace_live_readers{{form="{form}"}}'):
            return float(line.split()[-1])
    raise AssertionError("no such metric")


def test_appends_in_flight_are_answered_and_kept(fresh):
    server = fresh().start()
    server.create("s", {"shards": 4})
    stopping = threading.Event()
    kept, refused, failures = [], [], []

    def write(writer):
        try:
            connection, number = server.connection(), 0
            while True:
                try:
                    answer = server.request(
                        "POST", "/v1/streams/s/records", {"w": writer, "n": number},
                        connection=connection)
                except (OSError, http.client.HTTPException):
                    # Closed between two requests, or never opened: nothing was answered.
                    assert stopping.is_set()
                    return
                if answer.status == 503:
                    assert answer.json["code"] == "stopping" and answer.json["applied"] == "no"
                    assert answer.headers["retry-after"]
                    refused.append(number)
                    return
                assert answer.status == 200, answer
                kept.append((writer, number))
                number += 1
        except BaseException as error:
            failures.append(error)

    writers = [threading.Thread(target=write, args=(n,)) for n in range(16)]
    for writer in writers:
        writer.start()
    wait_until(lambda: len(kept) > 500)
    stopping.set()
    assert server.stop() == 0
    for writer in writers:
        writer.join(10)
    assert not failures, failures
    server.start()
    stored = [(record["value"]["w"], record["value"]["n"]) for record in server.read_all("s")]
    assert len(stored) == len(set(stored))
    assert set(kept) <= set(stored)
    # Whatever else is there was at most one request a writer whose answer could not be given.
    assert len(stored) - len(kept) <= len(writers)


def test_a_body_that_is_on_its_way_is_still_taken(fresh):
    server = fresh().start()
    server.create("s")
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as peer:
        peer.sendall(
            b"POST /v1/streams/s/records HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/json\r\nContent-Length: 9\r\n\r\n{\"n\"")
        wait_until(lambda: b"millrace_held_body_bytes 4" in server.get("/metrics").body)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: refuses_connections(server))
        peer.sendall(b': 17}')
        answer = b""
        while piece := peer.recv(65536):
            answer += piece
    head = answer.split(b"\r\n\r\n")[0].lower()
    # It came too late to be appended, and says so; nobody is left waiting.
    assert head.startswith(b"http/1.1 503") and b"connection: close" in head, answer
    assert b'"code":"stopping"' in answer and b'"applied":"no"' in answer
    assert server.process.wait(20) == 0


def refuses_connections(server):
    try:
        socket.create_connection(("127.0.0.1", server.port), timeout=1).close()
        return False
    except OSError:
        return True


def test_the_stop_is_bounded_though_a_client_never_finishes(fresh):
    server = fresh("--stop-timeout", "1s").start()
    server.create("s")
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as peer:
        peer.sendall(
            b"POST /v1/streams/s/records HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
        wait_until(lambda: b"millrace_held_body_bytes 1" in server.get("/metrics").body)
        started = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started < 6


def test_a_second_signal_ends_it_at_once(fresh):
    server = fresh("--stop-timeout", "60s").start()
    server.create("s")
    server.append("s", {"n": 0})
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as peer:
        peer.sendall(
            b"POST /v1/streams/s/records HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{")
        wait_until(lambda: b"millrace_held_body_bytes 1" in server.get("/metrics").body)
        server.process.send_signal(signal.SIGTERM)
        wait_until(lambda: refuses_connections(server))
        assert server.process.poll() is None
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(2) == 130
    server.start()
    assert len(server.read_all("s")) == 1


def test_a_hangup_does_not_end_it(fresh):
    server = fresh().start()
    server.process.send_signal(signal.SIGHUP)
    assert server.get("/readyz").status == 200
    assert server.alive


def test_a_hundred_readers_are_told(fresh):
    server = fresh().start()
    server.create("s")
    readers = [EventReader(server, "/v1/streams/s/records?from=tail") for _ in range(100)]
    for events in readers:
        assert events.next()[0] == "open"
    server.process.send_signal(signal.SIGTERM)
    for events in readers:
        name, document = events.next()
        assert name == "problem" and document["code"] == "stopping"
        assert events.next() is None
    assert server.process.wait(20) == 0
