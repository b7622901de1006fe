"""Server-sent events: the exact bytes, resuming, gaps, ends, and many readers at once."""

import threading
import time

import pytest

from server import EventReader
from test_streams import problem


def reader(server, stream, query="", headers=None, shard=None, **options):
    where = f"/shards/{shard}" if shard is not None else ""
    return EventReader(server, f"/v1/streams/{stream}{where}/records{query}", headers, **options)


def test_the_first_bytes_are_those_of_the_contract(server, stream):
    server.append(stream, {"n": 0})
    answer = server.raw(
        f"GET /v1/streams/{stream}/records?from=earliest HTTP/1.0\r\nHost: localhost\r\n"
        "Accept: text/event-stream\r\n\r\n".encode(), timeout=1)
    head, _, body = answer.partition(b"\r\n\r\n")
    head = head.lower()
    assert b"200 ok" in head.splitlines()[0]
    assert b"content-type: text/event-stream; charset=utf-8" in head
    assert b"cache-control: no-cache, no-transform" in head
    assert b"x-accel-buffering: no" in head and b"vary: accept" in head
    assert b"\r" not in body
    opening, record, rest = body.split(b"\n\n", 2)
    lines = opening.split(b"\n")
    assert lines[0] == b"event: open" and lines[1].startswith(b"data: {") and lines[2] == b"retry: 2000"
    assert lines[3].startswith(b"id: ")
    lines = record.split(b"\n")
    assert lines[0] == b"event: record" and b'"offset":"0"' in lines[1] and lines[2].startswith(b"id: ")


def test_history_then_live_without_a_hole(server, stream):
    server.append_lines(stream, [{"n": n} for n in range(50)])
    events = reader(server, stream)
    assert events.status == 200
    stop = threading.Event()

    def write():
        for n in range(50, 250):
            server.append(stream, {"n": n})
        stop.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = [record["value"]["n"] for record in events.take(250)]
    writer.join()
    assert seen == list(range(250))
    events.close()


def test_resume_by_last_event_id_wins_over_cursor_and_from(server, stream):
    server.append_lines(stream, [{"n": n} for n in range(10)])
    first = reader(server, stream)
    first.take(4)
    place = first.last_id
    first.close()
    cursor = server.read(stream, limit=8).json["cursor"]
    again = reader(server, stream, f"?cursor={cursor}&from=earliest", {"Last-Event-ID": place})
    assert [record["value"]["n"] for record in again.take(6)] == [4, 5, 6, 7, 8, 9]
    again.close()
    by_cursor = reader(server, stream, f"?cursor={cursor}&from=earliest")
    assert [record["value"]["n"] for record in by_cursor.take(2)] == [8, 9]
    by_cursor.close()


def test_resume_after_kill_9(fresh):
    server = fresh().start()
    server.create("s", {"shards": 3})
    for n in range(30):
        server.append("s", {"n": n}, {"Record-Key": str(n)})
    events = EventReader(server, "/v1/streams/s/records?from=earliest")
    seen = [record["value"]["n"] for record in events.take(11)]
    place = events.last_id
    server.kill()
    server.start()
    for n in range(30, 40):
        server.append("s", {"n": n}, {"Record-Key": str(n)})
    events = EventReader(server, "/v1/streams/s/records?from=tail", {"Last-Event-ID": place})
    seen += [record["value"]["n"] for record in events.take(29)]
    assert sorted(seen) == list(range(40))
    events.close()


def test_many_shards_keep_each_shards_order(server, name):
    server.create(name, {"shards": 4})
    events = reader(server, name, "?from=tail")
    assert events.next()[0] == "open"
    for n in range(200):
        server.append(name, {"n": n}, {"Record-Key": f"k{n % 16}"})
    last = {}
    for record in events.take(200):
        place = (record["shard"], int(record["offset"]))
        assert last.get(place[0], -1) + 1 == place[1]
        last[place[0]] = place[1]
    events.close()


def test_message_and_batch_forms(server, stream):
    server.append_lines(stream, [{"n": n} for n in range(5)])
    named = reader(server, stream, "?event=message")
    assert [r["value"]["n"] for r in named.take(5, "message")] == [0, 1, 2, 3, 4]
    named.close()
    batched = reader(server, stream, "?batch=true")
    seen = []
    while len(seen) < 5:
        seen += [record["value"]["n"] for record in batched.take(1, "batch")[0]]
    assert seen == [0, 1, 2, 3, 4]
    batched.close()


def test_a_gap_is_said_when_retention_overtook_the_reader(server, stream):
    server.append_lines(stream, [{"n": n} for n in range(10)])
    events = reader(server, stream)
    events.take(2)
    place = events.last_id
    events.close()
    server.request("POST", f"/v1/streams/{stream}/shards/0:trim", {"before": "6"})
    events = reader(server, stream, "", {"Last-Event-ID": place})
    gap = events.take(1, "gap")[0]
    assert gap == {"shard": 0, "from": "2", "to": "6", "reason": "trimmed"}
    assert [record["value"]["n"] for record in events.take(4)] == [6, 7, 8, 9]
    events.close()


def test_the_end_is_said_and_whoever_comes_back_gets_204(server, stream):
    server.append_lines(stream, [{"n": n} for n in range(10)])
    events = reader(server, stream, "?from=2&until=5", shard=0)
    assert [record["value"]["n"] for record in events.take(3)] == [2, 3, 4]
    events.take(1, "end")
    assert events.next() is None
    again = reader(server, stream, "?from=2&until=5", {"Last-Event-ID": events.last_id}, shard=0)
    assert again.status == 204
    limited = reader(server, stream, "?limit=3")
    assert len(limited.take(3)) == 3
    limited.take(1, "end")


def test_a_deleted_stream_ends(server, name):
    server.create(name)
    events = reader(server, name)
    assert events.next()[0] == "open"
    assert server.request("DELETE", f"/v1/streams/{name}").status == 204
    events.take(1, "end")
    assert events.next() is None


def test_a_damaged_last_event_id_is_a_problem_not_another_place(server, stream):
    problem(
        server.get(
            f"/v1/streams/{stream}/records",
            headers={"Accept": "text/event-stream", "Last-Event-ID": "c1nonsense"}), 400, "bad_cursor")


def test_only_one_key_with_checkpoints(server, stream):
    events = reader(server, stream, "?key=a")
    for n in range(20):
        server.append(stream, {"n": n}, {"Record-Key": "ab"[n % 2]})
    assert [record["value"]["n"] for record in events.take(10)] == list(range(0, 20, 2))
    events.close()


def test_a_hundred_readers_see_the_same(server, stream):
    readers = [reader(server, stream, "?from=tail") for _ in range(100)]
    for events in readers:
        assert events.next()[0] == "open"
    for n in range(50):
        server.append(stream, {"n": n})
    for events in readers:
        assert [record["value"]["n"] for record in events.take(50)] == list(range(50))
        events.close()


def test_a_slow_reader_loses_nothing_and_holds_nobody(server, stream):
    slow = reader(server, stream, timeout=60)
    quick = reader(server, stream, timeout=60)
    blob = "x" * 8192
    for start in range(0, 4000, 100):
        server.append_lines(stream, [{"n": n, "blob": blob} for n in range(start, start + 100)])
    assert [record["value"]["n"] for record in quick.take(4000)] == list(range(4000))
    assert server.resident_bytes < 600 << 20
    assert [record["value"]["n"] for record in slow.take(4000)] == list(range(4000))
    slow.close()
    quick.close()


def test_a_graceful_stop_says_when_to_come_back(fresh):
    server = fresh().start()
    server.create("s")
    server.append("s", {"n": 0})
    events = EventReader(server, "/v1/streams/s/records")
    events.take(1)
    done = threading.Thread(target=server.stop)
    done.start()
    document = events.take(1, "problem")[0]
    assert document["status"] == 503 and document["retryable"] is True
    assert events.next() is None
    done.join()
    assert server.process.returncode == 0
