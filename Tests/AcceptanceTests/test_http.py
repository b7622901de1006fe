"""HTTP/1.1, HTTP/1.0 and HTTP/2 as curl and plain sockets see them: order, framing, continuation, compression."""

import gzip
import json
import subprocess

import pytest

from peer import DATA, HTTP2Peer, Peer, RST_STREAM

HOST = b"Host: localhost\r\n"


def curl(*arguments, stdin=b""):
    """Standard output, and what `-w` says after the last line break."""
    ran = subprocess.run(["curl", "-sS", "--max-time", "20", *arguments], input=stdin, capture_output=True)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


VERSIONS = {"--http1.1": "1.1", "--http1.0": "1.1", "--http2-prior-knowledge": "2"}


@pytest.mark.parametrize("flag", VERSIONS)
def test_curl_appends_and_reads(server, stream, flag):
    url = f"{server.url}/v1/streams/{stream}/records"
    said = curl(flag, "--json", '{"n":1}', url, "-w", "\n%{http_code} %{http_version}").split(b"\n")
    assert json.loads(said[0])["appended"] == 1 and said[1].decode() == f"200 {VERSIONS[flag]}"
    assert json.loads(curl(flag, url))["records"][0]["value"] == {"n": 1}
    assert curl(flag, "-H", "Accept: application/x-ndjson", url).count(b"\n") == 1


@pytest.mark.parametrize("flag", ["--http1.1", "--http2-prior-knowledge"])
def test_curl_uploads_from_a_pipe(server, stream, flag):
    """`-T -`: no length, chunks on HTTP/1.1, and `Expect: 100-continue`."""
    lines = b"".join(b'{"n":%d,"text":"%s"}\n' % (n, b"x" * 200) for n in range(5000))
    url = f"{server.url}/v1/streams/{stream}/records"
    said = curl(flag, "-X", "POST", "-T", "-", "-H", "Content-Type: application/x-ndjson", url, stdin=lines)
    assert json.loads(said)["appended"] == 5000
    assert [record["value"]["n"] for record in server.read_all(stream)] == list(range(5000))


@pytest.mark.parametrize("flag", ["--http1.1", "--http2-prior-knowledge"])
def test_curl_shows_why_its_body_is_too_large(server, stream, flag):
    said = curl(flag, "-H", "Content-Type: application/json", "--data-binary", "@-",
                f"{server.url}/v1/streams/{stream}/records", stdin=b'"' + b"a" * (5 << 20) + b'"')
    assert json.loads(said)["code"] == "body_too_large"


def test_http2_drops_the_rest_of_a_refused_body_for_a_while(server, stream):
    with HTTP2Peer(server.port, timeout=15) as peer:
        peer.request(1, f"/v1/streams/{stream}/records", "POST", end=False, more=[("content-length", "5000000")])
        assert json.loads(peer.until(DATA, 1)[3])["code"] == "body_too_large"
        kind, _, _, code = peer.until(RST_STREAM, 1)
        assert int.from_bytes(code, "big") == 0


def test_curl_keeps_its_connection(server, stream):
    # Over HTTP/1.1: Debian 12's curl cannot use an HTTP/2 connection with prior knowledge again (curl issue 10634).
    url = f"{server.url}/v1/streams/{stream}"
    assert curl("-o", "/dev/null", "-o", "/dev/null", "-w", "%{num_connects}", url, url) == b"10"


@pytest.mark.parametrize("flag", ["--http1.1", "--http2-prior-knowledge"])
def test_curl_sees_the_head_alone(server, stream, flag):
    url = f"{server.url}/v1/streams/{stream}"
    length = len(curl(flag, url))
    assert f"content-length: {length}\r\n".encode() in curl(flag, "-I", url)


def test_gzip_is_inflated_and_its_inflated_size_is_limited(server, stream):
    url = f"/v1/streams/{stream}/records"
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    assert server.request("POST", url, gzip.compress(b'{"a":1}'), headers).status == 200
    for body, status, code in [
        (gzip.compress(b'"' + b"a" * (64 << 20) + b'"'), 413, "body_too_large"), (b"no gzip", 400, "bad_encoding"),
        (gzip.compress(b'{"a":1}')[:-3], 400, "bad_encoding"),
    ]:
        answer = server.request("POST", url, body, headers)
        assert (answer.status, answer.json["code"]) == (status, code)
    assert len(server.read_all(stream)) == 1


def test_pipelined_requests_are_answered_in_their_order(server, stream):
    """Some answer at once, some after a sync, some after a wait."""
    path = f"/v1/streams/{stream}".encode()
    post = (b"POST " + path + b"/records HTTP/1.1\r\n" + HOST
            + b"Content-Type: application/json\r\nContent-Length: 1\r\n\r\n")
    wait = b"GET " + path + b"/records?from=tail&wait=100ms HTTP/1.1\r\n" + HOST + b"\r\n"
    quick = b"GET /v1/streams/none-%d HTTP/1.1\r\n" + HOST + b"\r\n"
    with Peer(server.port) as peer:
        peer.send(b"".join(post + b"%d" % n + quick % n + (wait if n == 3 else b"") for n in range(8)))
        for n in range(8):
            assert peer.answer().json["ranges"][0]["start"] == str(n)
            assert f"none-{n}" in peer.answer().body.decode()
            if n == 3:
                assert peer.answer().json["records"] == []
    assert [record["value"] for record in server.read_all(stream)] == list(range(8))


def test_head_is_get_without_its_body(server, stream):
    server.append(stream, {"a": 1})
    for path in (f"/v1/streams/{stream}", f"/v1/streams/{stream}/records", "/metrics", "/openapi.yaml", "/livez"):
        with Peer(server.port) as peer:
            rest = f" {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"
            peer.send(f"HEAD{rest}GET{rest}".encode())
            head, get = peer.answer(head=True), peer.answer()
            assert head.status == get.status == 200
            assert head.headers.get("content-type") == get.headers.get("content-type")
            if path != "/metrics":
                assert head.headers.get("content-length") == get.headers.get("content-length")


@pytest.mark.parametrize("query", ["live=sse", "live=ndjson", "from=earliest"])
@pytest.mark.parametrize("flag", ["--http1.1", "--http2-prior-knowledge"])
def test_head_of_a_streamed_answer_says_no_length(server, stream, flag, query):
    server.append(stream, {"a": 1})
    accept = () if "live" in query else ("-H", "Accept: application/x-ndjson")
    head = curl(flag, "-I", *accept, f"{server.url}/v1/streams/{stream}/records?{query}")
    assert head.split(b" ")[1] == b"200" and b"content-length" not in head, head


def test_chunks_with_trailers_make_one_body(server, stream):
    with Peer(server.port) as peer:
        peer.send(f"POST /v1/streams/{stream}/records HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                  "Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n".encode())
        for byte in b'{"text":"one byte a chunk"}':
            peer.send(b"1\r\n%c\r\n" % byte)
        peer.send(b"0\r\nX-Sum: 1\r\nContent-Length: 99\r\n\r\n")
        assert peer.answer().json["appended"] == 1
        # Nothing of the trailers is taken for a header or a request.
        peer.send(b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n")
        assert peer.answer().status == 200
    assert server.read_all(stream)[0]["value"] == {"text": "one byte a chunk"}


def test_a_body_is_asked_for_when_the_client_waits_to_be(server, stream):
    head = (f"POST /v1/streams/{stream}/records HTTP/1.1\r\n"
            "Host: localhost\r\nContent-Type: application/json\r\n").encode()
    with Peer(server.port) as peer:
        peer.send(head + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n")
        assert peer.answer().status == 100
        peer.send(b"[]")
        assert peer.answer().status == 200
        # Sent along with its head, it need not be asked for.
        peer.send(head + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\n[]")
        assert peer.answer().status == 200
        # Too large: refused instead of asked for.
        peer.send(head + b"Expect: 100-continue\r\nContent-Length: 5000000\r\n\r\n")
        peer.answer().is_problem(413, "body_too_large")


def test_http10_gets_lengths_or_the_end_of_the_connection(server, stream):
    server.append(stream, {"a": 1})
    for path in (f"/v1/streams/{stream}/records", f"/v1/streams/{stream}/records?max_bytes=16000000&limit=10000"):
        with Peer(server.port) as peer:
            peer.send(f"GET {path} HTTP/1.0\r\nHost: localhost\r\nAccept: application/x-ndjson\r\n\r\n".encode())
            answer = peer.answer()
            assert answer.status == 200 and answer.headers["connection"] == "close"
            assert "transfer-encoding" not in answer.headers
            assert answer.body.count(b"\n") == 1
            assert peer.to_end() == b"" and peer.ended
    with Peer(server.port) as peer:
        for _ in range(2):
            peer.send(b"GET /livez HTTP/1.0\r\n" + HOST + b"Connection: keep-alive\r\n\r\n")
            assert peer.answer().headers["connection"] == "keep-alive"


def test_connection_close_is_obeyed_and_nothing_behind_it_is_done(server, stream):
    post = (f"POST /v1/streams/{stream}/records HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            "Content-Length: 1\r\n").encode()
    with Peer(server.port) as peer:
        peer.send(post + b"Connection: keep-alive, CLOSE\r\n\r\n1" + post + b"\r\n2")
        answer = peer.answer()
        assert answer.status == 200 and answer.headers["connection"] == "close"
        peer.end()
        assert peer.to_end() == b"" and peer.ended
    assert [record["value"] for record in server.read_all(stream)] == [1]


def test_every_answer_has_its_own_name_and_a_date(server):
    with Peer(server.port) as peer:
        peer.send((b"GET /livez HTTP/1.1\r\n" + HOST + b"\r\n") * 3)
        answers = [peer.answer() for _ in range(3)]
        assert len({answer.headers["request-id"] for answer in answers}) == 3
        assert all(answer.headers["date"].endswith(" GMT") for answer in answers)
        peer.send(b"GET /livez HTTP/1.1\r\n" + HOST + b"Request-Id: my-own.1\r\n\r\n")
        assert peer.answer().headers["request-id"] == "my-own.1"
