#!/usr/bin/env python3
"""The demo: this Debian machine's package index, tens of thousands of records, streamed in and tailed at the same time.

It starts a server of its own, appends the index as NDJSON, follows the stream by server-sent events with curl while it
is being written, reads it once more as a whole, and proves that what came back is what was sent: in order, by count and
by SHA-256. Nothing but Python's standard library and curl. Ends with 0 if everything holds, with 1 if not.
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
CONSOLE_RATE = 2_000
"""Records a second when somebody watches: as many as eyes can follow."""
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


def batches(records, records_max):
    batch, size = [], 0
    for record in records:
        if batch and (size + len(record) > BATCH_BYTES or len(batch) >= records_max):
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
        return f"{self.count:>7,} records  {self.bytes / 1e6:6.1f} MB  sha256 {self.hash.hexdigest()[:32]}…"


class Server:
    """A server of our own on a free port, its data in a temporary directory."""

    def __init__(self, binary, port):
        self.binary, self.port = binary, port or free_port()
        self.data = tempfile.mkdtemp(prefix="millrace-demo-")
        self.url = f"http://127.0.0.1:{self.port}"
        self.start()

    def start(self):
        self.process = subprocess.Popen(
            [self.binary, "serve", "--data", self.data, "--listen", f"127.0.0.1:{self.port}",
             "--connections-max", "1000", "--log-level", "warning"])

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

    def call(self, method, path, body=None, headers={}):
        """An answer's status and body."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def end(self):
        """Asks the server to stop, and gives its exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()

    def stop(self):
        """The same, and its data are removed."""
        try:
            return self.end()
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
            elif event is None and line:
                self.fault = self.fault or f"the tail was answered {line.decode()}"
        self.curl.wait()

    def take(self, data):
        envelope = json.loads(data)
        if envelope["offset"] != str(self.offset):
            self.fault = self.fault or f"offset {envelope['offset']} came where {self.offset} was due"
        self.offset += 1
        # The value as it stands in the event, not as a parser would write it again.
        self.digest.add(data[data.index(b'"value":') + 8:-1])


def append_all(server, records, tail, sent, rate):
    """Appends every record, batch by batch, and shows how far it is; gives the seconds that it took."""
    started, progress = time.monotonic(), Progress(len(records))
    for sequence, batch in enumerate(batches(records, rate // 4 if rate else BATCH_RECORDS)):
        append(server, sequence, batch)
        for record in batch:
            sent.add(record)
        seconds = time.monotonic() - started
        progress.show(sent.count, tail.digest.count, seconds)
        if rate:
            time.sleep(max(0, sent.count / rate - seconds))
    return time.monotonic() - started


def append(server, sequence, batch):
    """Appends one batch, once whatever happens to its answer: the producer's fields tell a repetition."""
    headers = {
        "Content-Type": "application/x-ndjson",
        "Producer-Id": "demo", "Producer-Epoch": "1", "Producer-Seq": str(sequence),
    }
    body = b"".join(record + b"\n" for record in batch)
    for pause in (0.1, 0.5, 2, None):
        try:
            status, answer = server.call(
                "POST", f"/v1/streams/{STREAM}/records?key_pointer=/Package", body, headers)
        except (OSError, http.client.HTTPException) as error:
            status, answer = 503, str(error).encode()
        if status == 200 and json.loads(answer)["appended"] == len(batch):
            return
        if status not in (429, 503) or pause is None:
            raise Fault(f"an append was answered {status}: {answer.decode()}")
        time.sleep(pause)


class Fault(Exception):
    """What went wrong, for the last line."""


class Progress:
    """A bar that moves on a terminal; elsewhere a line each quarter."""

    def __init__(self, total):
        self.total, self.shown, self.quarters = total, 0.0, 0

    def show(self, durable, tailed, seconds):
        rate = durable / max(seconds, 1e-6)
        text = (f"{durable:>7,} of {self.total:,} durable  {rate:>9,.0f} records/s   "
                f"curl has {tailed:>7,}")
        if sys.stdout.isatty():
            if seconds - self.shown > 0.1 or durable == self.total:
                self.shown = seconds
                bar = "█" * (24 * durable // self.total)
                sys.stdout.write(f"\r  {bar:░<24} {text}" + ("\n" if durable == self.total else ""))
                sys.stdout.flush()
        elif 4 * durable // self.total > self.quarters:
            self.quarters = 4 * durable // self.total
            say(f"  {text}")


def read_all(server, total):
    """The whole stream once more, as NDJSON by pages, the cursor leading from one to the next."""
    digest, place = Digest(), "from=earliest"
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    while digest.count < total:
        connection.request(
            "GET", f"/v1/streams/{STREAM}/records?limit=10000&max_bytes=16777216&{place}",
            headers={"Accept": "application/x-ndjson"})
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            raise Fault(f"a read was answered {answer.status}: {text.decode()}")
        lines = text.split(b"\n")[:-1]
        if not lines:
            break
        for line in lines:
            digest.add(line[line.index(b'"value":') + 8:-1])
        place = "cursor=" + answer.getheader("Millrace-Cursor")
    connection.close()
    return digest


def prove(server, records, rate):
    """Streams the records through the server; gives what does not hold."""
    tail = Tail(f"{server.url}/v1/streams/{STREAM}/records?from=earliest&until={len(records)}")
    tail.start()
    sent = Digest()
    seconds = append_all(server, records, tail, sent, rate)
    tail.join(60)
    say(f"  {sent.count / seconds:,.0f} records and {sent.bytes / seconds / 1e6:.1f} MB a second, "
        f"each answered only when it was on the disk\n")
    started = time.monotonic()
    again = read_all(server, len(records))
    seconds = time.monotonic() - started

    faults = [tail.fault] if tail.fault else []
    if not tail.ended:
        faults.append("the tail did not come to its end")
    say("Does what came back equal what was sent?")
    say(f"  sent                  {sent}")
    for name, digest in [("tailed while written", tail.digest), ("read back at the end", again)]:
        same = sent.same(digest)
        say(f"  {name}  {digest}  {'the same' if same else 'NOT THE SAME'}")
        if not same:
            faults.append(f"what was {name} is not what was sent")
    say(f"  (read back at {again.bytes / seconds / 1e6:,.0f} MB a second)\n")
    return faults


def run(arguments):
    text, notice = package_index()
    records = [
        json.dumps(package, ensure_ascii=False, separators=(",", ":")).encode()
        for package in paragraphs(text)
    ]
    size = sum(map(len, records))
    say(f"Input    {len(records):,} packages, {size / 1e6:.1f} MB of NDJSON: this machine's package index")
    if notice:
        say(notice)
    server = Server(arguments.binary, arguments.port)
    try:
        server.wait_until_ready()
        server.call("PUT", f"/v1/streams/{STREAM}", b"{}", {"Content-Type": "application/json"})
        page = f"{server.url}/console/tail.html?stream={STREAM}"
        say(f"Server   {server.url}, its data in a temporary directory")
        if arguments.console:
            say(f"Browser  {page}")
            input("         Open it, and press Enter to begin. ")
        else:
            say("         (make demo DEMO=--console waits until you watch in a browser, and goes slowly)")
        say("\nAppending over HTTP, while curl follows by server-sent events")
        faults = prove(server, records, arguments.rate or (CONSOLE_RATE if arguments.console else 0))
        if arguments.console:
            input("The server still runs, to look around. Enter ends it. ")
    except Fault as fault:
        faults = [str(fault)]
    finally:
        code = server.stop()
    if code != 0:
        faults.append(f"the server ended with {code}, not 0")
    if faults:
        say("FAILED: " + "; ".join(faults))
        return 1
    say("It holds: every record came back once, in order, byte for byte. The server stopped cleanly.")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", default=str(ROOT / ".build/release/millrace"))
    parser.add_argument("--port", type=int, help="instead of any free one")
    parser.add_argument("--console", action="store_true", help="wait for somebody who watches in a browser")
    parser.add_argument("--rate", type=int, default=0, help="records a second, instead of as fast as it goes")
    arguments = parser.parse_args()
    if not os.access(arguments.binary, os.X_OK):
        sys.exit(f"demo: {arguments.binary} is not there; run: make build")
    try:
        sys.exit(run(arguments))
    except KeyboardInterrupt:
        sys.exit("\ndemo: interrupted; the server is stopped and its data are removed")


if __name__ == "__main__":
    main()
