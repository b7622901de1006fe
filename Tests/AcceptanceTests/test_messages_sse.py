"""Consumers over server-sent events: shares, acks beside, closing, slow readers, the end, and a real browser."""

import json
import socket
import subprocess
import time

import pytest

from consumers import ack, pull, settle, status, subscribe, until
from server import EventReader
from test_browser import CLOSED
from test_streams import problem

FAST = {"backoff": [], "ack_deadline": "30s"}


@pytest.fixture
def sub(server, stream):
    """A subscription of its own stream of one shard, which is named as it is."""
    subscribe(server, stream, stream, **FAST)
    return stream


def listen(server, name, query="", **options):
    return EventReader(server, f"/v1/subscriptions/{name}/messages{query}", **options)


def values(messages):
    return [message["record"]["value"] for message in messages]


def test_messages_come_as_events_and_are_settled_beside(server, sub):
    reader = listen(server, sub, "?consumer=tab-7")
    assert reader.status == 200
    assert reader.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert reader.headers["cache-control"] == "no-cache, no-transform"
    assert reader.headers["x-accel-buffering"] == "no"
    assert reader.next() == ("open", {"subscription": sub, "consumer": "tab-7", "heartbeat_ms": 15000})
    server.append_lines(sub, [1, 2])
    got = reader.take(2, "message")
    assert values(got) == [1, 2] and [m["delivery"] for m in got] == [1, 1]
    assert got[0].keys() == {"ack_id", "delivery", "deadline", "record"}
    assert got[0]["record"] == server.read(sub).json["records"][0]
    assert reader.last_id is None, "where it stands is kept by the server"
    ack(server, sub, got)
    server.append(sub, 3)
    assert values(reader.take(1, "message")) == [3]
    seen = status(server, sub)
    assert seen["in_flight"] == 1 and seen["consumers"] == 1 and seen["backlog"]["records"] == "1"
    (item,) = server.get(f"/v1/subscriptions/{sub}/consumers").json["items"]
    assert (item["consumer"], item["kind"], item["in_flight"]) == ("tab-7", "sse", 1)
    reader.close()


def test_the_bytes_are_those_of_the_contract(server, sub):
    server.append(sub, b'{"n": 1}', raw=True)
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as peer:
        peer.sendall(f"GET /v1/subscriptions/{sub}/messages HTTP/1.0\r\nHost: localhost\r\n\r\n".encode())
        received = b""
        while received.count(b"\n\n") < 2:
            received += peer.recv(65536)
    head, _, body = received.partition(b"\r\n\r\n")
    first, second, _ = body.split(b"\n\n")
    assert first == (f'event: open\ndata: {{"subscription":"{sub}","consumer":"","heartbeat_ms":15000}}\n'
                     "retry: 2000").encode()
    assert second.startswith(b'event: message\ndata: {"ack_id":"a') and second.endswith(b'"value":{"n": 1}}}')
    assert b"\r" not in body


def test_a_connection_has_its_share_and_no_more(server, sub):
    server.append_lines(sub, list(range(50)))
    small, large = listen(server, sub, "?max_in_flight=3"), listen(server, sub, "?max_in_flight=20")
    few, many = small.take(3, "message"), large.take(20, "message")
    assert status(server, sub)["in_flight"] == 23
    ack(server, sub, few[:2])
    more = small.take(2, "message")
    assert len({m["record"]["offset"] for m in few + many + more}) == 25
    time.sleep(0.2)
    assert status(server, sub)["in_flight"] == 23
    small.close()
    large.close()


def test_closing_gives_its_messages_back_at_once(server, sub):
    server.append_lines(sub, list(range(10)))
    reader = listen(server, sub)
    got = reader.take(10, "message")
    assert pull(server, sub)["messages"] == []
    started = time.monotonic()
    reader.close()
    again = []
    while len(again) < 10:
        again += pull(server, sub, wait="5s")["messages"]
    assert time.monotonic() - started < 5, "not only at their deadline"
    assert values(again) == list(range(10)) and {m["delivery"] for m in again} == {2}
    assert set(settle(server, sub, ack=[m["ack_id"] for m in got])) == {"stale"}
    ack(server, sub, again)


def test_consumers_of_both_kinds_share(server, sub):
    readers = [listen(server, sub, f"?consumer=s{n}&max_in_flight=5") for n in range(3)]
    for reader in readers:
        assert reader.next()[0] == "open"
    server.append_lines(sub, list(range(40)))
    got = [m for reader in readers for m in reader.take(5, "message")]
    got += pull(server, sub)["messages"]
    assert sorted(values(got)) == list(range(40))
    for reader in readers:
        reader.close()


def test_it_speaks_in_silence(fresh):
    server = fresh("--heartbeat", "1s").start()
    server.create("s")
    subscribe(server, "s", "s")
    reader = listen(server, "s")
    assert reader.next()[1]["heartbeat_ms"] == 1000
    time.sleep(2.5)
    server.append("s", 1)
    assert values(reader.take(1, "message")) == [1]
    assert 1 <= reader.comments <= 3
    reader.close()


def test_a_slow_socket_is_given_no_more_and_stops_nobody(server, sub):
    record = {"pad": "x" * 10_000}
    for _ in range(10):
        server.append_lines(sub, [record] * 100)
    slow = socket.socket()
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(("127.0.0.1", server.port))
    slow.sendall(f"GET /v1/subscriptions/{sub}/messages HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
    held = until(lambda: status(server, sub)["in_flight"])
    time.sleep(0.5)
    held = status(server, sub)["in_flight"]
    # 256 KiB, what the kernel takes (some MiB on loopback), and one delivery that was on its way.
    assert 0 < held < 900, held
    taken = []
    while more := pull(server, sub, wait="300ms")["messages"]:
        ack(server, sub, more)
        taken += more
    assert len(taken) == 1000 - held and status(server, sub)["in_flight"] == held
    # It reads on: what waited comes, and then more, as acks would make room for.
    received = b""
    slow.settimeout(5)
    while received.count(b"event: message") < held:
        received += slow.recv(1 << 20)
    server.append(sub, "last")
    while b'"last"' not in received:
        received += slow.recv(1 << 20)
    slow.close()
    until(lambda: status(server, sub)["in_flight"] == 0)


def test_a_stop_is_a_problem_and_its_messages_are_there_after_it(fresh):
    server = fresh().start()
    server.create("s")
    subscribe(server, "s", "s", **FAST)
    server.append_lines("s", [1, 2])
    reader = listen(server, "s")
    ack(server, "s", reader.take(2, "message")[:1])
    started = time.monotonic()
    assert server.stop() == 0 and time.monotonic() - started < 5
    name, said = reader.next()
    assert name == "problem" and said["code"] == "stopping" and said["retryable"] is True
    assert reader.next() is None
    server.start()
    assert values(pull(server, "s", wait="5s")["messages"]) == [2]


def test_a_pull_that_waits_at_a_stop_is_answered(fresh):
    server = fresh().start()
    server.create("s")
    subscribe(server, "s", "s")
    connection = server.connection()
    connection.request(
        "POST", "/v1/subscriptions/s:pull", '{"wait":"50s"}', {"Content-Type": "application/json"})
    until(lambda: status(server, "s")["consumers"] == 1)
    started = time.monotonic()
    assert server.stop() == 0 and time.monotonic() - started < 5
    answer = json.loads(connection.getresponse().read())
    assert answer == {"messages": [], "backlog": None, "state": "active"}
    connection.close()


def test_the_end_of_a_subscription_is_an_event_and_then_404(server, sub):
    reader = listen(server, sub)
    assert reader.next()[0] == "open"
    assert server.request("DELETE", f"/v1/subscriptions/{sub}").status == 204
    assert reader.next() == ("end", {"reason": "deleted"})
    assert reader.next() is None
    problem(server.get(f"/v1/subscriptions/{sub}/messages"), 404, "subscription_not_found")


def test_the_end_of_its_stream_is_an_event_and_then_410(server, sub):
    reader = listen(server, sub)
    assert reader.next()[0] == "open"
    problem(server.request("DELETE", f"/v1/streams/{sub}"), 409, "stream_in_use")
    assert server.request("DELETE", f"/v1/streams/{sub}?force=true").status == 204
    assert reader.next() == ("end", {"reason": "stream_deleted"})
    problem(server.get(f"/v1/subscriptions/{sub}/messages"), 410, "stream_replaced")
    server.create(sub)
    server.append(sub, "of another stream")
    problem(server.request("POST", f"/v1/subscriptions/{sub}:pull"), 410, "stream_replaced")
    assert server.request("DELETE", f"/v1/subscriptions/{sub}").status == 204


def test_a_pause_is_silence_and_a_resume_goes_on(server, sub):
    reader = listen(server, sub)
    assert reader.next()[0] == "open"
    assert server.request("POST", f"/v1/subscriptions/{sub}:pause").status == 200
    server.append(sub, "later")
    time.sleep(0.3)
    assert status(server, sub)["in_flight"] == 0
    assert server.request("POST", f"/v1/subscriptions/{sub}:resume").status == 200
    assert values(reader.take(1, "message")) == ["later"]
    reader.close()


def test_another_way_of_delivery_is_the_end_for_those_who_listen_and_wait(server, sub):
    reader = listen(server, sub)
    assert reader.next()[0] == "open"
    connection = server.connection()
    connection.request(
        "POST", f"/v1/subscriptions/{sub}:pull", '{"wait":"20s"}', {"Content-Type": "application/json"})
    until(lambda: status(server, sub)["consumers"] == 2)
    hook = {"delivery": {"type": "webhook", "url": "https://svc.example/hook"}}
    assert server.request("PATCH", f"/v1/subscriptions/{sub}", hook).status == 200
    assert reader.next() == ("end", {"reason": "delivery_changed"})
    answer = connection.getresponse()
    assert answer.status == 409 and json.loads(answer.read())["code"] == "wrong_delivery"
    connection.close()
    assert server.request("DELETE", f"/v1/subscriptions/{sub}").status == 204


def test_what_cannot_be_is_refused(server, sub, name):
    problem(server.get(f"/v1/subscriptions/{sub}/messages?max_in_flight=0"), 400, "bad_parameter")
    problem(server.get(f"/v1/subscriptions/{sub}/messages?consumer=%0A"), 400, "bad_parameter")
    problem(server.get(f"/v1/subscriptions/{sub}/messages?from=tail"), 400, "unknown_field")
    accept = {"Accept": "application/json"}
    problem(server.get(f"/v1/subscriptions/{sub}/messages", headers=accept), 406, "not_acceptable")
    head = server.request("HEAD", f"/v1/subscriptions/{sub}/messages")
    assert head.status == 200 and head.body == b""
    hook = {"stream": sub, "delivery": {"type": "webhook", "url": "https://svc.example/hook"}}
    assert server.request("PUT", f"/v1/subscriptions/{name}", hook).status == 201
    problem(server.get(f"/v1/subscriptions/{name}/messages"), 409, "wrong_delivery")
    problem(server.request("POST", f"/v1/subscriptions/{name}:pull"), 409, "wrong_delivery")
    assert server.request("DELETE", f"/v1/subscriptions/{name}").status == 204


def test_over_http2(server, sub):
    server.append(sub, 1)
    client = subprocess.Popen(
        ["curl", "-sSN", "--http2-prior-knowledge", f"{server.url}/v1/subscriptions/{sub}/messages"],
        stdout=subprocess.PIPE)
    lines = iter(client.stdout.readline, b"")
    message = json.loads(next(line for line in lines if b'"ack_id"' in line)[len("data: "):])
    assert message["record"]["value"] == 1
    client.kill()
    client.wait()
    client.stdout.close()
    again = pull(server, sub, wait="5s")["messages"]
    assert [m["delivery"] for m in again] == [2], "given back at once"


# A browser


# What a page would write: work through messages, and acknowledge each by fetch.
CONSUME = """(base => {
  window.seen = []; window.acked = []; window.errors = [];
  window.source = new EventSource(base + "/messages?consumer=page&max_in_flight=10");
  source.onmessage = async event => {
    const message = JSON.parse(event.data);
    seen.push([message.record.value, message.delivery]);
    if (window.lazy) return;
    const answer = await fetch(base + ":ack", { method: "POST",
      headers: { "Content-Type": "application/json" }, body: JSON.stringify({ ack: [message.ack_id] }) });
    acked.push((await answer.json()).results[0].status);
  };
  source.addEventListener("end", event => window.end = JSON.parse(event.data));
  source.onerror = () => errors.push(source.readyState);
})(%s)"""


def consume(page, server, name):
    page.open(server.url + "/livez")
    page.evaluate(CONSUME % json.dumps(f"{server.url}/v1/subscriptions/{name}"))


def test_a_page_works_messages_off(page, server, sub):
    server.append_lines(sub, list(range(40)))
    consume(page, server, sub)
    page.wait("acked.length == 40")
    assert page.evaluate("seen") == [[n, 1] for n in range(40)]
    assert set(page.evaluate("acked")) == {"ok"}
    assert status(server, sub)["backlog"]["records"] == "0"


def test_a_page_that_closes_gives_back_what_it_has(chromium, server, sub):
    server.append_lines(sub, list(range(5)))
    page = chromium.page()
    page.open(server.url + "/livez")
    page.evaluate("window.lazy = true")
    page.evaluate(CONSUME % json.dumps(f"{server.url}/v1/subscriptions/{sub}"))
    page.wait("seen.length == 5")
    page.close()
    again = pull(server, sub, wait="10s")["messages"]
    assert [(m["record"]["value"], m["delivery"]) for m in again] == [(n, 2) for n in range(5)]


def test_a_page_goes_on_by_itself_after_kill_9(page, fresh):
    server = fresh().start()
    server.create("s")
    subscribe(server, "s", "s", **FAST)
    server.append_lines("s", list(range(20)))
    consume(page, server, "s")
    page.wait("acked.length == 20")
    server.kill()
    page.wait("errors.length >= 1")
    server.start()
    server.append_lines("s", list(range(20, 40)))
    page.wait("acked.filter(status => status == 'ok').length == 40")
    assert sorted({value for value, _ in page.evaluate("seen")}) == list(range(40))
    assert len(page.evaluate("seen")) == 40, "nothing came after its ok"


def test_a_page_stays_away_from_a_subscription_that_is_no_more(page, server, sub):
    consume(page, server, sub)
    until(lambda: status(server, sub)["consumers"] == 1)
    server.request("DELETE", f"/v1/subscriptions/{sub}")
    page.wait(f"source.readyState == {CLOSED}")
    assert page.evaluate("end") == {"reason": "deleted"}
