"""Reading: by offset, time and cursor, in pages and formats, waiting, and conditionally."""

import json
import struct
import threading
import time

import pytest

from test_streams import problem


@pytest.fixture
def hundred(server, stream):
    server.append_lines(stream, [{"n": n} for n in range(100)])
    return stream


def numbers(answer):
    assert answer.status == 200, answer
    return [record["value"]["n"] for record in answer.json["records"]]


def test_pages_join_without_a_hole(server, hundred):
    seen, answer = [], server.read(hundred, limit=7)
    while not answer.json["up_to_date"]:
        seen += numbers(answer)
        answer = server.read(hundred, limit=7, cursor=answer.json["cursor"])
    assert seen + numbers(answer) == list(range(100))


def test_places_to_start_from(server, hundred):
    assert numbers(server.read(hundred, 0, from_="42"))[0] == 42
    assert numbers(server.read(hundred, 0, from_="-3")) == [97, 98, 99]
    assert numbers(server.read(hundred, from_="tail")) == []
    assert numbers(server.read(hundred, from_="earliest"))[0] == 0
    assert numbers(server.read(hundred, from_="@2000-01-01T00:00:00Z"))[0] == 0
    assert numbers(server.read(hundred, from_="@2100-01-01T00:00:00Z")) == []
    assert numbers(server.read(hundred, 0, from_="10", until="13")) == [10, 11, 12]
    document = problem(server.read(hundred, 0, from_="101"), 416, "beyond_tail")
    assert document["tail"] == "100"


def test_reading_from_a_time(server, stream):
    server.append(stream, {"n": 0})
    time.sleep(0.02)
    between = time.time()
    time.sleep(0.02)
    server.append(stream, {"n": 1})
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(between)) + f".{int(between * 1000) % 1000:03d}Z"
    assert numbers(server.read(stream, from_=f"@{stamp}")) == [1]
    assert numbers(server.read(stream, until=f"@{stamp}")) == [0]


def test_limits_of_a_page(server, hundred):
    assert len(numbers(server.read(hundred, limit=10))) == 10
    assert 0 < len(numbers(server.read(hundred, max_bytes=200))) < 20
    problem(server.read(hundred, limit=10_001), 400, "bad_parameter")
    problem(server.read(hundred, limit="x"), 400, "bad_parameter")
    problem(server.get(f"/v1/streams/{hundred}/records?lmit=1"), 400, "unknown_field")


def test_only_one_key(server, name):
    server.create(name, {"shards": 3})
    for n in range(30):
        server.append(name, {"n": n}, {"Record-Key": f"k{n % 3}"})
    assert numbers(server.read(name, key="k1")) == list(range(1, 30, 3))


@pytest.mark.parametrize("damage", ["x", "", "AAAA", "c1.", "%00"])
def test_a_damaged_cursor_is_never_another_place(server, hundred, damage):
    cursor = server.read(hundred, limit=5).json["cursor"]
    problem(server.get(f"/v1/streams/{hundred}/records?cursor={damage}"), 400, "bad_cursor")
    for index in range(len(cursor)):
        other = "A" if cursor[index] != "A" else "B"
        broken = cursor[:index] + other + cursor[index + 1:]
        problem(server.read(hundred, cursor=broken), 400, "bad_cursor")


def test_a_cursor_of_another_stream_is_refused(server, hundred, name):
    server.create(name)
    cursor = server.read(hundred).json["cursor"]
    assert server.read(name, cursor=cursor).status in (400, 410)


def test_cursors_are_small(server, name):
    server.create(name, {"shards": 16})
    assert len(server.read(name).json["cursor"]) < 128


def test_too_many_shards_at_once(server, name):
    server.create(name, {"shards": 65})
    problem(server.read(name), 400, "too_many_shards")
    assert server.read(name, 64).status == 200


def test_long_poll_waits_for_the_next_record(server, stream):
    timer = threading.Timer(0.3, lambda: server.append(stream, {"n": 1}))
    timer.start()
    started = time.monotonic()
    assert numbers(server.read(stream, wait="10s")) == [1]
    assert 0.2 < time.monotonic() - started < 5
    timer.join()


def test_long_poll_ends_empty_handed(server, stream):
    started = time.monotonic()
    answer = server.read(stream, wait="200ms")
    assert numbers(answer) == [] and answer.json["up_to_date"]
    assert 0.15 < time.monotonic() - started < 5
    problem(server.read(stream, wait="61s"), 400, "bad_parameter")


def test_ndjson_pages(server, hundred):
    answer = server.get(f"/v1/streams/{hundred}/records?limit=10", headers={"Accept": "application/x-ndjson"})
    assert answer.headers["content-type"].startswith("application/x-ndjson")
    lines = answer.body.decode().splitlines()
    assert [json.loads(line)["value"]["n"] for line in lines] == list(range(10))
    rest = server.read(hundred, cursor=answer.headers["millrace-cursor"], limit=1)
    assert numbers(rest) == [10]


def test_live_ndjson_is_a_tail_for_shells(server, hundred):
    connection = server.connection(timeout=10)
    connection.request("GET", f"/v1/streams/{hundred}/records?live=ndjson&from=earliest")
    response = connection.getresponse()

    def next_number():
        while True:
            line = response.readline()
            if line.strip():
                return json.loads(line)["value"]["n"]

    assert [next_number() for _ in range(100)] == list(range(100))
    server.append(hundred, {"n": 100})
    assert next_number() == 100
    response.close()
    connection.close()


def test_values_alone(server, hundred):
    path = f"/v1/streams/{hundred}/shards/0/records"
    plain = server.get(path, headers={"Accept": "application/octet-stream;framing=newline"})
    assert [json.loads(line)["n"] for line in plain.body.splitlines()] == list(range(100))
    framed = server.get(path, headers={"Accept": "application/octet-stream;framing=length"})
    values, rest = [], framed.body
    while rest:
        size = struct.unpack(">I", rest[:4])[0]
        values.append(json.loads(rest[4:4 + size])["n"])
        rest = rest[4 + size:]
    assert values == list(range(100))


def test_newline_framing_cannot_carry_bytes(server, stream):
    server.append(stream, b"a\nb", {"Content-Type": "application/octet-stream"}, raw=True)
    path = f"/v1/streams/{stream}/shards/0/records"
    problem(
        server.get(path, headers={"Accept": "application/octet-stream;framing=newline"}), 406,
        "opaque_values")
    framed = server.get(path, headers={"Accept": "application/octet-stream;framing=length"})
    assert framed.body == b"\0\0\0\x03a\nb"


def test_a_page_below_the_tail_can_be_kept(server, hundred):
    path = f"/v1/streams/{hundred}/shards/0/records?from=0&limit=10"
    answer = server.get(path)
    tag = answer.headers["etag"]
    assert "no-cache" in answer.headers["cache-control"]
    again = server.get(path, headers={"If-None-Match": tag})
    assert again.status == 304 and again.body == b""
    incarnation = server.get(f"/v1/streams/{hundred}").json["incarnation"]
    kept = server.get(f"{path}&incarnation={incarnation}")
    assert "immutable" in kept.headers["cache-control"]
    problem(server.get(f"{path}&incarnation=999999"), 410, "stream_replaced")
    assert "etag" not in server.read(hundred, 0, from_="95").headers


def test_a_type_that_nobody_serves(server, hundred):
    problem(
        server.get(f"/v1/streams/{hundred}/records", headers={"Accept": "image/png"}), 406,
        "not_acceptable")


def test_the_default_for_browsers_and_curl_is_json(server, hundred):
    for accept in ("*/*", "text/html,application/xhtml+xml,*/*;q=0.8", "application/json"):
        answer = server.get(f"/v1/streams/{hundred}/records", headers={"Accept": accept})
        assert answer.headers["content-type"].startswith("application/json")
