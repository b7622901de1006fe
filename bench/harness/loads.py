"""Calls of the load programs; each returns what the program printed."""
import json
import os
import re
import subprocess
import time

from harness import settings
from harness.servers import Millrace, Server

APPEND = "/v1/streams/s{stream}/records"


def load(program: str, cores: str = settings.LOAD_CORE, **options) -> dict:
    command = ["taskset", "-c", cores, settings.LOAD, program]
    for name, value in options.items():
        command += ["--" + name.replace("_", "-"), str(value)]
    # What earlier runs left in the page cache is written now, not on this run's time.
    os.sync()
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    result = json.loads(done.stdout)
    retried = "requests" in options
    for count in (
            "refused", "incomplete_readers", "out_of_order", "repeats", "undelivered"):
        if result.get(count) and not (retried and count == "refused"):
            raise RuntimeError(f"{' '.join(command)}: {count} is not 0: {done.stdout}")
    return result


def append(server: Server, streams: int = 10, **options) -> dict:
    return load(
        "append-http1", port=server.port, pids=server.pids(), path=APPEND, streams=streams,
        **({"seconds": settings.SECONDS} | options))


def redis(server: Server, **options) -> dict:
    return load(
        "append-redis", port=server.port, pids=server.pids(), streams=10,
        seconds=settings.SECONDS, **options)


def jetstream(server: Server, **options) -> dict:
    return load(
        "jetstream-append", port=server.port, pids=server.pids(), seconds=settings.SECONDS,
        **options)


def fill(server: Millrace, records: int, record_bytes: int = 1024, keys: int = 0) -> None:
    """Records of the first stream in batches of 1,000, each with a key by chance out of `keys`."""
    path = APPEND + ("?key_pointer=/id" if keys else "")
    load(
        "append-http1", port=server.port, pids=server.pids(), path=path, connections=4,
        batch=1000, record_bytes=record_bytes, keys=keys, requests=-(-records // 1000),
        cores="0,1")


def http2(server: Server, port: int, tls: bool, connections: int, body: str) -> dict:
    """h2load with 32 streams a connection; CPU is sampled from the end of its warm-up to its end."""
    scheme = "https" if tls else "http"
    streams = range(10) if isinstance(server, Millrace) else range(1)
    uris = [f"{scheme}://127.0.0.1:{port}/v1/streams/s{s:05}/records" for s in streams]
    warmup = 1
    os.sync()
    process = subprocess.Popen(
        ["taskset", "-c", settings.LOAD_CORE, "h2load", "-c", str(connections), "-m", "32",
         "-D", str(max(1, int(settings.SECONDS))), "--warm-up-time", str(warmup), "-d", body,
         "-H", "content-type: application/json", *uris],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    time.sleep(warmup)
    before, started = server.cpu_seconds(), time.monotonic()
    output = process.communicate()[0]
    cpu, seconds = server.cpu_seconds() - before, time.monotonic() - started
    finished = re.search(r"finished in [\d.]+\w+, ([\d.]+) req/s", output)
    counts = re.search(r"(\d+) succeeded, (\d+) failed, (\d+) errored", output)
    if not finished or not counts or int(counts[2]) or int(counts[3]):
        raise RuntimeError(f"h2load: {output}")
    rate = float(finished[1])
    return {
        "answers_per_second": rate, "server_cpu_seconds": cpu, "seconds": seconds,
        "answers_per_server_second": rate * seconds / cpu,
    }


def fanout(server: Server, readers: int, **options) -> dict:
    if isinstance(server, Millrace):
        paths = {
            "read-path": "/v1/streams/s00000/records?from=tail&live=sse",
            "publish-path": "/v1/streams/s00000/records", "greeting": "event: open"}
    else:
        paths = {"read-path": "/read", "publish-path": "/publish", "batched": "false"}
    return load(
        "sse-fanout", port=server.port, pids=server.pids(), readers=readers,
        **(paths | {"seconds": settings.SECONDS} | options))
