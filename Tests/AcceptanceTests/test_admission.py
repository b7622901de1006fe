"""What a request's head alone gets refused for is refused before its body is sent; Expect: 100-continue is kept."""

import socket

import pytest


def exchange(server, head, body=b"", timeout=5):
    """Sends a head, and the body only when 100 has come. Gives what was answered first, and last."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=timeout) as peer:
        peer.sendall(head)
        first = receive(peer)
        if not first.startswith(b"HTTP/1.1 100"):
            return first, b""
        assert first.endswith(b"\r\n\r\n") and first.count(b"\r\n\r\n") == 1
        peer.sendall(body)
        return first, receive(peer)


def receive(peer):
    """One answer: a head, and a body as long as it says."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = peer.recv(65536)
        assert piece, data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    while len(body) < length:
        body += peer.recv(65536)
    return head + b"\r\n\r\n" + body


def post(path, *lines):
    head = [f"POST {path} HTTP/1.1", "Host: localhost", *lines]
    return ("\r\n".join(head) + "\r\n\r\n").encode()


def test_a_body_is_asked_for_when_it_will_be_taken(server, stream):
    head = post(
        f"/v1/streams/{stream}/records", "Content-Type: application/json", "Content-Length: 8",
        "Expect: 100-continue")
    first, last = exchange(server, head, b'{"a": 1}')
    assert first.startswith(b"HTTP/1.1 100 ")
    assert last.startswith(b"HTTP/1.1 200 ") and b'"appended":1' in last


REFUSED = {
    "a foreign origin": (
        403, "foreign_origin", ["Origin: https://evil.example", "Content-Type: application/json"]),
    "a form": (415, "unsupported_media_type", ["Content-Type: application/x-www-form-urlencoded"]),
    "a file of a form": (415, "unsupported_media_type", ["Content-Type: multipart/form-data"]),
    "a body over the limit": (413, "body_too_large", ["Content-Length: 99999999"]),
    "another expectation": (417, "unknown_expectation", ["Expect: 200-ok"]),
}


@pytest.mark.parametrize("what", REFUSED)
@pytest.mark.parametrize("expects", [True, False])
def test_a_body_is_not_waited_for(server, stream, what, expects):
    status, code, lines = REFUSED[what]
    lines = list(lines)
    if not any(line.startswith("Content-Length") for line in lines):
        lines.append("Content-Length: 1000000")
    if expects and not any(line.startswith("Expect") for line in lines):
        lines.append("Expect: 100-continue")
    first, last = exchange(server, post(f"/v1/streams/{stream}/records", *lines))
    assert first.startswith(b"HTTP/1.1 %d " % status), first
    assert f'"code":"{code}"'.encode() in first and b'"applied":"no"' in first and not last
    # What follows on this connection could be the body: it is the last answer.
    assert b"connection: close" in first.lower()
    request_id = first.lower().split(b"request-id: ")[1].split(b"\r\n")[0]
    assert b'"request_id":"' + request_id in first
    assert server.read(stream).json["records"] == []


def test_a_chunked_body_of_a_foreign_page_is_not_waited_for(server, stream):
    head = post(
        f"/v1/streams/{stream}/records", "Origin: https://evil.example",
        "Transfer-Encoding: chunked", "Content-Type: application/json")
    first, _ = exchange(server, head)
    assert first.startswith(b"HTTP/1.1 403 ")


@pytest.mark.parametrize(
    "path,status", [("/v1/nothing", 404), ("/v1/streams", 405), ("/metrics", 405)])
def test_a_long_body_to_nowhere_is_not_waited_for(server, path, status):
    first, _ = exchange(
        server, post(path, "Content-Type: application/json", "Content-Length: 1000000"))
    assert first.startswith(b"HTTP/1.1 %d " % status)
    assert (b"allow: " in first.lower()) == (status == 405)


def test_a_short_refused_body_leaves_the_connection_open(server, stream):
    head = post(
        f"/v1/streams/{stream}/records", "Origin: https://evil.example", "Content-Length: 3")
    following = f"GET /v1/streams/{stream} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    answer = server.raw(head + b"1\r\n" + following.encode())
    assert answer.count(b"HTTP/1.1 ") == 2
    assert answer.startswith(b"HTTP/1.1 403 ") and b"HTTP/1.1 200 " in answer


def test_refusals_before_the_body_are_counted(server, stream):
    def count():
        for line in server.get("/metrics").body.decode().splitlines():
            if line.startswith('millrace_http_requests_total{operation="none",status="403"}'):
                return int(line.split()[-1])
        return 0

    before = count()
    exchange(
        server, post(
            f"/v1/streams/{stream}/records", "Origin: https://evil.example", "Content-Length: 9"))
    assert count() == before + 1


def test_curl_sends_a_large_body_only_when_told_to(server, stream, tmp_path):
    import subprocess

    body = tmp_path / "body"
    body.write_bytes(b'"' + b"x" * 900_000 + b'"')
    command = [
        "curl", "-sS", "-H", "Content-Type: application/json", "-H", "Expect: 100-continue",
        "--data-binary", f"@{body}", "-w", "\n%{http_code} %{size_upload}"]
    url = f"{server.url}/v1/streams/{stream}/records"
    taken = subprocess.run([*command, url], capture_output=True, text=True, check=True)
    assert taken.stdout.splitlines()[-1] == f"200 {body.stat().st_size}"
    refused = subprocess.run(
        [*command, "-H", "Origin: https://evil.example", url], capture_output=True, text=True)
    assert refused.stdout.splitlines()[-1] == "403 0", refused
