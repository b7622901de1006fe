"""inspect, verify, and what a server does about damage: refused at start, told beforehand, cut only when asked."""

import hashlib
import json
import shutil
import subprocess
import threading
import time

import pytest

from server import BINARY, EventReader, Server


def tool(*arguments):
    return subprocess.run(
        [str(BINARY), *map(str, arguments)], capture_output=True, text=True, timeout=120)


def fingerprint(directory, *patterns):
    """Every file below it, or those that match, with a digest of its bytes."""
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for pattern in patterns or ["**/*"] for path in directory.glob(pattern) if path.is_file()}


def data(server):
    return server.directory / "data"


def fill(server, streams=3, batches=20):
    for stream in range(streams):
        server.create(f"s{stream}", {"shards": 2})
        for batch in range(batches):
            answer = server.append_lines(
                f"s{stream}", [{"b": batch, "i": index, "pad": "x" * 100} for index in range(5)],
                shard=batch % 2)
            assert answer.status == 200, answer


def flip(path, place):
    with open(path, "r+b") as file:
        file.seek(place)
        byte = file.read(1)
        file.seek(place)
        file.write(bytes([byte[0] ^ 0x10]))


def busy_log(server):
    """The write-ahead log file that holds the most groups: a block that is not zero for each."""
    def groups(path):
        content = path.read_bytes()
        return sum(content[at:at + 8] == b"MRWALG1\0" for at in range(0, len(content), 4096))
    return max(data(server).glob("lanes/*/wal-*.log"), key=groups)


@pytest.fixture
def killed(fresh):
    """A server killed with records in its write-ahead log alone."""
    server = fresh("--loops", "1")
    server.start()
    fill(server)
    server.kill()
    return server


@pytest.fixture
def settled(fresh):
    """Every record is in a segment: a start with another number of lanes lays them all there."""
    server = fresh("--loops", "2")
    server.start()
    fill(server)
    server.kill()
    server.arguments = ["--loops", "1"]
    server.start()
    server.kill()
    return server


@pytest.mark.parametrize("state", ["killed", "settled"])
def test_a_look_tells_what_there_is_and_changes_nothing(state, request):
    server = request.getfixturevalue(state)
    before = fingerprint(data(server))
    inspected = tool("inspect", "--json", data(server))
    assert inspected.returncode == 0, inspected
    found = json.loads(inspected.stdout)
    assert found["server"] is None and not found["damaged"] and found["findings"] == []
    assert [stream["name"] for stream in found["streams"]] == ["s0", "s1", "s2"]
    for stream in found["streams"]:
        assert stream["records"] == "100" and int(stream["bytes"]) > 10_000
        assert [shard["tail"] for shard in stream["shards"]] == ["50", "50"]
    waiting = sum(int(lane["waiting_batches"]) for lane in found["lanes"])
    assert waiting == (60 if state == "killed" else 0)
    text = tool("inspect", data(server)).stdout
    assert "s1" in text and "No damage shows" in text and "3 streams, 6 shards, 300 records" in text
    assert len(tool("inspect", "--shards", data(server)).stdout.splitlines()) > len(text.splitlines())

    verified = tool("verify", "--json", data(server))
    assert verified.returncode == 0, verified
    found = json.loads(verified.stdout)
    assert not found["damaged"] and found["findings"] == []
    assert found["records"] == ("0" if state == "killed" else "300")
    assert found["log_batches"] == ("60" if state == "killed" else "0")
    assert "Everything is whole" in tool("verify", data(server)).stdout
    assert fingerprint(data(server)) == before


def test_a_look_beside_a_running_server(fresh):
    server = fresh("--loops", "2")
    server.start()
    fill(server)
    for arguments in (["inspect", "--json"], ["verify", "--json"]):
        looked = tool(*arguments, data(server))
        assert looked.returncode == 0, looked
        found = json.loads(looked.stdout)
        assert found["server"] == {"process": server.process.pid} and found["findings"] == []
    assert "beside a running server" in tool("verify", data(server)).stdout
    assert server.append("s0", {"still": "served"}).status == 200
    server.kill()
    server.start()


def test_a_look_while_records_come_and_go(fresh):
    """Segments are laid, trimmed and deleted under the reader: none of it is damage."""
    server = fresh("--loops", "1")
    server.start()
    batch = (json.dumps({"pad": "x" * 1000}) + "\n") * 3000
    over = threading.Event()

    def churn():
        connection, number = server.connection(), 0
        while not over.is_set():
            stream = f"t{number % 3}"
            if number % 20 == 19:
                server.request("DELETE", f"/v1/streams/{stream}", connection=connection)
            server.request(
                "PUT", f"/v1/streams/{stream}", {"retention": {"bytes": "8000000"}},
                connection=connection)
            answer = server.request(
                "POST", f"/v1/streams/{stream}/records", batch,
                {"Content-Type": "application/x-ndjson"}, connection=connection)
            if answer.status == 200:
                server.request(
                    "POST", f"/v1/streams/{stream}/shards/0:trim",
                    {"before": str(max(0, int(answer.json["ranges"][0]["end"]) - 6000))},
                    connection=connection)
            number += 1

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        segments = 0
        deadline = time.monotonic() + 8
        while time.monotonic() < deadline:
            for arguments in (["verify", "--json"], ["inspect", "--json"]):
                looked = tool(*arguments, data(server))
                assert looked.returncode == 0, looked
                segments += json.loads(looked.stdout).get("segments", 0)
        assert segments > 10
    finally:
        over.set()
        thread.join()
    server.kill()
    verified = tool("verify", data(server))
    assert verified.returncode == 0, verified


def test_what_is_no_store_cannot_be_looked_at(tmp_path):
    (tmp_path / "file").write_text("x")
    for place in (tmp_path / "nowhere", tmp_path, tmp_path / "file"):
        for name in ("inspect", "verify"):
            looked = tool(name, place)
            assert looked.returncode == 2 and looked.stdout == "" and str(place) in looked.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file"]


def test_help_says_how_they_end():
    for name in ("inspect", "verify"):
        text = tool(name, "--help").stdout
        assert "Exit codes: 0" in text and "Examples:" in text and "running server" in text


def test_a_damaged_segment_is_named_and_everything_else_goes_on(settled):
    segment = sorted(data(settled).glob("shards/*/*/*.seg"))[0]
    name = str(segment.relative_to(data(settled)))
    flip(segment, 150)
    verified = tool("verify", data(settled))
    assert verified.returncode == 1 and f"damage: {name}, byte 0:" in verified.stdout, verified
    assert "records 0 to 4 (5 records" in verified.stdout
    found = json.loads(tool("verify", "--json", data(settled)).stdout)
    lost = found["findings"][0]["lost"][0]
    assert (lost["shard_id"], lost["from"], lost["to"]) == (segment.parent.name, "0", "5")
    assert lost["stream"] in ("s0", "s1", "s2") and lost["shard"] in (0, 1)

    settled.start()
    failed = [(stream, shard) for stream in ("s0", "s1", "s2") for shard in (0, 1)
              if settled.read(stream, shard).status != 200]
    assert len(failed) == 1
    stream, shard = failed[0]
    problem = settled.read(stream, shard)
    assert problem.status == 500 and problem.json["code"] == "damaged", problem
    assert name in problem.json["detail"] and "verify" in problem.json["detail"]
    reader = EventReader(settled, f"/v1/streams/{stream}/shards/{shard}/records")
    told = [event for event in iter(reader.next, None)]
    reader.close()
    assert told[-1][0] == "problem" and told[-1][1]["code"] == "damaged"
    # Behind the damage, and into the same shard, everything goes on.
    assert settled.read(stream, shard, from_="5").json["records"][0]["offset"] == "5"
    assert settled.append(stream, {"new": 1}, shard=shard).status == 200
    assert settled.get("/readyz").status == 200 and settled.alive


def test_a_missing_and_a_short_segment_show_at_a_glance(settled):
    first, second = sorted(data(settled).glob("shards/*/*/*.seg"))[:2]
    first.unlink()
    with open(second, "r+b") as file:
        file.truncate(100)
    looked = tool("inspect", data(settled))
    assert looked.returncode == 1
    assert f"{first.relative_to(data(settled))}: the file is missing" in looked.stdout
    assert f"{second.relative_to(data(settled))}, byte 100: the file ends there" in looked.stdout
    settled.start()
    answers = [settled.read(f"s{number}", shard).status for number in range(3) for shard in (0, 1)]
    assert sorted(answers) == [200, 200, 200, 200, 500, 500]


def test_a_damaged_log_is_refused_and_cut_only_when_asked(killed):
    log = busy_log(killed)
    name = str(log.relative_to(data(killed)))
    flip(log, 3 * 4096 + 200)
    before = fingerprint(data(killed), "lanes/*/wal-*.log", "shards/**/*", "millrace.store")
    with pytest.raises(RuntimeError, match="it ended with 1") as refused:
        killed.start()
    said = str(refused.value)
    assert f"{name} is damaged at byte {3 * 4096}" in said, said
    assert "millrace verify" in said and "backup" in said and "--truncate-damaged" in said
    assert "records" in said[said.index("--truncate-damaged"):]
    after = fingerprint(data(killed), "lanes/*/wal-*.log", "shards/**/*", "millrace.store")
    assert after == before, "a refused start changes nothing"
    verified = tool("verify", "--json", data(killed))
    assert verified.returncode == 1
    finding = json.loads(verified.stdout)["findings"][0]
    assert finding["file"] == name and finding["offset"] == str(3 * 4096)
    lost = {loss["shard_id"]: (int(loss["from"]), int(loss["to"])) for loss in finding["lost"]}
    assert tool("inspect", data(killed)).returncode == 1

    killed.environment = {"MILLRACE_TRUNCATE_DAMAGED": "true"}
    killed.start()
    said = killed.log_text()
    assert said.index("to be dropped: s") < said.index(" dropped: s"), said
    shards = json.loads(tool("inspect", "--json", data(killed)).stdout)["streams"]
    dropped = 0
    for stream in shards:
        for shard in stream["shards"]:
            start, end = lost.get(shard["id"], (50, 50))
            dropped += end - start
            records = killed.read_all(stream["name"], shard["shard"])
            assert [int(record["offset"]) for record in records] == list(range(start))
    # Three batches of five came before the damage, each in a group of its own.
    assert dropped == 300 - 3 * 5
    assert killed.append("s2", {"new": 1}, shard=1).status == 200
    tail = len(killed.read_all("s2", 1))
    killed.environment = {}
    killed.kill()
    killed.start()
    assert len(killed.read_all("s2", 1)) == tail
    assert tool("verify", data(killed)).returncode == 0


def test_without_its_catalog_a_store_is_refused_and_kept(settled):
    for path in data(settled).glob("catalog.db*"):
        path.unlink()
    segments = sorted(data(settled).glob("shards/*/*/*"))
    for _ in range(2):
        with pytest.raises(RuntimeError, match="catalog.db"):
            settled.start()
        assert sorted(data(settled).glob("shards/*/*/*")) == segments


def test_a_half_copied_store_is_refused(settled, killed, tmp_path):
    copy = tmp_path / "copy" / "data"
    shutil.copytree(data(killed), copy)
    for path in copy.glob("lanes/*/wal-*.log"):
        path.unlink()
    server = Server(tmp_path / "copy", ("--loops", "1"))
    try:
        with pytest.raises(RuntimeError, match="log files are missing"):
            server.start()
    finally:
        server.close()
    assert tool("verify", copy).returncode == 1
