"""Endpoints that are down, wrong, slow or hostile, and servers that are killed: nothing is lost, keys stay in order."""

import email.utils
import json
import socket
import threading
import time

import pytest

from receiver import Flaky, Hook, Receiver, orders_by_key
from server import free_port
from test_streams import problem


class Script:
    """Answers one after another; then `rest`."""

    def __init__(self, *answers, rest=204):
        self._answers = list(answers)
        self._rest = rest

    def __call__(self, post):
        answer = self._answers.pop(0) if self._answers else self._rest
        return answer(post) if callable(answer) else answer


def test_a_failure_is_tried_again_under_the_same_id(hook):
    one = hook(Script(500, 302, 404), retry=["200ms"] * 4)
    one.append({"n": 1})
    one.receiver.wait_accepted(1)
    posts = one.receiver.posts
    assert [post.status for post in posts] == [500, 302, 404, 204]
    assert len({post.id for post in posts}) == 1 and not one.receiver.unsigned
    assert [post.headers["millrace-delivery"] for post in posts] == ["1", "2", "3", "4"]
    for before, after in zip(posts, posts[1:]):
        assert 0.155 <= after.at - before.at <= 0.4


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_is_honoured(hook, status):
    one = hook(Script((status, {"retry-after": "1"}, b"")), retry=["10ms"] * 4)
    one.append(1, 2)
    posts = one.receiver.wait_accepted(2) and one.receiver.posts
    assert posts[1].at - posts[0].at >= 0.95

    when = email.utils.formatdate(time.time() + 2, usegmt=True)
    one = hook(Script((status, {"retry-after": when}, b"")), retry=["10ms"] * 4)
    one.append(1)
    posts = one.receiver.wait_accepted(1) and one.receiver.posts
    assert 0.8 <= posts[1].at - posts[0].at <= 3


def test_410_disables_and_loses_nothing(hook):
    one = hook(Script(204, 410))
    one.append(1, 2, 3)
    shown = one.wait_state("disabled")
    assert "410" in shown["disabled"]["reason"]
    time.sleep(0.2)
    assert len(one.receiver.posts) == 2
    one.post(":resume")
    one.receiver.wait_accepted(3)
    assert [post.json for post in one.receiver.accepted] == [1, 2, 3]


def test_a_410_of_the_url_before_disables_nothing(hook):
    entered, answer = threading.Event(), threading.Event()

    def gone(post):
        entered.set()
        answer.wait(10)
        return 410

    one = hook(gone)
    new = Receiver().start()
    one.append(1)
    assert entered.wait(10)
    patch = {"delivery": {"url": new.url}}
    assert one.server.request("PATCH", one.path, patch).status == 200
    answer.set()
    new.wait_accepted(1)
    assert one.server.get(one.path).json["state"] == "active"
    new.stop()


def test_a_redirect_is_not_followed(hook):
    elsewhere = Receiver().start()
    one = hook(
        lambda post: (301, {"location": elsewhere.url}, b""), retry=["20ms"], dead_letter=True)
    one.append({"n": 1}, key="k", headers={"Record-Header-trace": "a"})
    record, = one.dead_letters(1)
    assert not elsewhere.posts and len(one.receiver.posts) == 2
    elsewhere.stop()
    assert record["value"] == {"n": 1} and record["key"] == "k"
    headers = record["headers"]
    assert headers["trace"] == "a" and headers["millrace-subscription"] == one.name
    assert headers["millrace-stream"] == one.name and headers["millrace-offset"] == "0"
    assert "301" in headers["millrace-reason"] and headers["millrace-deliveries"] == "2"


def test_an_endpoint_that_hangs_is_given_up_in_time(hook):
    release = threading.Event()

    def hang(post):
        release.wait(10)
        return 204

    one = hook(Script(hang), timeout="300ms", retry=["50ms"] * 4)
    one.append(1)
    one.receiver.wait(lambda r: len(r.posts) >= 2)
    release.set()
    posts = one.receiver.posts
    assert 0.3 <= posts[1].at - posts[0].at <= 1.5 and posts[0].id == posts[1].id
    one.receiver.wait(lambda r: r.posts[1].status == 204)
    assert "time" in one.attempts(status="failed")["items"][0]["error"].lower()


def test_a_gigabyte_of_an_answer_is_not_read(hook):
    sent = []

    def flood(post):
        out = post.handler.wfile
        out.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n")
        block, total = b"x" * (1 << 20), 0
        try:
            while total < 1 << 30:
                out.write(block)
                total += len(block)
        finally:
            sent.append(total)

    one = hook(Script(flood))
    before = one.server.resident_bytes
    one.append(1)
    one.receiver.wait(lambda r: sent)
    assert sent[0] < 64 << 20, "it was read to the end"
    assert one.server.resident_bytes - before < 32 << 20
    one.append(2)
    one.receiver.wait(lambda r: len(r.posts) >= 2 and r.posts[-1].json == 2)
    time.sleep(0.2)
    assert [post.json for post in one.receiver.posts] == [1, 2], "a 2xx is a 2xx"
    item = one.attempts()["items"][-1]
    assert item["answer_cut"] and len(item["answer"]) == 4096


def test_an_answer_that_ends_half_way_is_none(hook):
    def cut(post):
        post.handler.wfile.write(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf")
        post.handler.wfile.flush()
        post.handler.connection.shutdown(socket.SHUT_RDWR)

    def close(post):
        post.handler.connection.shutdown(socket.SHUT_RDWR)

    def garbage(post):
        post.handler.wfile.write(b"this is no HTTP\r\n\r\n")

    one = hook(Script(cut, close, garbage), retry=["20ms"] * 5)
    one.append(1)
    one.receiver.wait_accepted(1)
    assert len(one.receiver.posts) == 4 and len({post.id for post in one.receiver.posts}) == 1


def test_private_addresses_are_refused(server, fresh):
    receiver = Receiver().start()
    server.create("egress")
    for url in f"http://127.0.0.1:{receiver.port}/", "http://[::1]/", "http://localhost/", "http://10.0.0.1/":
        document = problem(server.request(
            "PUT", "/v1/subscriptions/egress",
            {"stream": "egress", "delivery": {"type": "webhook", "url": url}}), 400, "bad_value")
        assert document["pointer"] == "/delivery/url"
    # A name is judged when it is dialled, each time.
    name = next((name for name in (socket.gethostname(), "ip6-localhost") if resolves_here(name)), None)
    if name:
        hook = Hook(server, "egress-by-name", url=f"http://{name}:{receiver.port}/", retry=["50ms"] * 3)
        hook.append(1)
        deadline = time.monotonic() + 10
        while not (items := hook.attempts()["items"]):
            assert time.monotonic() < deadline
            time.sleep(0.02)
        assert "not allowed" in items[0]["error"] or "not public" in items[0]["error"], items
        hook.close()
    assert not receiver.posts
    receiver.stop()


def resolves_here(name):
    try:
        found = {info[4][0] for info in socket.getaddrinfo(name, 80)}
    except OSError:
        return False
    return bool(found) and all(address.startswith("127.") or address == "::1" for address in found)


def test_what_cannot_be_delivered_is_a_dead_letter_once(hook):
    one = hook(
        lambda post: 422 if post.json["n"] % 5 == 0 else 204, retry=["20ms", "20ms"],
        dead_letter=True, concurrency=4)
    one.append_keyed((f"k{n % 3}", {"n": n}) for n in range(20))
    dead = one.dead_letters(4)
    one.receiver.wait_accepted(16)
    assert sorted(record["value"]["n"] for record in dead) == [0, 5, 10, 15]
    assert {record["headers"]["millrace-deliveries"] for record in dead} == {"3"}
    for key, values in orders_by_key(one.receiver.posts).items():
        assert values == sorted(values)
    time.sleep(0.2)
    assert len(one.server.read_all(one.dead)) == 4


def test_a_poisoned_batch_is_tried_record_by_record(hook):
    def poisoned(post):
        return 400 if any(item["data"] == {"poison": True} for item in post.json) else 204

    one = hook(
        poisoned, format="batch", batch={"max_records": 10, "linger": "200ms"},
        retry=["20ms", "20ms"], dead_letter=True)
    one.append_keyed((f"k{n}", {"poison": True} if n == 3 else {"n": n}) for n in range(8))
    dead, = one.dead_letters(1)
    assert dead["value"] == {"poison": True}
    one.receiver.wait(lambda r: sum(len(post.json) for post in r.accepted) >= 7)
    assert sorted(item["data"]["n"] for post in one.receiver.accepted for item in post.json) == [
        n for n in range(8) if n != 3]
    # The same batch has the same id and the same records at each attempt.
    by_id = {}
    for post in one.receiver.posts:
        by_id.setdefault(post.id, set()).add(post.body)
    assert all(len(bodies) == 1 for bodies in by_id.values())


def test_an_outage_of_ten_seconds_loses_nothing(hook):
    one = hook(shards=2, concurrency=8, retry=["500ms"] * 4)
    stop = threading.Event()
    sent = []

    def append():
        while not stop.is_set():
            n = len(sent)
            one.append_keyed([(f"k{n % 5}", {"n": n // 5})])
            sent.append(n)
            time.sleep(0.05)

    appender = threading.Thread(target=append)
    appender.start()
    one.receiver.wait_accepted(10)
    one.receiver.stop()
    time.sleep(5)
    shown = one.show()["webhook"]
    time.sleep(5)
    posts = len(one.receiver.posts)
    stop.set()
    appender.join()
    one.receiver.start()
    one.receiver.wait(
        lambda r: len({(post.key, post.json["n"]) for post in r.accepted}) == len(sent), 30)
    assert shown["circuit"] in ("open", "half_open") and shown["consecutive_failures"] > 0
    assert shown["last_error"]["error"]
    for key, values in orders_by_key(one.receiver.posts).items():
        assert values == sorted(values), key
    assert one.show()["webhook"]["circuit"] == "closed"
    assert posts < len(sent)


def test_kill_9_while_delivering(fresh):
    server = fresh("--webhook-allow", "127.0.0.0/8").start()
    one = Hook(server, "crashed", Flaky(9, 0.1), shards=2, concurrency=16, retry=["20ms"] * 30)
    count = 30
    for n in range(count):
        one.append_keyed((f"k{key}", {"n": n}) for key in range(20))
    for round in range(3):
        one.receiver.wait_accepted((round + 1) * 100)
        server.kill()
        server.start()
    one.receiver.wait(lambda r: len({(p.key, p.json["n"]) for p in r.accepted}) == count * 20, 40)
    ids, firsts = {}, {}
    for post in sorted(one.receiver.accepted, key=lambda p: p.ended):
        firsts.setdefault(post.key, {}).setdefault(post.json["n"], None)
        ids.setdefault(post.place, set()).add(post.id)
    for key, values in firsts.items():
        assert list(values) == list(range(count)), key
    assert all(len(found) == 1 for found in ids.values()), "a repeat has another id"
    assert len(ids) == count * 20 and not one.receiver.unsigned
    # What was acknowledged is not sent again: only what was under way at each kill.
    assert len(one.receiver.accepted) <= count * 20 + 3 * 40
    one.receiver.stop()


def test_kill_9_keeps_batches_as_they_were(fresh):
    server = fresh("--webhook-allow", "127.0.0.0/8").start()
    down = [True]
    one = Hook(
        server, "crashed", lambda post: 503 if down[0] else 204, format="batch",
        batch={"max_records": 7, "linger": "50ms"}, retry=["300ms"] * 30)
    one.append_keyed((f"k{n}", {"n": n}) for n in range(40))
    one.receiver.wait_posts(3)
    server.kill()
    server.start()
    down[0] = False
    one.receiver.wait(lambda r: sum(len(post.json) for post in r.accepted) >= 40)
    by_id = {}
    for post in one.receiver.posts:
        by_id.setdefault(post.id, set()).add(post.body)
    assert all(len(bodies) == 1 for bodies in by_id.values())
    before = {post.id for post in one.receiver.posts if post.status == 503}
    assert before <= {post.id for post in one.receiver.accepted}, "a batch was put together anew"
    one.receiver.stop()


def test_a_stop_waits_for_answers(fresh):
    server = fresh("--webhook-allow", "127.0.0.0/8").start()

    def slow(post):
        time.sleep(0.7)
        return 204

    one = Hook(server, "stopped", slow)
    one.append(1)
    one.receiver.wait_posts(1)
    assert server.stop() == 0
    one.receiver.wait_accepted(1)
    server.start()
    time.sleep(0.5)
    assert len(one.receiver.posts) == 1, "it was acknowledged"
    one.receiver.stop()


def test_an_endpoint_nobody_listens_at_is_probed_not_hammered(hook):
    port = free_port()
    one = hook(url=f"http://127.0.0.1:{port}/", retry=["10s"] * 9)
    one.append_keyed((f"k{n}", {"n": n}) for n in range(2000))
    deadline = time.monotonic() + 10
    while one.show()["webhook"]["circuit"] != "open":
        assert time.monotonic() < deadline, one.show()
        time.sleep(0.02)
    text = one.server.get("/metrics").body.decode()
    line, = (line for line in text.splitlines()
             if line.startswith(f'millrace_webhook_attempts_total{{subscription="{one.name}",status="none"}}'))
    assert int(line.split()[-1]) <= 80
    assert one.show()["webhook"]["held_until"]
