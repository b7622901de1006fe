"""Restart after kill -9 takes as long as the write-ahead log, not as long as what is stored.

`MILLRACE_RESTART_GB=10` is the real thing, and takes a minute or two; unasked, a twentieth of it is stored.
"""

import json
import os
import threading
import time

GIGABYTES = float(os.environ.get("MILLRACE_RESTART_GB", "0.5"))
STREAMS = 10
RESTARTS = 5 if GIGABYTES > 5 else 2
VALUE = json.dumps({"pad": "r" * 1013}).encode() + b"\n"
BATCH = VALUE * 3800
HEADERS = {"Content-Type": "application/x-ndjson"}


def push(server, connection, number):
    """One batch; what was acknowledged counts, a full queue is waited for. False once the server is gone."""
    path = f"/v1/streams/s{number % STREAMS}/records"
    while True:
        try:
            answer = server.request("POST", path, BATCH, HEADERS, connection=connection)
        except OSError:
            return False
        if answer.status == 200:
            return True
        assert answer.status == 429, answer
        time.sleep(0.01)


def push_for(server, first, stop, counts):
    connection = server.connection()
    number = first
    while not stop(counts) and push(server, connection, number):
        counts.append(number % STREAMS)
        number += 2
    connection.close()


def push_all(server, stop, counts):
    threads = [
        threading.Thread(target=push_for, args=(server, first, stop, counts)) for first in (0, 1)]
    for thread in threads:
        thread.start()
    return threads


def test_ready_within_three_seconds_of_a_kill(fresh):
    server = fresh("--loops", "2")
    server.start()
    for number in range(STREAMS):
        server.create(f"s{number}", {"retention": {"age": None}})
    batches = int(GIGABYTES * 1e9 / len(BATCH))
    counts = []
    started = time.monotonic()
    for thread in push_all(server, lambda counts: len(counts) >= batches, counts):
        thread.join()
    stored = len(counts) * len(BATCH)
    print(f"\nstored {stored / 1e9:.1f} GB in {time.monotonic() - started:.0f} s,"
          f" {server.resident_bytes / 1e6:.0f} MB of memory")
    for _ in range(RESTARTS):
        # Killed while appends arrive, so that the log is as full as it gets.
        threads = push_all(server, lambda counts: False, counts)
        time.sleep(2)
        server.kill()
        for thread in threads:
            thread.join()
        started = time.monotonic()
        server.start()
        seconds = time.monotonic() - started
        print(f"ready after {seconds:.2f} s, {server.resident_bytes / 1e6:.0f} MB of memory")
        assert seconds < 3
        for number in range(STREAMS):
            shard = server.get(f"/v1/streams/s{number}/shards").json["items"][0]
            # Two requests may have been stored whose answers nobody heard.
            acknowledged = counts.count(number) * 3800
            assert acknowledged <= int(shard["tail"]) <= acknowledged + 2 * 3800 * RESTARTS
