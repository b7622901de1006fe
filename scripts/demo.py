#!/usr/bin/env python3
"""The demo: this Debian machine's package index, tens of thousands of records, streamed in and tailed at the same time.

It starts a server of its own, appends the index as NDJSON, follows the stream by server-sent events with curl while it
is being written, reads it once more as a whole, and proves that what came back is what was sent: in order, by count and
by SHA-256. Nothing but Python's standard library and curl.
"""
import argparse
import hashlib
import http.client
import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
STREAM = "debian-packages"
BATCH_BYTES = 512 << 10
BATCH_RECORDS = 2_000
NUMBERS = {"Size", "Installed-Size"}
LISTS = {"Depends", "Pre-Depends", "Recommends", "Suggests", "Tag"}


def say(text=""):
    print(text, flush=True)


def package_index():
    """The index as text, and a notice if it is not the whole one."""
    if shutil.which("apt-cache"):
        text = subprocess.run(["apt-cache", "dumpavail"], capture_output=True).stdout
        if text.count(b"\nPackage:") > 10_000:
            return text.decode("utf-8", "replace"), None
    status = pathlib.Path("/var/lib/dpkg/status")
    if not status.exists():
        sys.exit("demo: this is no Debian machine: there is neither a package index nor /var/lib/dpkg/status")
    return status.read_text("utf-8", "replace"), (
        "The package index is not on this machine, so only the installed packages are streamed.\n"
        "For the whole index (60,000 records) run: sudo apt-get update")


def paragraphs(text):
    """Each package as a JSON object, by deb822's rules."""
    for paragraph in text.split("\n\n"):
        package, name = {}, None
        for line in paragraph.split("\n"):
            if line[:1] in (" ", "\t") and name:
                package[name] += "\n" + line[1:]
            elif ":" in line:
                name, _, value = line.partition(":")
                package[name] = value.strip()
        if "Package" not in package:
            continue
        for name, value in package.items():
            if name in NUMBERS:
                package[name] = int(value)
            elif name in LISTS:
                package[name] = [item.strip() for item in value.split(",")]
        yield package


def batches(records):
    batch, size = [], 0
    for record in records:
        if batch and (size + len(record) > BATCH_BYTES or len(batch) == BATCH_RECORDS):
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += len(record) + 1
    if batch:
        yield batch


class Digest:
    """Counts values and hashes them in the order in which they come."""

    def __init__(self):
        self.count, self.bytes, self.hash = 0, 0, hashlib.sha256()

    def add(self, value):
        self.hash.update(value + b"\n")
        self.count += 1
        self.bytes += len(value)

    def same(self, other):
        return self.count == other.count and self.hash.digest() == other.hash.digest()

    def __str__(self):
        return f"{self.count:>7,} records  {self.bytes / 1e6:7.1f} MB  sha256 {self.hash.hexdigest()}"


class Server:
    def __init__(self, binary, port):
        self.data = tempfile.mkdtemp(prefix="millrace-demo-")
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process = subprocess.Popen(
            [binary, "serve", "--data", self.data, "--listen", f"127.0.0.1:{self.port}",
             "--log-level", "warning"])

    def wait_until_ready(self):
        for _ in range(200):
            if self.process.poll() is not None:
                sys.exit("demo: the server did not start; what it said stands above")
            try:
                if self.call("GET", "/readyz")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        sys.exit("demo: the server was not ready within 10 seconds")

    def call(self, method, path, body=None, headers={}, connection=None):
        """An answer's status and body; over `connection` if there is one."""
        own = connection or http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        own.request(method, path, body, headers)
        answer = own.getresponse()
        text = answer.read()
        if connection is None:
            own.close()
        return answer.status, text

    def stop(self):
        """Asks the server to stop, and gives its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()
        finally:
            shutil.rmtree(self.data, ignore_errors=True)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Tail(threading.Thread):
    """curl, following the stream by server-sent events while it is being written."""

    def __init__(self, url):
        super().__init__(daemon=True)
        self.digest, self.offset, self.ended, self.fault = Digest(), 0, False, None
        self.curl = subprocess.Popen(
            ["curl", "-sSN", "-H", "Accept: text/event-stream", url], stdout=subprocess.PIPE)

    def run(self):
        event = None
        for line in self.curl.stdout:
            line = line.rstrip(b"\n")
            if line.startswith(b"event: "):
                event = line[7:]
            elif line.startswith(b"data: ") and event == b"record":
                self.take(line[6:])
            elif line.startswith(b"data: ") and event in (b"problem", b"gap"):
                self.fault = self.fault or line.decode()
            elif event == b"end":
                self.ended = True
        self.curl.wait()

    def take(self, data):
        envelope = json.loads(data)
        if envelope["offset"] != str(self.offset):
            self.fault = self.fault or f"offset {envelope['offset']} came where {self.offset} was due"
        self.offset += 1
        # The value as it stands in the event, not as a parser would write it again.
        self.digest.add(data[data.index(b'"value":') + 8:-1])


def append_all(server, records, tail, sent):
    """Appends every record, batch by batch, each once whatever happens to its answer."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    started = shown = time.monotonic()
    for sequence, batch in enumerate(batches(records)):
        headers = {
            "Content-Type": "application/x-ndjson",
            "Producer-Id": "demo", "Producer-Epoch": "1", "Producer-Seq": str(sequence),
        }
        body = b"".join(record + b"\n" for record in batch)
        status, answer = server.call(
            "POST", f"/v1/streams/{STREAM}/records?key_pointer=/Package", body, headers, connection)
        if status != 200 or json.loads(answer)["appended"] != len(batch):
            sys.exit(f"demo: an append was answered {status}: {answer.decode()}")
        for record in batch:
            sent.add(record)
        now = time.monotonic()
        if now - shown > 0.1 or sent.count == len(records):
            shown = now
            progress(sent, len(records), tail, now - started)
    connection.close()
    return time.monotonic() - started


def progress(sent, total, tail, seconds):
    if not sys.stdout.isatty():
        return
    bar = "#" * (30 * sent.count // total)
    rate = sent.count / max(seconds, 1e-6)
    sys.stdout.write(
        f"\r  [{bar:<30}] {sent.count:>7,} of {total:,} durable   {rate:>9,.0f}/s"
        f"   tail has {tail.digest.count:>7,} ")
    sys.stdout.flush()


def read_all(server, total):
    """The whole stream once more, as NDJSON by pages, the cursor leading from one to the next."""
    digest, place = Digest(), "from=earliest"
    while digest.count < total:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
        connection.request(
            "GET", f"/v1/streams/{STREAM}/records?limit=10000&max_bytes=16777216&{place}",
            headers={"Accept": "application/x-ndjson"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            sys.exit(f"demo: a read was answered {answer.status}: {text.decode()}")
        lines = text.split(b"\n")[:-1]
        if not lines:
            break
        for line in lines:
            digest.add(line[line.index(b'"value":') + 8:-1])
        place = "cursor=" + answer.getheader("Millrace-Cursor")
        connection.close()
    return digest


def run(arguments):
    text, notice = package_index()
    if notice:
        say(notice)
    records = [
        json.dumps(package, ensure_ascii=False, separators=(",", ":")).encode()
        for package in paragraphs(text)
    ]
    say(f"{len(records):,} packages, {sum(map(len, records)) / 1e6:.1f} MB as NDJSON, from this machine's index")

    server = Server(arguments.binary, arguments.port)
    try:
        server.wait_until_ready()
        server.call("PUT", f"/v1/streams/{STREAM}", b"{}", {"Content-Type": "application/json"})
        page = f"{server.url}/console/tail.html?stream={STREAM}"
        say(f"server on {server.url}; watch it in a browser: {page}")

        tail = Tail(f"{server.url}/v1/streams/{STREAM}/records?from=earliest&until={len(records)}")
        tail.start()
        sent = Digest()
        seconds = append_all(server, records, tail, sent)
        say(f"\nappended in {seconds:.1f} s: {sent.count / seconds:,.0f} durable records a second, "
            f"{sent.bytes / seconds / 1e6:.0f} MB/s")
        tail.join(60)
        again = read_all(server, len(records))

        say(f"sent              {sent}")
        say(f"tailed by SSE     {tail.digest}")
        say(f"read as NDJSON    {again}")
        faults = [tail.fault] if tail.fault else []
        if not tail.ended:
            faults.append("the tail did not come to its end")
        if not sent.same(tail.digest):
            faults.append("what was tailed is not what was sent")
        if not sent.same(again):
            faults.append("what was read is not what was sent")
        if sys.stdin.isatty() and not faults and not arguments.batch:
            say(f"\nThe server still runs, for a look at {page}")
            input("Enter ends it. ")
    finally:
        code = server.stop()
    if code != 0:
        faults.append(f"the server ended with {code}, not 0")
    if faults:
        sys.exit("demo: FAILED: " + "; ".join(faults))
    say("Every record came back once, in order, byte for byte; the server stopped cleanly.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", default=str(ROOT / ".build/release/millrace"))
    parser.add_argument("--port", type=int, help="instead of any free one")
    parser.add_argument("--batch", action="store_true", help="do not wait for Enter at the end")
    arguments = parser.parse_args()
    if not os.access(arguments.binary, os.X_OK):
        sys.exit(f"demo: {arguments.binary} is not there; run: make build")
    run(arguments)


if __name__ == "__main__":
    main()
