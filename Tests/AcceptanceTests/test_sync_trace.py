"""No 200 precedes its record's sync, and a restart from the synced bytes alone loses nothing acknowledged."""

import os
import pathlib
import shutil
import signal
import threading

import pytest

import synctrace
from server import Server

# Of each of four writers.
APPENDS = 100

pytestmark = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


def test_what_was_answered_had_been_synced(tmp_path):
    directory = tmp_path / "traced"
    directory.mkdir()
    trace = tmp_path / "trace"
    server = Server(directory)
    appended = {}
    try:
        server.start(wait=60, wrap=synctrace.strace(trace))
        server.create("s", {"shards": 2})
        threads = [threading.Thread(target=append, args=(server, n, appended)) for n in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        if pid := server_pid(server):
            os.kill(pid, signal.SIGKILL)
        server.process.wait()
    assert len(appended) == 4 * APPENDS

    answered = []

    def on_answer(shard, start, _):
        # Its record was synced, to some file, before the call that sends the answer was begun.
        assert appended[(shard, start)] in replay.marks, (shard, start)
        answered.append((shard, start))

    replay = synctrace.Replay(str(directory), rb"marker-\d+-\d+-", on_answer)
    with open(trace, "rb") as lines:
        for line in lines:
            replay.feed(line)
    assert sorted(answered) == sorted(appended)
    assert replay.syncs > APPENDS

    # A machine that lost power at the end holds the synced bytes alone.
    survivor_directory = tmp_path / "survivor"
    for path, data in replay.survivors():
        target = survivor_directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)
    survivor = Server(survivor_directory)
    try:
        survivor.start()
        for (shard, start), marker in appended.items():
            record = survivor.read("s", shard, from_=str(start), limit=1).json["records"][0]
            assert record["offset"] == str(start)
            assert marker.decode() in record["value"]["marker"]
    finally:
        survivor.close()
        server.close()


def append(server, writer, appended):
    for index in range(APPENDS):
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
