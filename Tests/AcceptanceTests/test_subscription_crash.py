"""kill -9 under load, twenty times, with consumers: nothing is lost, nothing comes after its ok, keys are in order.

Producers append; consumers pull from two subscriptions of their stream and acknowledge most of what they get. Some they
refuse, some they give up for the dead letters, some they forget. A message and its ack may be lost with a server, so a
consumer believes only what it was told; that must hold over every kill.
"""

import http.client
import json
import random
import threading
import time
from collections import Counter, defaultdict

from server import Server
from test_crash import KILLS, SHARDS, StreamProducer, check, identity, kill_under

MAX_DELIVERIES = 100
ORDERINGS = ["key", "none"]


class Ledger:
    """What the consumers of one subscription were told, all together."""

    def __init__(self, name, is_ordered):
        self.name = name
        self.is_ordered = is_ordered
        self.lock = threading.Lock()
        self.delivered = Counter()
        self.ok_at = {}
        self.given_up = set()
        self.doubtful = set()
        # Of each key what each answer brought: when that was known, and the offsets.
        self.answers = defaultdict(list)
        self.repeated = 0

    def received(self, messages, asked_at):
        with self.lock:
            now = time.monotonic()
            lines = defaultdict(list)
            for message in messages:
                record = message["record"]
                place = (record["shard"], int(record["offset"]))
                ok_at = self.ok_at.get(place)
                assert ok_at is None or ok_at > asked_at, f"{place} is delivered after its ok"
                self.repeated += message["delivery"] > 1
                self.delivered[place] += 1
                lines[(place[0], record["key"])].append(place[1])
            for key, offsets in lines.items() if self.is_ordered else ():
                assert offsets == sorted(set(offsets)), f"{key}: {offsets}"
                for known_at, before in self.answers[key]:
                    passed = [o for o in offsets if o < before[-1] and o not in before]
                    assert known_at > asked_at or not passed, f"{key}: {passed} after {before}"
                self.answers[key].append((now, offsets))

    def settled(self, place, gives_up):
        with self.lock:
            self.ok_at.setdefault(place, time.monotonic())
            if gives_up:
                self.given_up.add(place)

    def doubt(self, places):
        with self.lock:
            self.doubtful.update(places)


class Consumer(threading.Thread):
    def __init__(self, server, ledger, number):
        super().__init__(daemon=True)
        self.server = server
        self.ledger = ledger
        self.number = number
        self.chance = random.Random(number)
        self.connection = None
        self.is_whimsical = True
        self.is_empty = False
        self.stopping = threading.Event()
        self.failure = None

    def run(self):
        try:
            while not self.stopping.is_set():
                self.work()
        except BaseException as error:  # the test shows it
            self.failure = error

    def call(self, verb, body):
        """An answer's document; None if the server is gone or cannot now."""
        try:
            self.connection = self.connection or self.server.connection(timeout=10)
            answer = self.server.request(
                "POST", f"/v1/subscriptions/{self.ledger.name}:{verb}", body,
                connection=self.connection)
        except (OSError, http.client.HTTPException):
            if self.connection:
                self.connection.close()
            self.connection = None
            time.sleep(0.005)
            return None
        if answer.status == 200:
            return answer.json
        assert answer.status in (429, 503) and answer.json["retryable"], answer
        time.sleep(0.005)
        return None

    def work(self):
        asked_at = time.monotonic()
        pulled = self.call(
            "pull", {"max_messages": 50, "wait": "200ms", "consumer": f"c{self.number}"})
        if pulled is None:
            return
        messages = pulled["messages"]
        self.ledger.received(messages, asked_at)
        self.is_empty = not messages and pulled["backlog"]["records"] == "0"
        if messages:
            self.settle(messages)

    def settle(self, messages):
        acks, naks, terms, places = [], [], [], {}
        for message in messages:
            record = message["record"]
            draw = self.chance.random() if self.is_whimsical else 1
            ack_id = message["ack_id"]
            if draw < 0.02:
                continue
            places[ack_id] = (record["shard"], int(record["offset"]))
            if draw < 0.05:
                naks.append({"ack_id": ack_id, "delay": "20ms"})
            elif draw < 0.07:
                terms.append({"ack_id": ack_id, "reason": "useless"})
            else:
                acks.append(ack_id)
        answer = self.call("ack", {"ack": acks, "nak": naks, "term": terms})
        if answer is None:
            # It may have happened.
            self.ledger.doubt(places.values())
            return
        given_up = {term["ack_id"] for term in terms}
        refused = {nak["ack_id"] for nak in naks}
        assert {result["ack_id"] for result in answer["results"]} == set(places)
        for result in answer["results"]:
            ack_id = result["ack_id"]
            if result["status"] == "ok" and ack_id not in refused:
                self.ledger.settled(places[ack_id], ack_id in given_up)


def test_what_was_acknowledged_is_over_and_nothing_else(tmp_path):
    chance = random.Random(21)
    server = Server(tmp_path, arguments=("--loops", "2"))
    threads = []
    try:
        server.start()
        server.create("s", {"shards": SHARDS})
        ledgers = [subscribe(server, ordering) for ordering in ORDERINGS]
        writers = [StreamProducer(server, number) for number in range(4)]
        consumers = [
            Consumer(server, ledger, number) for ledger in ledgers for number in range(3)]
        threads = writers + consumers
        for thread in threads:
            thread.start()
        kill_under(server, writers, pauses=lambda: chance.uniform(0.1, 0.5))
        for consumer in consumers:
            consumer.is_whimsical = False
            consumer.is_empty = False
        await_empty(consumers)
        for consumer in consumers:
            consumer.stopping.set()
        for consumer in consumers:
            consumer.join(30)
            assert consumer.failure is None, consumer.failure
        places = check(server, writers)
        for ledger in ledgers:
            check_ledger(server, ledger, places)
        server.kill()
        server.start()
        for ledger in ledgers:
            rest = server.request(
                "POST", f"/v1/subscriptions/{ledger.name}:pull", {"max_messages": 10}).json
            assert rest["messages"] == [] and rest["backlog"]["records"] == "0", rest
        print(
            f"{len(places)} records, {[ledger.repeated for ledger in ledgers]} redelivered, "
            f"{[len(ledger.given_up) for ledger in ledgers]} given up, {KILLS} kills")
    finally:
        for thread in threads:
            thread.stopping.set()
        server.close()


def subscribe(server, ordering):
    server.create(f"dead.{ordering}", {"shards": 2})
    answer = server.request("PUT", f"/v1/subscriptions/by.{ordering}", {
        "stream": "s", "ordering": ordering, "ack_deadline": "500ms", "backoff": ["20ms"],
        "max_deliveries": MAX_DELIVERIES, "dead_letter": {"stream": f"dead.{ordering}"}})
    assert answer.status == 201, answer
    return Ledger(f"by.{ordering}", ordering == "key")


def await_empty(consumers):
    deadline = time.monotonic() + 60
    while not all(consumer.is_empty for consumer in consumers):
        for consumer in consumers:
            assert consumer.failure is None, consumer.failure
        assert time.monotonic() < deadline, "something is never settled"
        time.sleep(0.05)


def check_ledger(server, ledger, places):
    """Every record was settled by somebody; what was given up is among the dead letters, once, as it was."""
    dead = Counter()
    for letter in server.read_all(ledger.name.replace("by.", "dead.")):
        headers = letter["headers"]
        assert headers["millrace-subscription"] == ledger.name
        assert headers["millrace-stream"] == "s" and headers["millrace-reason"] == "useless", letter
        place = int(headers["millrace-shard"]), int(headers["millrace-offset"])
        assert identity(letter["value"]) == places[place]
        assert letter["key"] == f"{letter['value']['w']}.{letter['value']['i']}"
        dead[place] += 1
    twice = [place for place, count in dead.items() if count > 1]
    assert not twice, f"buried twice: {twice}"
    missing = ledger.given_up - set(dead)
    assert not missing, f"given up, and not among the dead letters: {missing}"
    unasked = set(dead) - ledger.given_up - ledger.doubtful
    assert not unasked, f"nobody gave these up: {unasked}"
    lost = set(places) - set(ledger.ok_at) - ledger.doubtful
    assert not lost, f"nobody settled these: {sorted(lost)[:20]}"
    assert set(ledger.delivered) == set(places)
    assert ledger.repeated > 0 and len(ledger.given_up) > 10, "it proves nothing"
