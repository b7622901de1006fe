"""A client that keeps no rules: bytes as they are, HTTP/1 answers taken apart by hand, HTTP/2 frames made by hand."""

import json
import socket
import struct
import time

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 0x1, 0x1, 0x4


class Peer:
    """One connection. Whatever the server does to it is an answer, never an exception."""

    def __init__(self, port, timeout=10, receive_buffer=None, tls=None):
        self.socket = socket.socket()
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.settimeout(timeout)
        self.socket.connect(("127.0.0.1", port))
        if tls:
            self.socket = tls.wrap_socket(self.socket, server_hostname="localhost")
        self.received = b""
        self.ended = False

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        """Returns whether the server still took it."""
        try:
            self.socket.sendall(data)
            return True
        except (BrokenPipeError, ConnectionResetError, TimeoutError):
            return False

    def end(self):
        """Shuts the sending side down."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def receive(self):
        """More bytes into `received`; False at the end, however it came."""
        try:
            data = self.socket.recv(1 << 16)
        except (ConnectionResetError, TimeoutError) as error:
            self.ended = not isinstance(error, TimeoutError)
            return False
        self.ended = not data
        self.received += data
        return bool(data)

    def to_end(self):
        while self.receive():
            pass
        return self.received

    def take(self, count):
        while len(self.received) < count and self.receive():
            pass
        assert len(self.received) >= count, f"ended after {self.received!r}"
        taken, self.received = self.received[:count], self.received[count:]
        return taken

    def line(self):
        while b"\r\n" not in self.received and self.receive():
            pass
        line, found, self.received = self.received.partition(b"\r\n")
        assert found, f"ended after {line!r}"
        return line

    def answer(self, head=False):
        """The next HTTP/1 answer: status, headers, body."""
        status = int(self.line().split(b" ")[1])
        headers = {}
        while line := self.line():
            name, _, value = line.partition(b": ")
            headers[name.decode()] = value.decode()
        body = b""
        if head or status in (100, 204, 304):
            pass
        elif "content-length" in headers:
            body = self.take(int(headers["content-length"]))
        elif headers.get("transfer-encoding") == "chunked":
            while size := int(self.line(), 16):
                body += self.take(size)
                assert self.take(2) == b"\r\n"
            assert self.line() == b""
        else:
            body, self.received = self.to_end(), b""
        return HTTPAnswer(status, headers, body)


class HTTPAnswer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    def is_problem(self, status, code):
        document = self.json
        assert self.headers["content-type"] == "application/problem+json", self.headers
        assert (self.status, document["status"], document["code"]) == (status, status, code), self.body
        assert document["applied"] == "no" and document["request_id"] == self.headers["request-id"]
        return document


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name, value):
    """A header field, never indexed, without Huffman coding."""
    def text(data):
        data = data.encode() if isinstance(data, str) else data
        return integer(len(data)) + data

    def integer(number):
        if number < 127:
            return bytes([number])
        number -= 127
        coded = b"\x7f"
        while number >= 128:
            coded += bytes([number % 128 + 128])
            number //= 128
        return coded + bytes([number])

    return b"\x10" + text(name) + text(value)


def request_fields(path="/livez", method="GET", authority="localhost", more=()):
    fields = [(":method", method), (":scheme", "http"), (":path", path), (":authority", authority)]
    return b"".join(literal(name, value) for name, value in [*fields, *more])


class HTTP2Peer(Peer):
    """Speaks frames; `settings` are (id, value) pairs."""

    def __init__(self, port, settings=(), **options):
        super().__init__(port, **options)
        payload = b"".join(struct.pack(">HI", *setting) for setting in settings)
        self.send(PREFACE + frame(SETTINGS, payload=payload))
        self.goaway = None

    def request(self, stream, path="/livez", method="GET", end=True, more=()):
        flags = END_HEADERS | (END_STREAM if end else 0)
        return self.send(frame(HEADERS, flags, stream, request_fields(path, method, more=more)))

    def next_frame(self):
        """(type, flags, stream, payload); None at the end or after silence."""
        while len(self.received) < 9 or len(self.received) < 9 + int.from_bytes(self.received[:3], "big"):
            if not self.receive():
                return None
        length = int.from_bytes(self.received[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", self.received[3:9])
        payload, self.received = self.received[9:9 + length], self.received[9 + length:]
        if kind == GOAWAY:
            self.goaway = int.from_bytes(payload[4:8], "big")
        return kind, flags, stream, payload

    def frames_to_end(self):
        frames = []
        while one := self.next_frame():
            frames.append(one)
        return frames

    def until(self, kind, stream=None):
        """The first frame of a kind; None if the connection ends or falls silent before."""
        while one := self.next_frame():
            if one[0] == kind and stream in (None, one[2]):
                return one
        return None


def wait_until(condition, seconds=10):
    """Whether `condition()` held within the time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def metric(server, name):
    """One line of /metrics."""
    for line in server.get("/metrics").body.decode().splitlines():
        if line.startswith(name + " "):
            return float(line.split()[1])
    raise KeyError(name)
