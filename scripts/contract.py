#!/usr/bin/env python3
"""Holds a running server against openapi.yaml with schemathesis: every operation, good and bad requests, every answer.

A writer appends to the streams meanwhile, so that live answers have something to say. Afterwards the server must still
stand, must have answered nothing with a 500, and must start again from what all those requests left behind.
Usage: scripts/contract.py [--seconds 60] [--seed 1]   (without a seed, one is drawn and printed)
       scripts/contract.py --examples 50               (the same cases every time, so many for each operation)
"""
import argparse
import json
import os
import pathlib
import random
import re
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from demo import ROOT, Server  # noqa: E402

# What schemathesis checks, as far as it can know. Left out: `positive_data_acceptance` (a cursor or a place that is a
# string is not therefore one of ours), `ignored_auth` (there are no tokens yet), and `missing_required_header` and
# `object_level_authorization` (no header is required, nothing is anybody's own).
CHECKS = [
    "not_a_server_error", "status_code_conformance", "content_type_conformance",
    "response_headers_conformance", "response_schema_conformance", "negative_data_rejection",
    "unsupported_method", "allow_header_conformance", "use_after_free",
    "ensure_resource_availability",
]
SETTINGS = """
hooks = "contract_hooks"
max-stream-events = 8
request-timeout = 20
[checks]
enabled = false
{checks}
[cache]
enabled = false
"""
STREAMS = [
    ("orders", {}, "application/json", b'{"n":1}'),
    ("clicks", {"shards": 4}, "application/json", b'["click"]'),
    ("images", {"labels": {"kind": "opaque"}}, "image/png", b"\x89PNG\x00\xff"),
]
SUBSCRIPTIONS = [
    ("billing", {"stream": "orders", "dead_letter": {"stream": "images"}}),
    ("hooks", {"stream": "clicks", "delivery": {"type": "webhook", "url": "https://svc.example/hook"}}),
    # Unsettled, its records are delivered again and again: whoever listens always hears something.
    ("listeners", {"stream": "clicks", "ordering": "none", "ack_deadline": "100ms", "backoff": ["10ms"],
                   "max_deliveries": 1000}),
]


class Writer(threading.Thread):
    """Keeps the streams there and growing, and their subscriptions, whatever is deleted meanwhile."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.is_over = server, threading.Event()

    def round(self):
        for name, settings, content_type, body in STREAMS:
            self.server.call(
                "PUT", f"/v1/streams/{name}", json.dumps(settings).encode(),
                {"Content-Type": "application/json"})
            for shard in range(settings.get("shards", 1)):
                self.server.call(
                    "POST", f"/v1/streams/{name}/shards/{shard}/records", body,
                    {"Content-Type": content_type, "Record-Key": "k"})
        for name, settings in SUBSCRIPTIONS:
            path = f"/v1/subscriptions/{name}"
            if self.server.call("GET", path)[1].find(b'"stream_replaced"') >= 0:
                self.server.call("DELETE", path)
            self.server.call(
                "PUT", path, json.dumps(settings).encode(), {"Content-Type": "application/json"})

    def run(self):
        while not self.is_over.wait(0.1):
            self.round()


def check(server, extent):
    """Schemathesis's exit code; `extent` is what it is told of how far to go."""
    with tempfile.TemporaryDirectory(prefix="millrace-contract-") as directory:
        settings = pathlib.Path(directory) / "schemathesis.toml"
        settings.write_text(SETTINGS.format(
            checks="\n".join(f"{name}.enabled = true" for name in CHECKS)))
        return subprocess.run(
            [sys.executable, "-m", "schemathesis.cli", "--config-file", settings, "run",
             ROOT / "openapi.yaml", "--url", server.url, *extent,
             "--suppress-health-check", "all", "--warnings", "off", "--no-color", "--max-failures", "20"],
            cwd=directory,
            env={**os.environ, "PYTHONPATH": str(ROOT / "Tests"), "SCHEMATHESIS_HOOKS": "contract_hooks"},
        ).returncode


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--binary", default=os.environ.get("MILLRACE", str(ROOT / ".build/release/millrace")))
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31))
    parser.add_argument("--examples", type=int)
    arguments = parser.parse_args()
    if arguments.examples:
        again = f"--examples {arguments.examples}"
        extent = ["--max-examples", str(arguments.examples), "--generation-deterministic"]
    else:
        again = f"--seconds {arguments.seconds} --seed {arguments.seed}"
        extent = ["--max-time", str(arguments.seconds), "--seed", str(arguments.seed),
                  "--generation-database", "none"]
    print(f"contract: {again}", flush=True)
    faults = []
    server = Server(arguments.binary, None)
    try:
        server.wait_until_ready()
        writer = Writer(server)
        writer.round()
        writer.start()
        if check(server, extent) != 0:
            faults.append("schemathesis found what stands above")
        writer.is_over.set()
        writer.join(30)
        metrics = server.call("GET", "/metrics")[1].decode()
        answers = re.findall(r'millrace_http_requests_total\{operation="(\w+)",status="(\d+)"\} (\d+)', metrics)
        if failed := [f"{operation} {status}" for operation, status, _ in answers if status[0] == "5"]:
            faults.append(f"answers of a server in trouble: {failed}")
        operations = {operation for operation, _, _ in answers}
        named = set(re.findall(r"operationId: (\w+)", (ROOT / "openapi.yaml").read_text(encoding="utf-8")))
        if never := named - operations:
            faults.append(f"operations that were never called: {sorted(never)}")
        count = sum(int(number) for _, _, number in answers)
        server.end()
        server.start()
        server.wait_until_ready()
    finally:
        server.stop()
    for fault in faults:
        print(f"contract: {fault}")
    if faults:
        print(f"contract: failed; again with: scripts/contract.py {again}")
        return 1
    print(f"contract: passed: {count:,} requests, {len(operations)} operations, no server error, "
          "started again from what was left")
    return 0


if __name__ == "__main__":
    sys.exit(main())
