"""Messages that two servers might read differently: a problem document, the end, and nothing smuggled."""

import pytest

from peer import Peer

SMUGGLED = b"PUT /v1/streams/smuggled HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\n\r\n{}"


def post(lines, body=b"", path="/v1/streams/none/records"):
    lines = lines.encode("latin-1") if isinstance(lines, str) else lines
    return b"POST " + path.encode() + b" HTTP/1.1\r\nHost: localhost\r\n" + lines + b"\r\n\r\n" + body


def chunked(body):
    return post("Transfer-Encoding: chunked", body)


def get(lines=b"", target=b"/livez", version=b"HTTP/1.1"):
    return b"GET " + target + b" " + version + b"\r\n" + lines + b"\r\n"


HOST = b"Host: localhost\r\n"
# What is sent, and what it is answered with; a 400 is `malformed_request` unless named.
MALFORMED = {
    "both lengths": post("Content-Length: 4\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"),
    "both lengths, the other way round": post("Transfer-Encoding: chunked\r\nContent-Length: 4", b"0\r\n\r\n"),
    "two lengths that agree": post("Content-Length: 0\r\nContent-Length: 0"),
    "two lengths that differ": post("Content-Length: 0\r\nContent-Length: 90"),
    "a list of lengths": post("Content-Length: 0, 0"),
    "a signed length": post("Content-Length: +0"),
    "a negative length": post("Content-Length: -1"),
    "a hexadecimal length": post("Content-Length: 0x0"),
    "a length beyond 64 bits": post("Content-Length: 18446744073709551616"),
    "an empty length": post("Content-Length: "),
    "a blank before the colon": post("Content-Length : 90"),
    "a tab before the colon": post("Content-Length\t: 90"),
    "an unknown coding alone": post("Transfer-Encoding: xchunked"),
    "identity": post("Transfer-Encoding: identity"),
    "chunked not last": post("Transfer-Encoding: chunked, identity", b"0\r\n\r\n"),
    "chunked twice": post("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"),
    "chunked in quotes": post('Transfer-Encoding: "chunked"', b"0\r\n\r\n"),
    "chunked behind a vertical tab": post("Transfer-Encoding:\x0bchunked", b"0\r\n\r\n"),
    "a folded coding": post("Transfer-Encoding:\r\n chunked", b"0\r\n\r\n"),
    "a coding in HTTP/1.0": post("Transfer-Encoding: chunked", b"0\r\n\r\n").replace(b"/1.1", b"/1.0", 1),
    "a chunk size with a sign": chunked(b"+0\r\n\r\n"),
    "a chunk size in 0x": chunked(b"0x0\r\n\r\n"),
    "a chunk size beyond 32 bits": chunked(b"100000000\r\n"),
    "a chunk size that wraps round": chunked(b"FFFFFFFFFFFFFFFF0\r\n"),
    "no chunk size": chunked(b"\r\n\r\n"),
    "a blank before a chunk size": chunked(b" 0\r\n\r\n"),
    "a blank behind a chunk size": chunked(b"0 \r\n\r\n"),
    "a chunk size that ends in LF": chunked(b"0\n\r\n"),
    "an extension that holds LF": chunked(b"0;a\n\r\n"),
    "an extension that holds CR": chunked(b"0;a\rb\r\n\r\n"),
    "an extension of 4 KiB": chunked(b"0;" + b"a" * 4096 + b"\r\n\r\n"),
    "extensions without end": chunked(b"".join(b"1;" + b"e" * 400 + b"\r\na\r\n" for _ in range(60))),
    "a chunk longer than its size": chunked(b"1\r\nab\r\n0\r\n\r\n"),
    "a chunk that ends in LF": chunked(b"1\r\na\n0\r\n\r\n"),
    "a trailer that ends in LF": chunked(b"0\r\nA: b\n\r\n"),
    "a folded trailer": chunked(b"0\r\nA: b\r\n c\r\n\r\n"),
    "a folded header": get(HOST + b"X: a\r\n b\r\n"),
    "a fold before the first header": get(b" " + HOST),
    "a request line that ends in LF": b"GET /livez HTTP/1.1\n" + HOST + b"\r\n",
    "a header that ends in LF": get(b"Host: localhost\n"),
    "a head that ends in LF": get(HOST)[:-2] + b"\n",
    "a bare CR in a value": get(HOST + b"X: a\rContent-Length: 90\r\n"),
    "NUL in a value": get(HOST + b"X: a\0b\r\n"),
    "NUL in a name": get(HOST + b"X\0: a\r\n"),
    "NUL in the target": get(HOST, b"/livez\0"),
    "a value that is not UTF-8": get(HOST + b"X: \xff\xfe\r\n"),
    "overlong UTF-8 in a value": get(HOST + b"X: \xc0\xaf\r\n"),
    "a name that is empty": get(HOST + b": a\r\n"),
    "a line without a colon": get(HOST + b"X\r\n"),
    "no host": get(),
    "two hosts": get(HOST + b"Host: example.org\r\n"),
    "the same host twice": get(HOST + HOST),
    "an empty host": get(b"Host:\r\n"),
    "a host with a path": get(b"Host: localhost/x\r\n"),
    "a host with a user": get(b"Host: a@localhost\r\n"),
    "a list of hosts": get(b"Host: localhost, example.org\r\n"),
    "a target for another host": get(HOST, b"http://example.org/livez"),
    "an absolute target without host": get(b"", b"http://localhost/livez"),
    "an absolute target of another scheme": get(HOST, b"ftp://localhost/livez"),
    "two blanks before the version": get(HOST, b"/livez "),
    "a tab behind the method": b"GET\t/livez HTTP/1.1\r\n" + HOST + b"\r\n",
    "a fragment in the target": get(HOST, b"/livez#x"),
    "a target that is not ASCII": get(HOST, b"/\xc3\xa9"),
    "a target without a slash": get(HOST, b"livez"),
    "a version with two digits": get(HOST, version=b"HTTP/1.10"),
    "a version in lower case": get(HOST, version=b"http/1.1"),
    "no version": b"GET /livez\r\n\r\n",
    "three empty lines first": b"\r\n\r\n\r\n" + get(HOST),
    "a TLS hello in clear": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n",
}
OTHERS = {
    "gzip, chunked": (post("Transfer-Encoding: gzip, chunked", b"0\r\n\r\n"), 501, "unsupported_transfer_coding"),
    "CONNECT": (b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n", 501, "unsupported_method"),
    "HTTP/2 in text": (get(HOST, version=b"HTTP/2.0"), 505, "unsupported_http_version"),
    "HTTP/0.9 in text": (get(HOST, version=b"HTTP/0.9"), 505, "unsupported_http_version"),
    "an unknown expectation": (post("Expect: a-pony\r\nContent-Length: 2"), 417, "unknown_expectation"),
    "a request line of 9 KB": (get(HOST, b"/" + b"a" * 9000), 414, "uri_too_long"),
    "a header of 40 KB": (get(HOST + b"X: " + b"a" * 40_000 + b"\r\n"), 431, "headers_too_large"),
    "a header of 40 KB that never ends": (get(HOST)[:-2] + b"X: " + b"a" * 40_000, 431, "headers_too_large"),
    "200 headers": (get(HOST + b"X: a\r\n" * 200), 431, "headers_too_large"),
    "trailers of 40 KB": (chunked(b"0\r\n" + b"X: " + b"a" * 40_000), 431, "headers_too_large"),
    "a body of 5 MB by its length": (post("Content-Length: 5000000"), 413, "body_too_large"),
    "a length of 10^17": (post("Content-Length: 100000000000000000"), 413, "body_too_large"),
    "a chunk of 5 MB": (chunked(b"4C4B40\r\n"), 413, "body_too_large"),
    "chunks of 5 MB together": (chunked(b"100000\r\n" + b"a" * 0x100000 + b"\r\n100000\r\n" + b"a" * 0x100000
                                        + b"\r\n100000\r\n" + b"a" * 0x100000 + b"\r\n100000\r\n"
                                        + b"a" * 0x100000 + b"\r\n1\r\na"), 413, "body_too_large"),
}
CASES = {**{name: (sent, 400, "malformed_request") for name, sent in MALFORMED.items()}, **OTHERS}


@pytest.mark.parametrize("name", CASES)
def test_a_message_that_could_be_read_twice_is_refused_and_what_follows_is_not_read(server, name):
    sent, status, code = CASES[name]
    with Peer(server.port) as peer:
        peer.send(sent + SMUGGLED)
        answer = peer.answer()
        answer.is_problem(status, code)
        assert answer.headers["connection"] == "close"
        peer.end()
        assert peer.to_end() == b"" and peer.ended
    assert server.get("/v1/streams/smuggled").status == 404


@pytest.mark.parametrize("name", ["both lengths", "a chunk longer than its size", "a header that ends in LF"])
def test_a_refusal_does_not_depend_on_how_the_bytes_come(server, name):
    with Peer(server.port) as peer:
        for byte in MALFORMED[name]:
            peer.send(bytes([byte]))
        peer.send(SMUGGLED)
        peer.answer().is_problem(400, "malformed_request")
        peer.end()
        assert peer.to_end() == b""
    assert server.get("/v1/streams/smuggled").status == 404


def test_good_requests_before_a_bad_one_are_answered_in_their_order(server):
    with Peer(server.port) as peer:
        peer.send(get(HOST) + get(HOST, b"/nowhere") + get() + SMUGGLED)
        assert peer.answer().status == 200
        peer.answer().is_problem(404, "not_found")
        peer.answer().is_problem(400, "malformed_request")
        peer.end()
        assert peer.to_end() == b""


def test_what_is_lawful_though_odd_is_taken(server, stream):
    path = f"/v1/streams/{stream}/records".encode()
    body = b'3;x="y"\r\n{"a\r\n00000004\r\n":1}\r\n0;z\r\nX-Sum: 1\r\n\r\n'
    with Peer(server.port) as peer:
        # Extensions, leading zeros, trailers, an absolute target, an empty line first, a blank value, a late HTTP/1.x.
        peer.send(b"\r\nPOST http://localhost" + path + b" HTTP/1.1\r\nhOST:localhost\r\nX-Blank:\r\n"
                  b"Content-Type:\t application/json \t\r\nTransfer-Encoding: CHUNKED\r\n\r\n" + body)
        assert peer.answer().json["appended"] == 1
        peer.send(get(HOST, version=b"HTTP/1.9"))
        assert peer.answer().status == 200
        peer.send(b"OPTIONS * HTTP/1.1\r\n" + HOST + b"\r\n")
        assert peer.answer().status in (200, 204)
    assert [record["value"] for record in server.read_all(stream)] == [{"a": 1}]


NAMES = {
    "dots": "..", "dots and slashes": "..%2f..%2fetc%2fpasswd", "a plain path": "../../etc/passwd",
    "NUL": "a%00b", "a line break": "a%0d%0aX:y", "a blank": "a%20b", "overlong UTF-8": "%c0%ae%c0%ae",
    "UTF-8": "%c3%a9", "a broken escape": "a%2", "an escape of nothing": "a%zz", "a hidden name": ".hidden",
    "an inner name": "_system", "256 letters": "a" * 256, "a backslash": "..%5c..%5cx", "a tilde first": "~root",
    "encoded twice": "%252e%252e%252f",
}


@pytest.mark.parametrize("case", NAMES)
def test_a_name_that_could_be_a_path_is_refused(server, case):
    with Peer(server.port) as peer:
        peer.send(f"PUT /v1/streams/{NAMES[case]} HTTP/1.1\r\nHost: localhost\r\n".encode()
                  + b"Content-Length: 2\r\n\r\n{}")
        answer = peer.answer()
        assert answer.status in (400, 404), answer.body
        answer.is_problem(answer.status, answer.json["code"])
        assert answer.json["code"] in ("bad_name", "not_found", "malformed_request"), answer.body
    made = [path.name for path in (server.directory / "data").rglob("*")]
    assert "passwd" not in made and ".hidden" not in made
