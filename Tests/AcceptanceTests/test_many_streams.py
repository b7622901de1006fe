"""Ten thousand streams on one node are ordinary: made quickly, written to all at once, few files, little memory."""

import json
import pathlib
import threading
import time

STREAMS = 10_000
CONNECTIONS = 8


def in_parallel(server, work, count=STREAMS, connections=CONNECTIONS):
    """Runs `work(connection, number)` for every number up to `count`, over a few connections."""
    failures = []

    def run(first):
        connection = server.connection()
        try:
            for number in range(first, count, connections):
                work(connection, number)
        except Exception as error:  # the test shows it
            failures.append(error)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(first,)) for first in range(connections)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures, failures[0]
    return time.monotonic() - started


def open_files(server):
    return len(list(pathlib.Path(f"/proc/{server.process.pid}/fd").iterdir()))


def test_ten_thousand_streams(fresh):
    server = fresh("--loops", "2")
    server.start()
    figures = {"memory at start": server.resident_bytes >> 20}

    def make(connection, number):
        answer = server.request("PUT", f"/v1/streams/s{number}", {}, connection=connection)
        assert answer.status == 201, answer

    def append(connection, number):
        body = json.dumps({"n": number, "pad": "x" * 1000})
        answer = server.request(
            "POST", f"/v1/streams/s{number}/records", body, {"Content-Type": "application/json"},
            connection=connection)
        assert answer.status == 200, answer

    def read(connection, number):
        answer = server.request("GET", f"/v1/streams/s{number}/records", connection=connection)
        assert [record["value"]["n"] for record in answer.json["records"]] == [number] * rounds

    figures["made in s"] = in_parallel(server, make)
    rounds = 3
    most_files = most_memory = 0
    for _ in range(rounds):
        figures["a record each in s"] = in_parallel(server, append)
        most_files = max(most_files, open_files(server))
        most_memory = max(most_memory, server.resident_bytes >> 20)
    # A checkpoint lays ten thousand segments.
    deadline = time.monotonic() + 40
    while b'millrace_store_checkpoints_total{lane="1"} 0' in server.get("/metrics").body:
        assert time.monotonic() < deadline
        most_files = max(most_files, open_files(server))
        time.sleep(0.02)
    in_parallel(server, read)
    figures["most open files"] = max(most_files, open_files(server))
    figures["most memory in MiB"] = max(most_memory, server.resident_bytes >> 20)
    in_parallel(server, append)
    server.kill()
    started = time.monotonic()
    server.start()
    figures["ready after kill -9 in s"] = time.monotonic() - started
    figures["memory after it"] = server.resident_bytes >> 20
    rounds += 1
    in_parallel(server, read)
    print({name: round(value, 2) for name, value in figures.items()})
    assert figures["most open files"] < 500
    assert figures["most memory in MiB"] < 400
    assert figures["ready after kill -9 in s"] < 3
