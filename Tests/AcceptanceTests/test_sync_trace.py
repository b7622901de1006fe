"""No 200 precedes its record's sync, and a restart from the synced bytes alone loses nothing acknowledged."""

import os
import pathlib
import shutil
import signal
import threading

import pytest

import synctrace
from server import Server

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


def test_what_was_answered_had_been_synced(tmp_path):
    directory = tmp_path / "traced"
    directory.mkdir()
    trace = tmp_path / "trace"
    server = Server(directory)
    strace = (
        "strace", "-f", "-ttt", "-y", "-xx", "-s", "1000000", "-e", f"trace={synctrace.CALLS}",
        "-e", "signal=none", "-o", str(trace))
    try:
        server.start(wait=60, wrap=strace)
        server.create("s", {"shards": 2})
        appended = {}
        threads = [threading.Thread(target=append, args=(server, n, appended)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        if pid := server_pid(server):
            os.kill(pid, signal.SIGKILL)
        server.process.wait()

    answered = []

    def on_answer(shard, start, _):
        # Its record was synced, to some file, before the call that sends the answer was begun.
        assert appended[(shard, start)] in replay.marks, (shard, start)
        answered.append((shard, start))

    replay = synctrace.Replay(str(directory), rb"marker-\d+-\d+-", on_answer)
    with open(trace, errors="replace") as lines:
        for line in lines:
            replay.feed(line)
    assert sorted(answered) == sorted(appended) and len(answered) == 4 * 25
    assert replay.syncs > 10

    # A machine that lost power at the end holds the synced bytes alone.
    survivor_directory = tmp_path / "survivor"
    for path, node in replay.nodes.items():
        if node.synced is None:
            continue
        target = survivor_directory / pathlib.Path(path).relative_to(directory)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(node.synced)
    with Server(survivor_directory) as survivor:
        for (shard, start), marker in appended.items():
            record = survivor.read("s", shard, from_=str(start), limit=1).json["records"][0]
            assert record["offset"] == str(start)
            assert marker.decode() in record["value"]["marker"]
    server.close()


def append(server, writer, appended):
    for index in range(25):
        marker = f"marker-{writer}-{index}-"
        answer = server.append("s", {"marker": marker}, {"Record-Key": f"{writer}-{index}"})
        assert answer.status == 200, answer
        place = answer.json["ranges"][0]
        appended[(place["shard"], int(place["start"]))] = marker.encode()


def server_pid(server):
    """strace's child: the server itself."""
    children = pathlib.Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
    found = children.read_text().split() if children.exists() else []
    return int(found[0]) if found else None
