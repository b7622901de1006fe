#!/usr/bin/env python3
"""Runs the commands that the documentation shows, page by page, each page against a fresh server.

A ```sh block is run when the line before it is a comment that says so:
  <!-- run -->                      it must succeed
  <!-- run, expect: TEXT -->        and its output must hold TEXT (several: TEXT && TEXT)
  <!-- run until: TEXT -->          it is a tail: it runs until TEXT has come out, and is then ended
Every other ```sh block is listed as not run, so that nobody takes it for tested. The pages say port 8420; the test
puts a free one in its place. `millrace` is the release build. What a page starts and does not end is ended after it.
"""
import os
import pathlib
import re
import selectors
import signal
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
from demo import ROOT, Server  # noqa: E402

PORT_IN_PAGES = "8420"
TIME_LIMIT = 30
BLOCK = re.compile(
    r"(?:^<!-- run(?P<until> until:)?(?:,? ?(?:expect:)?) ?(?P<texts>.*?) ?-->\n)?"
    r"^```sh\n(?P<code>.*?)^```$", re.M | re.S)


class Block:
    def __init__(self, match, page):
        self.code = match.group("code")
        self.line = page[:match.start("code")].count("\n") + 1
        self.is_run = match.group("texts") is not None
        self.is_tail = match.group("until") is not None
        self.texts = [t.strip() for t in (match.group("texts") or "").split("&&") if t.strip()]


def blocks(page):
    return [Block(match, page) for match in BLOCK.finditer(page)]


def run_block(block, port, directory, environment, groups):
    """What is wrong with the block, or nothing. Its group of processes is added to `groups`."""
    process = subprocess.Popen(
        ["bash", "-euo", "pipefail", "-c", block.code.replace(PORT_IN_PAGES, str(port))],
        cwd=directory, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)
    groups.append(process.pid)
    output, ended = b"", False
    deadline = time.monotonic() + TIME_LIMIT
    with selectors.DefaultSelector() as selector:
        selector.register(process.stdout, selectors.EVENT_READ)
        while not ended and time.monotonic() < deadline:
            if selector.select(timeout=deadline - time.monotonic()):
                piece = os.read(process.stdout.fileno(), 65536)
                output, ended = output + piece, not piece
            if block.is_tail and all(text.encode() in output for text in block.texts):
                break
    running = process.poll() is None and not ended
    if running and block.is_tail:
        process.kill()  # what it started in the background goes on until the page ends
    elif running:
        os.killpg(process.pid, signal.SIGKILL)
    code = process.wait()
    process.stdout.close()
    text = output.decode("utf-8", "replace").replace(str(port), PORT_IN_PAGES)
    missing = [wanted for wanted in block.texts if wanted not in text]
    if missing:
        return f"its output does not hold {missing}:\n{text}"
    if running and not block.is_tail:
        return f"it did not end within {TIME_LIMIT} s:\n{text}"
    if code != 0 and not block.is_tail:
        return f"it ended with {code}:\n{text}"
    return None


def end(groups):
    for group in groups:
        try:
            os.killpg(group, signal.SIGKILL)
        except ProcessLookupError:
            pass  # nothing of it is left


def pages(arguments):
    for argument in arguments:
        path = pathlib.Path(argument)
        yield from sorted(path.rglob("*.md")) if path.is_dir() else [path]


def main():
    binary = os.environ.get("MILLRACE", str(ROOT / ".build/release/millrace"))
    environment = {**os.environ, "PATH": f"{pathlib.Path(binary).parent}{os.pathsep}{os.environ['PATH']}"}
    ran, skipped, failures = 0, 0, 0
    for path in pages(sys.argv[1:] or ["README.md", "docs"]):
        found = blocks(path.read_text(encoding="utf-8"))
        skipped += sum(not block.is_run for block in found)
        if not any(block.is_run for block in found):
            continue
        server, groups = Server(binary, None), []
        try:
            server.wait_until_ready()
            with tempfile.TemporaryDirectory(prefix="millrace-docs-") as directory:
                for block in found:
                    if not block.is_run:
                        continue
                    ran += 1
                    fault = run_block(block, server.port, directory, environment, groups)
                    if fault:
                        failures += 1
                        print(f"{path}:{block.line}: {fault}")
        finally:
            end(groups)
            server.stop()
    print(f"doc-test: {ran} blocks ran, {failures} failed, {skipped} are not marked to be run")
    return 1 if failures or not ran else 0


if __name__ == "__main__":
    sys.exit(main())
