"""Ours and the peers: each started from its configuration in a directory of its own, pinned, and stopped by its pid."""
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import tempfile
import time

from harness import settings


class Server:
    """A process with a port and a directory; `with Server() as server:` starts and stops it."""

    label = ""

    def __init__(self, port: int, cores: str = settings.SERVER_CORE):
        self.port, self.cores = port, cores
        self.directory = tempfile.mkdtemp(prefix="millrace-bench-", dir=settings.DATA)
        self.process: subprocess.Popen | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        return {}

    def configuration(self, name: str, **values: str) -> str:
        """Writes bench/peers/NAME with its @VALUES@ filled in; returns the path."""
        text = (settings.BENCH / "peers" / name).read_text()
        values |= {"DIR": self.directory, "PORT": str(self.port)}
        for key, value in values.items():
            text = text.replace(f"@{key}@", value)
        path = pathlib.Path(self.directory) / name
        path.write_text(text)
        return str(path)

    def start(self) -> None:
        log = open(pathlib.Path(self.directory) / "output.log", "ab")
        self.process = subprocess.Popen(
            ["taskset", "-c", self.cores, *self.command()],
            env=os.environ | self.environment(), stdout=log, stderr=log)
        log.close()
        self.await_ready()

    def await_ready(self, seconds: float = 60) -> None:
        give_up = time.monotonic() + seconds
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                self.check_alive(give_up)
                time.sleep(0.01)

    def check_alive(self, give_up: float) -> None:
        if self.process.poll() is not None or time.monotonic() > give_up:
            output = (pathlib.Path(self.directory) / "output.log").read_text()[-2000:]
            raise RuntimeError(f"{self.label} does not start: {output}")

    def pids(self) -> str:
        """The process and its children, for the load programs to count the CPU of."""
        main = self.process.pid
        children = pathlib.Path(f"/proc/{main}/task/{main}/children").read_text().split()
        return ",".join([str(main), *children])

    def resident_bytes(self) -> int:
        pages = sum(
            int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1])
            for pid in self.pids().split(","))
        return pages * os.sysconf("SC_PAGE_SIZE")

    def cpu_seconds(self) -> float:
        ticks = 0
        for pid in self.pids().split(","):
            fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
            ticks += int(fields[11]) + int(fields[12])
        return ticks / os.sysconf("SC_CLK_TCK")

    def signal(self, number: int) -> None:
        self.process.send_signal(number)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def stop(self) -> None:
        if self.process and self.process.poll() is None:
            self.signal(signal.SIGTERM)
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_):
        self.stop()


class Millrace(Server):
    label = "millrace"

    def __init__(self, cores: str = settings.SERVER_CORE, loops: int = 1, tls: bool = False,
                 options: tuple[str, ...] = ()):
        super().__init__(settings.PORT, cores)
        self.loops, self.tls, self.options = loops, tls, options

    def command(self) -> list[str]:
        extra = []
        if self.tls:
            certificate, key = make_certificate(self.directory)
            extra = ["--tls-cert", certificate, "--tls-key", key]
        return [
            settings.MILLRACE, "serve", "--data", self.directory + "/data",
            "--listen", f"127.0.0.1:{self.port}", "--loops", str(self.loops), *extra,
            *self.options]

    def await_ready(self, seconds: float = 60) -> None:
        if self.tls:
            return super().await_ready(seconds)
        give_up = time.monotonic() + seconds
        while True:
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
                connection.request("GET", "/readyz")
                status = connection.getresponse().status
                connection.close()
                if status == 200:
                    return
            except OSError:
                pass
            self.check_alive(give_up)
            time.sleep(0.002)

    def connection(self) -> http.client.HTTPConnection:
        if self.tls:
            import ssl
            context = ssl._create_unverified_context()
            return http.client.HTTPSConnection("127.0.0.1", self.port, context=context)
        return http.client.HTTPConnection("127.0.0.1", self.port)

    def make_streams(self, count: int, shards: int = 1) -> None:
        """Streams s00000, s00001, …"""
        connection = self.connection()
        for stream in range(count):
            call(connection, "PUT", f"/v1/streams/s{stream:05}", {"shards": shards})
        connection.close()

    def call(self, method: str, path: str, body: dict | None = None) -> dict:
        connection = self.connection()
        answer = call(connection, method, path, body)
        connection.close()
        return answer


def call(connection: http.client.HTTPConnection, method: str, path: str,
         body: dict | None = None) -> dict:
    """One request of the API that has to succeed; the answer's JSON."""
    text = None if body is None else json.dumps(body)
    connection.request(method, path, text, {"Content-Type": "application/json"} if text else {})
    answer = connection.getresponse()
    content = answer.read()
    if answer.status // 100 != 2:
        raise RuntimeError(f"{method} {path}: {answer.status} {content!r}")
    return json.loads(content) if content else {}


class Nginx(Server):
    label = "nginx return"
    template = "nginx.conf"

    def __init__(self):
        super().__init__(settings.PORT + 1)
        self.http2_port, self.tls_port = settings.PORT + 2, settings.PORT + 3

    def command(self) -> list[str]:
        certificate, key = make_certificate(self.directory)
        path = self.configuration(
            self.template, PORT2=str(self.http2_port), PORT3=str(self.tls_port),
            CERT=certificate, KEY=key)
        return ["nginx", "-p", self.directory, "-c", path]

    def pids(self) -> str:
        give_up = time.monotonic() + 5
        while "," not in super().pids() and time.monotonic() < give_up:
            time.sleep(0.01)
        return super().pids()


class Nchan(Nginx):
    label = "nchan"
    template = "nchan.conf"

    def __init__(self):
        super().__init__()
        self.port = settings.PORT + 4


class Endpoint(Nginx):
    """Where webhooks go to, on the load's core."""

    label = "nginx as an endpoint"
    template = "webhook.conf"

    def __init__(self):
        super().__init__()
        self.port, self.cores = settings.PORT + 7, settings.LOAD_CORE

    def requests(self) -> int:
        """How many it has answered, those that ask for it not counted."""
        self.asked = getattr(self, "asked", 0) + 1
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        connection.request("GET", "/status")
        counts = connection.getresponse().read().decode().split("\n")[2].split()
        connection.close()
        return int(counts[2]) - self.asked


class Nats(Server):
    def __init__(self, sync: str, cores: str = settings.SERVER_CORE):
        super().__init__(settings.PORT + 5, cores)
        self.sync = sync
        self.label = f"JetStream R1 {'always' if sync == 'always' else 'default'}"

    def command(self) -> list[str]:
        return [settings.NATS, "-c", self.configuration("nats.conf", SYNC=self.sync)]

    def environment(self) -> dict[str, str]:
        return {"GOMAXPROCS": str(len(self.cores.split(",")))}

    def call(self, subject: str, body: dict | None = None) -> dict:
        """One request of the JetStream API that has to succeed; the answer's JSON."""
        return self.calls([(subject, body)])[0]

    def calls(self, requests: list[tuple[str, dict | None]]) -> list[dict]:
        """One after the other over one connection."""
        answers = []
        with socket.create_connection(("127.0.0.1", self.port), 30) as connection:
            lines = connection.makefile("rb")
            connection.sendall(b'CONNECT {"verbose":false}\r\nSUB _I 1\r\n')
            for subject, body in requests:
                text = json.dumps(body).encode() if body is not None else b""
                connection.sendall(
                    f"PUB $JS.API.{subject} _I {len(text)}\r\n".encode() + text + b"\r\n")
                line = lines.readline()
                while not line.startswith(b"MSG"):
                    if line.startswith(b"PING"):
                        connection.sendall(b"PONG\r\n")
                    line = lines.readline()
                answer = json.loads(lines.read(int(line.split()[-1]) + 2))
                if "error" in answer:
                    raise RuntimeError(f"{subject}: {answer}")
                answers.append(answer)
        return answers

    def restart(self, sync: str) -> None:
        """The same directory under another setting."""
        self.signal(signal.SIGTERM)
        self.sync = sync
        self.start()


class Redis(Server):
    label = "Redis XADD always"

    def __init__(self):
        super().__init__(settings.PORT + 6)

    def command(self) -> list[str]:
        return ["redis-server", self.configuration("redis.conf")]


def make_certificate(directory: str) -> tuple[str, str]:
    certificate, key = f"{directory}/cert.pem", f"{directory}/key.pem"
    if not os.path.exists(key):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256",
             "-nodes", "-keyout", key, "-out", certificate, "-days", "2",
             "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"],
            check=True, capture_output=True)
    return certificate, key
