"""kill -9 under load, twenty times: nothing acknowledged is lost, nothing is there twice, offsets have no holes.

Three kinds of writers send each batch until they hear its fate: producers on a shard's URL, producers whose batches go
to several shards, and requests with an idempotency key. Beside them readers follow all shards by server-sent events,
come back after each kill with the last id they saw, and must get every record once.
"""

import http.client
import json
import random
import threading
import time

from server import EventReader, Server

KILLS = 20
SHARDS = 4
ENVELOPE = "application/vnd.millrace.records+json"


class Writer(threading.Thread):
    """Appends numbered batches one after another; sends the same one again until it is acknowledged."""

    def __init__(self, server, number):
        super().__init__(daemon=True)
        self.server = server
        self.number = number
        self.connection = None
        self.acknowledged = []
        self.repeats = 0
        self.stopping = threading.Event()
        self.failure = None

    def run(self):
        try:
            batch = 0
            while not self.stopping.is_set():
                self.append(batch)
                batch += 1
        except BaseException as error:  # the test shows it
            self.failure = error

    def records(self, batch):
        """What one batch holds: as many records as its number says, each known by three numbers."""
        return [
            {"w": self.number, "b": batch, "i": index, "pad": "x" * 100}
            for index in range(1 + batch % 7)]

    def append(self, batch):
        path, headers, body = self.request(batch)
        while not self.stopping.is_set():
            try:
                self.connection = self.connection or self.server.connection(timeout=10)
                answer = self.server.request("POST", path, body, headers, connection=self.connection)
            except (OSError, http.client.HTTPException):
                if self.connection:
                    self.connection.close()
                self.connection = None
                time.sleep(0.005)
                continue
            if answer.status == 200:
                self.repeats += answer.json["duplicate"]
                self.acknowledged.append((batch, answer.json["ranges"]))
                return
            # Whatever is not an acknowledgement says that the same request may be sent again.
            assert answer.status in (429, 503) and answer.json["retryable"], answer
            time.sleep(0.005)


class ShardProducer(Writer):
    def request(self, batch):
        lines = "".join(json.dumps(record) + "\n" for record in self.records(batch))
        return f"/v1/streams/s/shards/{self.number % SHARDS}/records", {
            "Content-Type": "application/x-ndjson", **self.stamp(batch)}, lines

    def stamp(self, batch):
        return {
            "Producer-Id": f"w{self.number}", "Producer-Epoch": "1", "Producer-Seq": str(batch)}


class StreamProducer(ShardProducer):
    def request(self, batch):
        return "/v1/streams/s/records", {"Content-Type": ENVELOPE, **self.stamp(batch)}, json.dumps(
            {"records": [
                {"key": f"{self.number}.{record['i']}", "value": record}
                for record in self.records(batch)]})


class KeyedClient(StreamProducer):
    def stamp(self, batch):
        return {"Idempotency-Key": f"{self.number}-{batch}"}


class Reader(threading.Thread):
    """Follows all shards; after each loss of its connection it goes on from the last id it saw."""

    def __init__(self, server, query):
        super().__init__(daemon=True)
        self.server = server
        self.query = query
        self.last_id = None
        self.next_offset = [0] * SHARDS
        self.seen = []
        self.resumed = 0
        self.goal = None
        self.failure = None

    def run(self):
        try:
            while not self.is_done:
                self.follow()
        except BaseException as error:
            self.failure = error

    @property
    def is_done(self):
        return self.goal is not None and self.next_offset == self.goal

    def follow(self):
        headers = {"Last-Event-ID": self.last_id} if self.last_id else {}
        events = None
        try:
            events = EventReader(self.server, "/v1/streams/s/records" + self.query, headers, timeout=2)
            assert events.status == 200, events.status
            self.resumed += 1
            while not self.is_done and (event := events.next()) is not None:
                name, data = event
                assert name in ("open", "record", "batch", "problem"), event
                for record in data if name == "batch" else [data] if name == "record" else []:
                    self.take(record)
                if events.last_id:
                    self.last_id = events.last_id
        except (OSError, http.client.HTTPException):
            time.sleep(0.005)
        finally:
            if events:
                events.close()

    def take(self, record):
        shard, offset = record["shard"], int(record["offset"])
        assert offset == self.next_offset[shard], f"{offset} follows {self.next_offset[shard] - 1}"
        self.next_offset[shard] = offset + 1
        self.seen.append((shard, offset, identity(record["value"])))


def identity(value):
    return value["w"], value["b"], value["i"]


def kill_under(server, writers, pauses):
    """Kills and starts the server again and again, then lets the writers end, each with what it was told."""
    for _ in range(KILLS):
        time.sleep(pauses())
        server.kill()
        server.start()
    time.sleep(0.2)
    for writer in writers:
        writer.stopping.set()
    for writer in writers:
        writer.join(30)
        assert not writer.is_alive() and writer.failure is None, writer.failure


def test_nothing_acknowledged_is_lost(tmp_path):
    chance = random.Random(20)
    server = Server(tmp_path, arguments=("--loops", "2"))
    threads = []
    try:
        server.start()
        server.create("s", {"shards": SHARDS})
        kinds = [ShardProducer] * 4 + [StreamProducer] * 2 + [KeyedClient] * 2
        writers = [kind(server, number) for number, kind in enumerate(kinds)]
        readers = [Reader(server, "?from=earliest"), Reader(server, "?from=earliest&batch=true")]
        threads = writers + readers
        for thread in threads:
            thread.start()
        kill_under(server, writers, pauses=lambda: chance.uniform(0.05, 0.4))
        places = check(server, writers)
        goal = [int(s["tail"]) for s in server.get("/v1/streams/s/shards").json["items"]]
        for reader in readers:
            reader.goal = goal
        for reader in readers:
            reader.join(60)
            assert reader.failure is None, reader.failure
            assert not reader.is_alive(), (reader.next_offset, goal)
            assert {(shard, offset): who for shard, offset, who in reader.seen} == places
            assert len(reader.seen) == len(places)
            assert reader.resumed > KILLS / 2, "it hardly ever came back"
        server.kill()
        server.start()
        assert check(server, writers) == places
        print(
            f"{sum(len(w.acknowledged) for w in writers)} batches, {len(places)} records, "
            f"{sum(w.repeats for w in writers)} found to be repeated, {KILLS} kills")
    finally:
        for thread in threads:
            if isinstance(thread, Writer):
                thread.stopping.set()
            else:
                thread.goal = thread.next_offset
        server.close()


def check(server, writers):
    """Reads everything; gives who is where."""
    places = {}
    for shard in range(SHARDS):
        answer = server.get(
            f"/v1/streams/s/shards/{shard}/records", headers={"Accept": "application/x-ndjson"})
        assert answer.status == 200, answer
        for offset, line in enumerate(answer.body.splitlines()):
            record = json.loads(line)
            assert int(record["offset"]) == offset and record["shard"] == shard
            places[(shard, offset)] = identity(record["value"])
    assert len(set(places.values())) == len(places), "something is there twice"
    total = 0
    for writer in writers:
        assert len(writer.acknowledged) > 10, f"writer {writer.number} proves nothing"
        for batch, ranges in writer.acknowledged:
            stored = [
                places[(r["shard"], offset)] for r in ranges
                for offset in range(int(r["start"]), int(r["end"]))]
            wanted = [identity(record) for record in writer.records(batch)]
            assert sorted(stored) == wanted
            for part in ranges:
                run = [
                    places[(part["shard"], offset)]
                    for offset in range(int(part["start"]), int(part["end"]))]
                assert run == sorted(run), "a batch's order is kept within a shard"
            total += len(wanted)
    assert len(places) >= total
    return places
