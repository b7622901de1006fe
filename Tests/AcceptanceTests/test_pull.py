"""Pulling and settling: what comes, what each word about it does, and what is refused."""

import json
import socket
import subprocess
import time
from datetime import datetime, timedelta

import pytest

from consumers import ack, pull, settle, status, subscribe, until
from test_streams import problem

FAST = {"backoff": [], "ack_deadline": "30s"}


@pytest.fixture
def sub(server, stream):
    """A subscription of its own stream of one shard, which is named as it is."""
    subscribe(server, stream, stream, **FAST)
    return stream


def append(server, stream, *values, **headers):
    answer = server.append_lines(stream, values, headers)
    assert answer.status == 200, answer


def values(answer):
    return [message["record"]["value"] for message in answer["messages"]]


def ids(answer):
    return [message["ack_id"] for message in answer["messages"]]


def post(server, name, verb, body=None, **options):
    return server.request("POST", f"/v1/subscriptions/{name}:{verb}", body, **options)


# Pulling


def test_what_is_acknowledged_is_not_delivered_again(server, sub):
    append(server, sub, 1, 2, 3)
    first = pull(server, sub)
    assert values(first) == [1, 2, 3] and [m["delivery"] for m in first["messages"]] == [1, 1, 1]
    assert first["state"] == "active" and first["backlog"]["records"] == "3"
    assert settle(server, sub, ack=ids(first)) == ["ok"] * 3
    assert settle(server, sub, ack=ids(first)) == ["stale"] * 3
    assert pull(server, sub)["messages"] == []
    append(server, sub, 4)
    last = pull(server, sub)
    assert values(last) == [4] and last["backlog"]["records"] == "1"
    ack(server, sub, last["messages"])
    seen = status(server, sub)
    assert seen["backlog"]["records"] == "0" and seen["in_flight"] == 0
    assert seen["shards"] == [{"shard": 0, "floor": "4", "tail": "4", "settled_above": "0"}]
    assert seen["counts"]["acked"] == "4"


def test_a_record_is_as_in_reads(server, sub):
    sent = {"records": [
        {"key": "u1", "headers": {"trace": "ä\n"}, "value": {"b": 1.5, "a": [None, "\u2028"]}},
        {"value_base64": "AP8=", "content_type": "image/x-none"}, {"key": "", "value": "x" * 300}]}
    server.request(
        "POST", f"/v1/streams/{sub}/records", json.dumps(sent),
        {"Content-Type": "application/vnd.millrace.records+json"})
    got = [message["record"] for message in pull(server, sub)["messages"]]
    assert got == server.read(sub).json["records"] and len(got) == 3
    exact = b'{"n": 1.50,   "big":12345678901234567890}'
    server.append(sub, exact, raw=True)
    assert exact in post(server, sub, "pull").body


def test_as_many_as_were_asked_for_and_as_many_bytes(server, sub):
    append(server, sub, *range(250))
    assert len(pull(server, sub)["messages"]) == 100, "the default"
    assert values(pull(server, sub, max_messages=1)) == [100]
    assert len(pull(server, sub, max_messages=10_000)["messages"]) == 149
    big = "x" * 10_000
    for _ in range(30):
        append(server, sub, big)
    some = pull(server, sub, max_bytes="50000")
    assert 1 <= len(some["messages"]) <= 6
    one = pull(server, sub, max_bytes="1")
    assert len(one["messages"]) == 1 and one["messages"][0]["delivery"] == 1
    rest = []
    while more := pull(server, sub, max_messages=10_000)["messages"]:
        rest += more
    assert len(some["messages"]) + 1 + len(rest) == 30
    assert {m["delivery"] for m in rest} == {1}, "what did not fit was not delivered"


def test_a_wait_ends_with_the_first_record_or_empty(server, sub):
    started = time.monotonic()
    assert pull(server, sub, wait="300ms")["messages"] == []
    assert 0.3 <= time.monotonic() - started < 5
    connection = server.connection()
    connection.request(
        "POST", f"/v1/subscriptions/{sub}:pull", json.dumps({"wait": "20s"}), {"Content-Type": "application/json"})
    time.sleep(0.2)
    started = time.monotonic()
    append(server, sub, "now")
    answer = json.loads(connection.getresponse().read())
    assert values(answer) == ["now"] and time.monotonic() - started < 5
    connection.close()


def test_waiting_consumers_share_what_comes(server, sub):
    waiting = []
    for number in range(8):
        connection = server.connection()
        connection.request(
            "POST", f"/v1/subscriptions/{sub}:pull",
            json.dumps({"wait": "20s", "max_messages": 1, "consumer": f"w{number}"}),
            {"Content-Type": "application/json"})
        waiting.append(connection)
    until(lambda: status(server, sub)["consumers"] == 8)
    append(server, sub, *range(8))
    found = [values(json.loads(c.getresponse().read())) for c in waiting]
    assert sorted(found) == [[n] for n in range(8)]
    for connection in waiting:
        connection.close()


def test_over_http2_too(server, sub):
    append(server, sub, 1)
    run = ["curl", "-sS", "--http2-prior-knowledge"]
    got = json.loads(subprocess.run(
        [*run, f"{server.url}/v1/subscriptions/{sub}:pull", "--json", '{"wait":"5s"}'],
        check=True, capture_output=True).stdout)
    assert values(got) == [1]
    said = json.loads(subprocess.run(
        [*run, f"{server.url}/v1/subscriptions/{sub}:ack", "--json", json.dumps({"ack": ids(got)})],
        check=True, capture_output=True).stdout)
    assert said["results"] == [{"ack_id": ids(got)[0], "status": "ok"}]


# A client that is gone


@pytest.mark.parametrize("how", ["closes", "resets", "closes over HTTP/2"])
def test_a_client_that_goes_away_while_it_waits_takes_nothing_with_it(server, sub, how):
    body = json.dumps({"wait": "30s", "consumer": "gone"})
    if how == "closes over HTTP/2":
        client = subprocess.Popen(
            ["curl", "-sS", "--http2-prior-knowledge", f"{server.url}/v1/subscriptions/{sub}:pull", "--json", body],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: status(server, sub)["consumers"] == 1)
        client.kill()
        client.wait()
    else:
        peer = socket.create_connection(("127.0.0.1", server.port))
        peer.sendall(
            f"POST /v1/subscriptions/{sub}:pull HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode())
        until(lambda: status(server, sub)["consumers"] == 1)
        if how == "resets":
            peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        peer.close()
    time.sleep(0.3)
    append(server, sub, "precious")
    got = pull(server, sub, wait="5s")
    assert values(got) == ["precious"] and got["messages"][0]["delivery"] == 1
    assert status(server, sub)["in_flight"] == 1


def test_a_client_that_says_no_more_but_reads_is_answered_at_once(server, sub):
    body = '{"wait":"30s"}'
    started = time.monotonic()
    received = server.raw(
        f"POST /v1/subscriptions/{sub}:pull HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n{body}".encode(), shut=True)
    assert received.startswith(b"HTTP/1.1 200") and b'"messages":[]' in received
    assert time.monotonic() - started < 5


# Settling


def test_not_done_comes_again_after_its_delay(server, sub):
    append(server, sub, "a", "b")
    got = pull(server, sub)["messages"]
    started = time.monotonic()
    naks = [{"ack_id": got[0]["ack_id"]}, {"ack_id": got[1]["ack_id"], "delay": "1s"}]
    assert settle(server, sub, nak=naks) == ["ok", "ok"]
    again = pull(server, sub, wait="5s")["messages"]
    assert [(m["record"]["value"], m["delivery"]) for m in again] == [("a", 2)]
    assert time.monotonic() - started < 0.9
    later = pull(server, sub, wait="5s")["messages"]
    assert [(m["record"]["value"], m["delivery"]) for m in later] == [("b", 2)]
    assert 0.9 < time.monotonic() - started < 5
    assert settle(server, sub, ack=[got[0]["ack_id"]]) == ["stale"], "that delivery is over"
    ack(server, sub, again + later)


def test_without_a_delay_it_waits_for_the_backoff(server, stream):
    subscribe(server, stream, stream, backoff=["200ms", "600ms"])
    append(server, stream, "a")
    got = pull(server, stream)["messages"]
    for least in (0.2, 0.6, 0.6):
        started = time.monotonic()
        assert settle(server, stream, nak=[{"ack_id": got[0]["ack_id"]}]) == ["ok"]
        got = pull(server, stream, wait="5s")["messages"]
        assert time.monotonic() - started >= least - 0.01
    assert got[0]["delivery"] == 4


def test_a_deadline_that_passes_takes_it_back_and_an_extension_keeps_it(server, stream):
    subscribe(server, stream, stream, ack_deadline="500ms", backoff=[])
    append(server, stream, "lost", "kept")
    got = {m["record"]["value"]: m for m in pull(server, stream)["messages"]}
    assert settle(server, stream, extend=[{"ack_id": got["kept"]["ack_id"], "by": "20s"}]) == ["ok"]
    again = pull(server, stream, wait="5s")["messages"]
    assert [(m["record"]["value"], m["delivery"]) for m in again] == [("lost", 2)]
    assert settle(server, stream, ack=[got["lost"]["ack_id"]]) == ["stale"]
    assert settle(server, stream, ack=[got["kept"]["ack_id"], again[0]["ack_id"]]) == ["ok", "ok"]
    assert status(server, stream)["counts"]["redeliveries"] == "1"


def test_an_extension_is_seen_as_a_deadline(server, sub):
    append(server, sub, 1)
    message = pull(server, sub)["messages"][0]
    (item,) = server.get(f"/v1/subscriptions/{sub}/in_flight").json["items"]
    shown, told = (datetime.fromisoformat(text) for text in (item.pop("deadline"), message["deadline"]))
    assert abs(shown - told) < timedelta(milliseconds=5)
    assert item == {"ack_id": message["ack_id"], "shard": 0, "offset": "0", "delivery": 1, "consumer": ""}
    settle(server, sub, extend=[{"ack_id": message["ack_id"], "by": "1h"}])
    later = server.get(f"/v1/subscriptions/{sub}/in_flight").json["items"][0]["deadline"]
    assert later > message["deadline"]


def test_what_is_given_up_goes_to_the_dead_letters_with_its_story(server, stream, name):
    server.create(name)
    subscribe(server, stream, stream, dead_letter={"stream": name}, backoff=[], max_deliveries=2)
    server.append(stream, {"bad": True}, {"Record-Key": "k", "Record-Header-Trace": "t"})
    append(server, stream, "tried")
    got = {json.dumps(m["record"]["value"]): m for m in pull(server, stream)["messages"]}
    assert settle(server, stream, term=[{"ack_id": got['{"bad": true}']["ack_id"], "reason": "no order"}]) == ["ok"]
    settle(server, stream, nak=[{"ack_id": got['"tried"']["ack_id"]}])
    again = pull(server, stream, wait="5s")["messages"]
    assert settle(server, stream, nak=[{"ack_id": again[0]["ack_id"]}]) == ["ok"]
    until(lambda: len(server.read(name).json["records"]) == 2)
    letters = server.read(name).json["records"]
    told = [(r["value"], r.get("key"), r["headers"]) for r in letters]
    assert told[0][0] == {"bad": True} and told[0][1] == "k"
    headers = told[0][2]
    assert headers.pop("millrace-reason") and headers == {
        "trace": "t", "millrace-subscription": stream, "millrace-stream": stream, "millrace-shard": "0",
        "millrace-offset": "0", "millrace-deliveries": "1"}
    assert told[1][0] == "tried" and told[1][2]["millrace-deliveries"] == "2"

    def dead():
        return server.get(f"/v1/subscriptions/{stream}/dead_letters").json["items"]

    until(lambda: all(letter["place"] for letter in dead()))
    listed = dead()
    assert [(i["offset"], i["deliveries"], i["place"]) for i in listed] == [
        ("0", 1, {"shard": 0, "offset": "0"}), ("1", 2, {"shard": 0, "offset": "1"})]
    assert "no order" in listed[0]["reason"]
    assert pull(server, stream)["messages"] == []
    assert status(server, stream)["counts"]["dead_letters"] == "2"


def test_without_a_dead_letter_stream_it_is_dropped_and_counted(server, stream):
    subscribe(server, stream, stream, backoff=[], max_deliveries=1)
    append(server, stream, 1, 2)
    got = pull(server, stream)["messages"]
    settle(server, stream, nak=[{"ack_id": got[0]["ack_id"]}], term=[{"ack_id": got[1]["ack_id"]}])
    seen = status(server, stream)
    assert seen["counts"]["dropped"] == "2" and seen["backlog"]["records"] == "0"
    assert pull(server, stream)["messages"] == []


def test_answers_come_in_the_order_ack_nak_extend_term(server, sub):
    append(server, sub, *range(4))
    a, b, c, d = ids(pull(server, sub))
    answer = post(server, sub, "ack", {
        "term": [{"ack_id": d}], "extend": [{"ack_id": c, "by": "9s"}],
        "nak": [{"ack_id": b}, {"ack_id": b}], "ack": [a]})
    assert answer.json["results"] == [
        {"ack_id": i, "status": s} for i, s in [(a, "ok"), (b, "ok"), (b, "stale"), (c, "ok"), (d, "ok")]]


def test_ten_thousand_in_one_request_and_not_one_more(server, sub):
    append(server, sub, *range(10_000))
    subscribe_max = server.request("PATCH", f"/v1/subscriptions/{sub}", {"max_in_flight": 10_000})
    assert subscribe_max.status == 200, subscribe_max
    got = []
    while len(got) < 10_000:
        more = pull(server, sub, max_messages=10_000, max_bytes=str(16 << 20))["messages"]
        assert more
        got += more
    over = post(server, sub, "ack", {"ack": [m["ack_id"] for m in got], "term": [{"ack_id": got[0]["ack_id"]}]})
    assert over.status == 413 and over.json["code"] == "batch_too_large"
    assert over.json["limit"] == "settle_entries_max" and over.json["max"] == "10000"
    assert status(server, sub)["in_flight"] == 10_000, "nothing of it was applied"
    ack(server, sub, got)
    assert status(server, sub)["backlog"]["records"] == "0"


def test_a_damaged_id_refuses_the_whole(server, sub, name):
    append(server, sub, 1, 2)
    first, second = ids(pull(server, sub))
    server.create(name)
    subscribe(server, name, name, **FAST)
    append(server, name, 1)
    foreign = ids(pull(server, name))[0]
    damaged = second[:-1] + ("A" if second[-1] != "A" else "B")
    for bad in (damaged, second + "A", second[:-1], "", "a", "nonsense", foreign, second.upper()):
        answer = post(server, sub, "ack", {"ack": [first, bad]})
        assert problem(answer, 400, "bad_ack_id")["pointer"] == "/ack/1", bad
        answer = post(server, sub, "ack", {"ack": [first], "nak": [{"ack_id": bad}]})
        assert problem(answer, 400, "bad_ack_id")["pointer"] == "/nak/0/ack_id", bad
    assert settle(server, sub, ack=[first, second]) == ["ok", "ok"], "nothing was applied before"


RUBBISH = [
    ("pull", "[]", 400, "wrong_type"), ("pull", "{", 400, "bad_json"), ("pull", '{"max":1}', 400, "unknown_field"),
    ("pull", '{"max_messages":0}', 400, "bad_value"), ("pull", '{"max_messages":10001}', 400, "bad_value"),
    ("pull", '{"max_messages":"1"}', 400, "wrong_type"), ("pull", '{"wait":"61s"}', 400, "bad_value"),
    ("pull", '{"wait":5}', 400, "wrong_type"), ("pull", '{"wait":"-1s"}', 400, "bad_value"),
    ("pull", '{"max_bytes":"16777217"}', 400, "bad_value"), ("pull", '{"max_bytes":1}', 400, "wrong_type"),
    ("pull", '{"consumer":""}', 400, "bad_value"), ("pull", '{"consumer":"a\\nb"}', 400, "bad_value"),
    ("ack", "", 400, "empty_body"), ("ack", '{"ack":"a"}', 400, "wrong_type"),
    ("ack", '{"acks":[]}', 400, "unknown_field"),
    ("ack", '{"ack":[null]}', 400, "wrong_type"), ("ack", '{"ack":["\\ud800"]}', 400, "bad_json"),
    ("ack", "[" * 600 + "]" * 600, 400, "bad_json"), ("ack", '{"nak":[[]]}', 400, "wrong_type"),
    ("ack", '{"extend":[{"ack_id":"a"}]}', 400, "bad_ack_id"),
    ("seek", "{}", 400, "missing_field"), ("seek", '{"to":"yesterday"}', 400, "bad_value"),
    ("seek", '{"to":{}}', 400, "bad_value"), ("seek", '{"to":{"0":5}}', 400, "wrong_type"),
    ("seek", '{"to":{"x":"5"}}', 400, "bad_value"), ("seek", '{"to":{"7":"0"}}', 404, "shard_not_found"),
    ("seek", '{"to":{"0":"1000000"}}', 416, "beyond_tail"), ("seek", '{"to":null}', 400, "wrong_type"),
    ("replay", "{}", 400, "missing_field"), ("replay", '{"from":"earliest","only":"some"}', 400, "bad_value"),
    ("nothing", "{}", 404, "not_found"),
]


@pytest.mark.parametrize("verb, body, code, word", RUBBISH)
def test_rubbish_is_refused_and_changes_nothing(server, sub, verb, body, code, word):
    append(server, sub, 1)
    answer = post(server, sub, verb, body, headers={"Content-Type": "application/json"})
    problem(answer, code, word)
    assert values(pull(server, sub)) == [1]


def test_a_form_and_a_subscription_that_is_not_there_are_refused(server, sub):
    answer = post(server, sub, "pull", "a=1", headers={"Content-Type": "application/x-www-form-urlencoded"})
    problem(answer, 415, "unsupported_media_type")
    for verb in ("pull", "ack", "seek", "pause", "resume", "replay"):
        body = {"pull": {}, "ack": {"ack": []}, "seek": {"to": "tail"}, "replay": {"from": "tail"}}.get(verb)
        problem(post(server, sub + "-not", verb, body), 404, "subscription_not_found")
    for path in ("messages", "consumers", "in_flight", "dead_letters"):
        problem(server.get(f"/v1/subscriptions/{sub}-not/{path}"), 404, "subscription_not_found")
    problem(server.get(f"/v1/subscriptions/{sub}/in_flight?page_token=%00"), 400, "bad_page_token")
    problem(server.get(f"/v1/subscriptions/{sub}/consumers?page_size=0"), 400, "bad_parameter")


# Order and shares


def test_a_keys_next_record_waits_for_the_one_before(server, stream):
    subscribe(server, stream, stream, ordering="key", backoff=[])
    for n in range(3):
        for key in "ab":
            server.append(stream, f"{key}{n}", {"Record-Key": key})
    server.append(stream, "free")
    first = pull(server, stream, max_messages=1)
    assert values(first) == ["a0"]
    assert values(rest := pull(server, stream)) == ["b0", "b1", "b2", "free"], "only a waits"
    ack(server, stream, first["messages"])
    assert values(pull(server, stream)) == ["a1", "a2"]
    b0, b1, b2, _ = ids(rest)
    assert settle(server, stream, nak=[{"ack_id": b0}]) == ["ok"]
    assert settle(server, stream, ack=[b1, b2]) == ["stale", "stale"], "they are taken back with it"
    again = pull(server, stream, wait="5s")["messages"]
    assert [(m["record"]["value"], m["delivery"]) for m in again] == [("b0", 2), ("b1", 2), ("b2", 2)]


def test_a_shards_records_wait_for_one_another(server, name):
    server.create(name, {"shards": 2})
    subscribe(server, name, name, ordering="shard", backoff=[])
    for shard in (0, 1):
        for n in range(3):
            server.append(name, [shard, n], shard=shard)
    first = pull(server, name, max_messages=1)
    shard = values(first)[0][0]
    assert values(pull(server, name)) == [[1 - shard, n] for n in range(3)]
    ack(server, name, first["messages"])
    assert values(pull(server, name)) == [[shard, 1], [shard, 2]]


def test_without_order_nothing_waits(server, stream):
    subscribe(server, stream, stream, ordering="none", backoff=[])
    for n in range(4):
        server.append(stream, n, {"Record-Key": "k"})
    got = [pull(server, stream, max_messages=1)["messages"][0] for _ in range(4)]
    assert [m["record"]["value"] for m in got] == [0, 1, 2, 3]
    ack(server, stream, got[1:])
    assert status(server, stream)["shards"][0] == {"shard": 0, "floor": "0", "tail": "4", "settled_above": "3"}


def test_no_more_is_in_flight_than_may_be(server, stream):
    subscribe(server, stream, stream, max_in_flight=10, backoff=[])
    append(server, stream, *range(30))
    got = []
    for consumer in ("w1", "w2", "w3"):
        got += pull(server, stream, consumer=consumer)["messages"]
    assert len(got) == 10 and pull(server, stream, consumer="w1")["messages"] == []
    ack(server, stream, got[:4])
    assert 1 <= len(pull(server, stream, consumer="w4")["messages"]) <= 4


# Elsewhere


def test_a_paused_subscription_delivers_nothing_and_still_settles(server, sub):
    append(server, sub, 1, 2)
    one = pull(server, sub, max_messages=1)["messages"]
    paused = post(server, sub, "pause")
    assert paused.status == 200 and paused.json["state"] == "paused" and paused.headers["etag"]
    nothing = pull(server, sub, wait="200ms")
    assert nothing["messages"] == [] and nothing["state"] == "paused"
    ack(server, sub, one)
    resumed = post(server, sub, "resume")
    assert resumed.status == 200 and resumed.json["state"] == "active"
    assert values(pull(server, sub, wait="5s")) == [2]


def test_a_wait_through_a_resume_ends_with_what_was_held_back(server, sub):
    append(server, sub, 1)
    post(server, sub, "pause")
    connection = server.connection()
    connection.request(
        "POST", f"/v1/subscriptions/{sub}:pull", '{"wait":"20s"}', {"Content-Type": "application/json"})
    time.sleep(0.2)
    post(server, sub, "resume")
    assert values(json.loads(connection.getresponse().read())) == [1]
    connection.close()


def test_seek_goes_back_and_ahead_and_what_was_given_before_is_stale(server, sub):
    append(server, sub, *range(3))
    time.sleep(0.01)
    middle = time.time()
    time.sleep(0.01)
    append(server, sub, *range(3, 6))
    old = ids(pull(server, sub))
    ack(server, sub, [{"ack_id": i} for i in old[:2]])

    def seek(to):
        answer = post(server, sub, "seek", {"to": to})
        assert answer.status == 200, answer
        return [item["offset"] for item in answer.json["items"]]

    assert seek("earliest") == ["0"]
    assert settle(server, sub, ack=old) == ["stale"] * 6
    assert values(pull(server, sub)) == list(range(6))
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(middle)) + f".{int(middle * 1000) % 1000:03}Z"
    assert seek("@" + stamp) == ["3"]
    assert values(pull(server, sub)) == [3, 4, 5]
    assert seek({"0": "5"}) == ["5"] and values(pull(server, sub)) == [5]
    assert seek("tail") == ["6"] and pull(server, sub)["messages"] == []
    append(server, sub, 6)
    assert values(pull(server, sub)) == [6]


def test_replay_delivers_again_beside_what_is_new(server, sub):
    append(server, sub, *range(10))
    ack(server, sub, pull(server, sub)["messages"])
    answer = post(server, sub, "replay", {"from": {"0": "2"}, "to": {"0": "5"}})
    assert answer.status == 202, answer
    append(server, sub, "new")
    got = []
    while len(got) < 4:
        more = pull(server, sub, wait="5s")["messages"]
        assert more
        got += more
    assert sorted(str(m["record"]["value"]) for m in got) == ["2", "3", "4", "new"]
    assert status(server, sub)["replays"]
    ack(server, sub, got)
    until(lambda: status(server, sub)["replays"] == [])
    assert pull(server, sub)["messages"] == []


def test_the_dead_are_replayed(server, sub):
    append(server, sub, *range(6))
    got = pull(server, sub)["messages"]
    dead = [m for m in got if m["record"]["value"] in (1, 4)]
    settle(server, sub, ack=[m["ack_id"] for m in got if m not in dead], term=[{"ack_id": m["ack_id"]} for m in dead])
    assert pull(server, sub)["messages"] == []
    answer = server.request("POST", f"/v1/subscriptions/{sub}/dead_letters:replay")
    assert answer.status == 202, answer
    again = pull(server, sub, wait="5s")
    assert values(again) == [1, 4]
    ack(server, sub, again["messages"])
    assert pull(server, sub)["messages"] == []


def test_a_backlog_has_its_age_also_at_the_first_pull_after_a_start(fresh):
    server = fresh().start()
    server.create("s")
    subscribe(server, "s", "s", **FAST)
    append(server, "s", 1, 2)
    ack(server, "s", pull(server, "s", max_messages=1)["messages"])
    server.kill()
    server.start()
    backlog = pull(server, "s", wait="5s")["backlog"]
    assert backlog["records"] == "1" and backlog["oldest_age"] is not None


def test_an_ok_survives_kill_9(fresh):
    server = fresh().start()
    server.create("s")
    subscribe(server, "s", "s", backoff=[])
    append(server, "s", *range(100))
    settled = set()
    for _ in range(3):
        got = pull(server, "s", max_messages=30)["messages"]
        done = [m for m in got if m["record"]["value"] % 3]
        ack(server, "s", done)
        settled |= {m["record"]["value"] for m in done}
        server.kill()
        server.start()
        assert set(settle(server, "s", ack=[m["ack_id"] for m in got])) == {"stale"}, "of before the restart"
    rest = []
    while more := pull(server, "s", max_messages=7)["messages"]:
        rest += [m["record"]["value"] for m in more]
    assert sorted(rest) == sorted(set(range(100)) - settled)
