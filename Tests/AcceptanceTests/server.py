"""A real millrace process for black-box tests: started, killed, restarted, and spoken to over sockets."""

import http.client
import json
import os
import pathlib
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("MILLRACE_BINARY", ROOT / ".build/release/millrace"))


class Answer:
    """One answer: its status, its headers in lower case, its bytes."""

    def __init__(self, status, headers, body):
        self.status = status
        self.headers = {name.lower(): value for name, value in headers}
        self.body = body

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.body[:600]!r}>"


class Server:
    """`millrace serve` on a free loopback port, over a directory that outlives it."""

    def __init__(self, directory=None, arguments=(), tls=None, environment=None):
        self._temporary = None
        if directory is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="millrace-test-")
            directory = self._temporary.name
        self.directory = pathlib.Path(directory)
        self.arguments = list(arguments)
        self.environment = environment or {}
        self.tls = tls
        self.port = free_port()
        self.process = None
        self.log = self.directory.with_name(self.directory.name + ".log")

    # Running

    def command(self):
        command = [str(BINARY), "serve", "--data", str(self.directory / "data")]
        return command + ["--listen", f"127.0.0.1:{self.port}", *self.arguments]

    def start(self, wait=30, wrap=()):
        return self._start("/readyz", wait, wrap)

    def start_unready(self, wait=30):
        """Waits until it runs, whether it can take appends or not."""
        return self._start("/livez", wait)

    def _start(self, path, wait, wrap=()):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [*wrap, *self.command()], stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env={**os.environ, **self.environment})
        deadline = time.monotonic() + wait
        while True:
            if self.process.poll() is not None:
                raise RuntimeError(f"it ended with {self.process.returncode}:\n{self.log_text()}")
            try:
                if self.request("GET", path, timeout=5).status == 200:
                    return self
            except OSError:
                pass
            if time.monotonic() > deadline:
                self.kill()
                raise RuntimeError(f"not ready after {wait} s:\n{self.log_text()}")
            time.sleep(0.01)

    def kill(self):
        """kill -9, and wait until it is gone."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        if self.process:
            self.process.wait()

    def stop(self, wait=30):
        """SIGTERM; gives the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        return self.process.wait(wait)

    def close(self):
        self.kill()
        if self._temporary:
            self._temporary.cleanup()
        self.log.unlink(missing_ok=True)

    def __enter__(self):
        return self.start()

    def __exit__(self, *_):
        self.close()

    def log_text(self):
        return self.log.read_text(errors="replace")[-4000:] if self.log.exists() else ""

    @property
    def alive(self):
        return self.process is not None and self.process.poll() is None

    @property
    def resident_bytes(self):
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no VmRSS")

    # Speaking

    @property
    def url(self):
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    def connection(self, timeout=30):
        if self.tls:
            return http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=timeout, context=self.tls)
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def request(self, method, path, body=None, headers=None, timeout=30, connection=None):
        """One request; a dict or list becomes a JSON body."""
        headers = dict(headers or {})
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
            headers.setdefault("Content-Type", "application/json")
        if isinstance(body, str):
            body = body.encode()
        own = connection is None
        connection = connection or self.connection(timeout)
        try:
            connection.request(method, path, body=body, headers=headers)
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())
        finally:
            if own:
                connection.close()

    def get(self, path, **options):
        return self.request("GET", path, **options)

    def create(self, stream, fields=None):
        answer = self.request("PUT", f"/v1/streams/{stream}", fields if fields is not None else {})
        assert answer.status in (200, 201), answer
        return answer.json

    def append(self, stream, value, headers=None, shard=None, raw=False, query=""):
        where = f"/shards/{shard}" if shard is not None else ""
        body = value if raw else json.dumps(value)
        return self.request(
            "POST", f"/v1/streams/{stream}{where}/records{query}", body,
            {"Content-Type": "application/json", **(headers or {})})

    def append_lines(self, stream, values, headers=None, shard=None):
        lines = "".join(json.dumps(value) + "\n" for value in values)
        return self.append(
            stream, lines, {"Content-Type": "application/x-ndjson", **(headers or {})}, shard, raw=True)

    def read(self, stream, shard=None, **parameters):
        where = f"/shards/{shard}" if shard is not None else ""
        if "from_" in parameters:
            parameters["from"] = parameters.pop("from_")
        query = urllib.parse.urlencode(parameters)
        return self.get(f"/v1/streams/{stream}{where}/records" + (f"?{query}" if query else ""))

    def read_all(self, stream, shard=None):
        """Every record from the earliest on, page after page."""
        records, answer = [], self.read(stream, shard)
        while True:
            assert answer.status == 200, answer
            records += answer.json["records"]
            if answer.json["up_to_date"]:
                return records
            answer = self.read(stream, shard, cursor=answer.json["cursor"])

    def raw(self, data, timeout=10, shut=False):
        """Sends bytes as they are; gives everything that comes back until the server closes or falls silent."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout) as peer:
            try:
                peer.sendall(data)
                if shut:
                    peer.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                pass
            received = b""
            try:
                while chunk := peer.recv(65536):
                    received += chunk
            except (TimeoutError, ConnectionResetError):
                pass
            return received


class EventReader:
    """Reads server-sent events from a socket the way the HTML standard says, a field at a time."""

    def __init__(self, server, path, headers=None, timeout=20):
        self.connection = server.connection(timeout)
        self.connection.request("GET", path, headers={"Accept": "text/event-stream", **(headers or {})})
        self.response = self.connection.getresponse()
        self.status = self.response.status
        self.headers = {name.lower(): value for name, value in self.response.getheaders()}
        self.comments = 0
        self.last_id = None

    def next(self):
        """The next event as (name, parsed data); None at the end of the stream."""
        name, data = "message", []
        while True:
            line = self.response.readline()
            if not line:
                return None
            assert not line.endswith(b"\r\n"), "LF only"
            line = line.rstrip(b"\n").decode()
            if line == "":
                if data:
                    return name, json.loads("\n".join(data))
                name, data = "message", []
            elif line.startswith(":"):
                self.comments += 1
            else:
                field, _, value = line.partition(":")
                value = value.removeprefix(" ")
                if field == "event":
                    name = value
                elif field == "data":
                    data.append(value)
                elif field == "id":
                    self.last_id = value

    def take(self, wanted, name="record"):
        """The next `wanted` events of this name; events of other names are passed over, `problem` excepted."""
        found = []
        while len(found) < wanted:
            event = self.next()
            assert event is not None, f"it ended after {len(found)} of {wanted}"
            assert event[0] != "problem" or name == "problem", event
            if event[0] == name:
                found.append(event[1])
        return found

    def close(self):
        # The response holds the socket: without this the server would never see the reader go.
        self.response.close()
        self.connection.close()


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
