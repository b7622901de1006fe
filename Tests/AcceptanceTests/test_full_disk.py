"""A disk that is really full: appends stop with a clear problem, reads go on, and it recovers by itself.

Each test runs on small file systems of its own, which only root may mount; where that is not permitted it is skipped.
"""

import json
import os
import shutil
import subprocess
import time

import pytest

from server import Server

SIZE = 640 << 20
LINES = 500
PAD = "p" * 4000


@pytest.fixture(params=["tmpfs", "ext4"])
def small_disk(request, tmp_path):
    place = tmp_path / "disk"
    place.mkdir()
    if request.param == "tmpfs":
        command = ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", str(place)]
    else:
        image = tmp_path / "image"
        with open(image, "wb") as file:
            file.truncate(SIZE)
        made = shutil.which("mkfs.ext4", path=os.environ["PATH"] + ":/sbin:/usr/sbin")
        if made is None:
            pytest.skip("there is no mkfs.ext4 here")
        subprocess.run([made, "-q", "-m", "0", str(image)], check=True)
        command = ["mount", "-o", "loop", str(image), str(place)]
    mounted = subprocess.run(command, capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"mounting {request.param} is not permitted here: {mounted.stderr.strip()}")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def server_on(disk):
    server = Server(disk / "server", ("--loops", "1"))
    server.directory.mkdir()
    server.log = disk.parent / "server.log"  # its words need no room there
    return server


def batch(number):
    return "".join(json.dumps({"n": number, "i": index, "pad": PAD}) + "\n" for index in range(LINES))


def append(server, number, stream="s"):
    return server.append(
        stream, batch(number), {"Content-Type": "application/x-ndjson"}, raw=True)


def fill(server, acknowledged):
    """Appends until it is refused for want of space, and stays so; gives the last answer. Once the disk is full the
    server gives back log files that it does not need, which may be room enough for a while."""
    while len(acknowledged) < 4000:
        answer = append(server, len(acknowledged))
        if answer.status == 429:
            time.sleep(0.02)
        elif answer.status == 200:
            acknowledged.append(int(answer.json["ranges"][0]["start"]))
        elif answer.status == 507 and stays_full(server):
            return answer
    raise AssertionError("the disk never filled")


def stays_full(server, seconds=3):
    """Whether the server, which looks for space every second, goes on finding none."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if server.get("/readyz").status == 200:
            return False
        time.sleep(0.1)
    return True


def check(server, acknowledged, earliest=0):
    """Every acknowledged batch from `earliest` on is there, once, in order."""
    at = max(earliest, 0)
    while at < acknowledged[-1] + LINES:
        answer = server.read("s", 0, from_=str(at), limit=LINES, max_bytes=16 << 20)
        assert answer.status == 200, answer
        for record in answer.json["records"]:
            assert int(record["offset"]) == at
            assert (record["value"]["n"], record["value"]["i"]) == divmod(at, LINES)
            at += 1


def wait_for(server, status, seconds=30):
    deadline = time.monotonic() + seconds
    while (answer := server.get("/readyz")).status != status:
        assert time.monotonic() < deadline, (answer, server.log_text())
        time.sleep(0.1)
    return answer


def ballast(place):
    """Another program takes all the space there is."""
    path = place / "ballast"
    with open(path, "wb", buffering=0) as file:
        for piece in (1 << 20, 4096):
            try:
                while True:
                    file.write(b"\1" * piece)
            except OSError:
                pass
    return path


def test_a_full_disk_stops_appends_and_nothing_else(small_disk):
    server = server_on(small_disk)
    acknowledged = []
    try:
        server.start()
        server.create("s")
        refused = fill(server, acknowledged)
        assert refused.status == 507, refused
        problem = refused.json
        assert problem["code"] == "disk_full" and problem["applied"] == "no" and problem["retryable"]
        assert len(acknowledged) > 20
        assert "disk is full" in wait_for(server, 503).json["detail"]
        assert server.get("/livez").status == 200
        check(server, acknowledged)

        # Not a byte is left for anybody: the same, and the ways out still work.
        heavy = ballast(small_disk)
        assert append(server, len(acknowledged)).status == 507
        check(server, acknowledged)
        middle = acknowledged[len(acknowledged) // 2]
        trimmed = server.request("POST", "/v1/streams/s/shards/0:trim", {"before": str(middle)})
        assert trimmed.status == 200, trimmed
        assert server.read("s", 0, from_="0").status == 410
        check(server, acknowledged, middle)

        # Space comes free: it goes on by itself.
        heavy.unlink()
        wait_for(server, 200)
        answer = append(server, len(acknowledged))
        assert answer.status == 200, answer
        acknowledged.append(int(answer.json["ranges"][0]["start"]))

        assert fill(server, acknowledged).status == 507
        server.kill()
        server.start_unready()
        check(server, acknowledged, middle)
        assert fill(server, acknowledged).status == 507
        assert server.request("DELETE", "/v1/streams/s").status == 204
        wait_for(server, 200)
        server.create("s")
        assert append(server, 0).status == 200
        server.kill()
        server.start()
        check(server, [0])
    finally:
        server.close()


def test_another_program_fills_the_disk_under_load(small_disk):
    server = server_on(small_disk)
    acknowledged = []
    try:
        server.start()
        server.create("s")
        for number in range(10):
            acknowledged.append(int(append(server, number).json["ranges"][0]["start"]))
        heavy = ballast(small_disk)
        refused = fill(server, acknowledged)
        assert refused.status in (503, 507) and refused.json["applied"] == "no", refused
        wait_for(server, 503)
        check(server, acknowledged)
        server.kill()
        heavy.unlink()
        server.start()
        check(server, acknowledged)
        answer = append(server, len(acknowledged))
        assert answer.status == 200, answer
    finally:
        server.close()
