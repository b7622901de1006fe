"""kill -9 under load, twenty times: nothing acknowledged is lost, nothing is there twice, offsets have no holes."""

import http.client
import json
import random
import threading
import time

from server import Server

KILLS = 20
WRITERS = 8
SHARDS = 4


class Writer(threading.Thread):
    """Appends numbered records under a producer's stamp; sends the same batch again until it hears its fate."""

    def __init__(self, server, number):
        super().__init__(daemon=True)
        self.server = server
        self.number = number
        self.sequence = 0
        self.acknowledged = []
        self.stopping = threading.Event()
        self.failure = None

    def run(self):
        try:
            while not self.stopping.is_set():
                self.append_once()
                self.sequence += 1
        except Exception as error:  # the test shows it
            self.failure = error

    def append_once(self):
        size = 1 + self.sequence % 7
        lines = "".join(
            json.dumps({"w": self.number, "s": self.sequence, "i": index, "pad": "x" * 200}) + "\n"
            for index in range(size))
        headers = {
            "Content-Type": "application/x-ndjson", "Producer-Id": f"w{self.number}",
            "Producer-Epoch": "1", "Producer-Seq": str(self.sequence)}
        path = f"/v1/streams/s/shards/{self.number % SHARDS}/records"
        while not self.stopping.is_set():
            try:
                if not hasattr(self, "connection"):
                    self.connection = self.server.connection(timeout=10)
                answer = self.server.request(
                    "POST", path, lines, headers, connection=self.connection)
            except (OSError, http.client.HTTPException):
                if hasattr(self, "connection"):
                    self.connection.close()
                    del self.connection
                time.sleep(0.01)
                continue
            if answer.status == 200:
                first = answer.json["ranges"][0]
                self.acknowledged.append((self.sequence, size, first["shard"], int(first["start"])))
                return
            assert answer.status in (429, 503), answer
            time.sleep(0.01)


def test_nothing_acknowledged_is_lost(tmp_path):
    chance = random.Random(20)
    server = Server(tmp_path, arguments=("--loops", "2"))
    writers = []
    try:
        server.start()
        server.create("s", {"shards": SHARDS})
        writers = [Writer(server, number) for number in range(WRITERS)]
        for writer in writers:
            writer.start()
        for _ in range(KILLS):
            time.sleep(chance.uniform(0.05, 0.6))
            server.kill()
            server.start()
        time.sleep(0.3)
        for writer in writers:
            writer.stopping.set()
        for writer in writers:
            writer.join(30)
            assert writer.failure is None, writer.failure
        check(server, writers)
        server.kill()
        server.start()
        check(server, writers)
    finally:
        for writer in writers:
            writer.stopping.set()
        server.close()


def check(server, writers):
    places = {}
    for shard in range(SHARDS):
        records = server.read_all("s", shard)
        assert [int(record["offset"]) for record in records] == list(range(len(records)))
        seen = set()
        for record in records:
            value = record["value"]
            identity = (value["w"], value["s"], value["i"])
            assert identity not in seen, f"{identity} is there twice"
            seen.add(identity)
            places[identity] = (record["shard"], int(record["offset"]))
    total = 0
    for writer in writers:
        for sequence, size, shard, start in writer.acknowledged:
            for index in range(size):
                assert places[(writer.number, sequence, index)] == (shard, start + index)
        total += len(writer.acknowledged)
    assert total > 100, "too little was written to prove anything"
    print(f"{total} acknowledged batches, {len(places)} records, {KILLS} kills")
