"""Consumers of a subscription as threads, and an audit of everything that they were given and said."""

import http.client
import json
import random
import threading
import time

from server import EventReader


class Audit:
    """What every consumer saw. Records are told apart by (shard, offset); values are {"k": key, "n": number in key}."""

    def __init__(self):
        self.lock = threading.Lock()
        self.deliveries = []  # (when, consumer, place, key, n, delivery)
        self.sent = set()  # acks that were sent, whether they were answered or not
        self.settled = {}  # place: when its ok was heard
        self.faults = []

    def delivered(self, consumer, messages, asked, held=(), slack=0):
        """Messages of one answer, whose question was asked at `asked`; `held` came by the same connection before."""
        with self.lock:
            batch = set()
            for message in messages:
                record = message["record"]
                place, value = (record["shard"], record["offset"]), record["value"]
                k, n = value["k"], value["n"]
                self.deliveries.append((time.monotonic(), consumer, place, k, n, message["delivery"]))
                if place in self.settled and self.settled[place] + slack < asked:
                    self.faults.append(f"{place} came to {consumer} after its ok: {message}")
                before = (k, n - 1)
                if n > 0 and before not in self.sent and before not in batch and before not in held:
                    self.faults.append(f"{k}/{n} came to {consumer} before {k}/{n - 1} was settled")
                batch.add((k, n))

    def acking(self, messages):
        with self.lock:
            self.sent |= {(m["record"]["value"]["k"], m["record"]["value"]["n"]) for m in messages}

    def acked(self, messages, results):
        assert [r["ack_id"] for r in results] == [m["ack_id"] for m in messages]
        with self.lock:
            for message, result in zip(messages, results):
                if result["status"] == "ok":
                    place = (message["record"]["shard"], message["record"]["offset"])
                    if place in self.settled:
                        self.faults.append(f"{place} was settled twice")
                    self.settled[place] = time.monotonic()
            return [result["status"] for result in results]

    @property
    def consumers(self):
        return {consumer for _, consumer, *_ in self.deliveries}

    def check(self):
        with self.lock:
            assert not self.faults, self.faults[:5]


class Consumer(threading.Thread):
    """Takes messages and settles them until told to stop; goes on through restarts of the server."""

    def __init__(self, server, subscription, name, audit, **habits):
        super().__init__(daemon=True)
        self.server, self.subscription, self.name_, self.audit = server, subscription, name, audit
        self.over, self.failure, self.taken = threading.Event(), None, 0
        self.random = random.Random(name)
        self.max_messages = habits.pop("max_messages", 20)
        self.wait = habits.pop("wait", "1s")
        self.work = habits.pop("work", 0)  # seconds for each answer
        self.drops = habits.pop("drops", 0)  # how likely it settles nothing of an answer
        self.naks = habits.pop("naks", 0)  # how likely each message is not done
        assert not habits, habits

    def run(self):
        try:
            self.consume()
        except Exception as failure:  # shown by stop()
            self.failure = failure

    def consume(self):
        connection = None
        while not self.over.is_set():
            try:
                connection = connection or self.server.connection()
                self.turn(connection)
            except (OSError, http.client.HTTPException):
                connection = None
                self.over.wait(0.05)
        if connection:
            connection.close()

    def turn(self, connection):
        asked = time.monotonic()
        answer = self.call(connection, "pull", {
            "max_messages": self.max_messages, "wait": self.wait, "consumer": self.name_})
        if answer is None:
            return
        messages = answer["messages"]
        self.taken += len(messages)
        self.audit.delivered(self.name_, messages, asked)
        if messages and self.work:
            self.over.wait(self.work)
        if messages and self.random.random() >= self.drops:
            self.settle(connection, messages)

    def settle(self, connection, messages):
        naked = [m for m in messages if self.random.random() < self.naks]
        # Of a key, what comes after a message that is not done is taken back with it.
        lost = {}
        for m in naked:
            value = m["record"]["value"]
            lost[value["k"]] = min(value["n"], lost.get(value["k"], value["n"]))
        done = [m for m in messages if m["record"]["value"]["n"] < lost.get(m["record"]["value"]["k"], 1 << 60)]
        self.audit.acking(done)
        body = {"ack": [m["ack_id"] for m in done],
                "nak": [{"ack_id": m["ack_id"], "delay": "0s"} for m in naked]}
        answer = self.call(connection, "ack", body)
        if answer is not None:
            self.audit.acked(done, answer["results"][:len(done)])

    def call(self, connection, verb, body):
        """The answer, or None if the server cannot give one now."""
        answer = self.server.request(
            "POST", f"/v1/subscriptions/{self.subscription}:{verb}", body, connection=connection)
        if answer.status in (429, 503):
            self.over.wait(0.05)
            return None
        assert answer.status == 200, answer
        return answer.json

    def stop(self):
        self.over.set()
        self.join(30)
        assert not self.is_alive()
        if self.failure:
            raise self.failure


class Listener(Consumer):
    """The same over server-sent events, with acks beside."""

    def consume(self):
        while not self.over.is_set():
            try:
                reader = EventReader(
                    self.server, f"/v1/subscriptions/{self.subscription}/messages"
                    f"?consumer={self.name_}&max_in_flight={self.max_messages}", timeout=1)
            except (OSError, http.client.HTTPException):
                self.over.wait(0.05)
                continue
            try:
                self.listen(reader)
            except (OSError, http.client.HTTPException):
                pass
            finally:
                reader.close()

    def listen(self, reader):
        assert reader.status == 200, reader.status
        connection, held = self.server.connection(), set()
        while not self.over.is_set():
            event = reader.next()
            if event is None or event[0] in ("problem", "end"):
                return
            if event[0] != "message":
                continue
            self.taken += 1
            # What was on its way may come a little late.
            self.audit.delivered(self.name_, [event[1]], time.monotonic(), held, slack=1)
            held.add((event[1]["record"]["value"]["k"], event[1]["record"]["value"]["n"]))
            if self.work:
                self.over.wait(self.work)
            if self.random.random() >= self.drops:
                self.settle(connection, [event[1]])


def fill(server, stream, keys, each, prefix="k", batch=5000):
    """Appends each key's records 0, 1, 2, … in turns of the keys; gives how many there are."""
    records = [{"k": f"{prefix}{key}", "n": n} for n in range(each) for key in range(keys)]
    for start in range(0, len(records), batch):
        lines = "".join(json.dumps(record) + "\n" for record in records[start:start + batch])
        answer = server.request(
            "POST", f"/v1/streams/{stream}/records?key_pointer=/k", lines,
            {"Content-Type": "application/x-ndjson"})
        assert answer.status == 200, answer
    return len(records)


def subscribe(server, name, stream, **fields):
    answer = server.request("PUT", f"/v1/subscriptions/{name}", {"stream": stream, **fields})
    assert answer.status in (200, 201), answer
    return answer.json


def pull(server, name, **fields):
    answer = server.request("POST", f"/v1/subscriptions/{name}:pull", fields)
    assert answer.status == 200, answer
    return answer.json


def settle(server, name, **lists):
    answer = server.request("POST", f"/v1/subscriptions/{name}:ack", lists)
    assert answer.status == 200, answer
    return [result["status"] for result in answer.json["results"]]


def ack(server, name, messages):
    """Acknowledges messages; all must be ok."""
    assert set(settle(server, name, ack=[m["ack_id"] for m in messages])) <= {"ok"}


def status(server, name):
    answer = server.get(f"/v1/subscriptions/{name}")
    assert answer.status == 200, answer
    return answer.json["status"]


def until(condition, seconds=30):
    """Waits until `condition()` holds; gives what it gave."""
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"it did not come to hold in {seconds} s"
        time.sleep(0.02)
    return found
