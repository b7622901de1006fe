"""Webhooks that go well: what arrives, how it is signed, what one can see and do."""

import json
import re
import threading
import time

from cloudevents.core.bindings import http as ce_http
from cloudevents.core.formats.json import JSONFormat
from standardwebhooks.webhooks import Webhook

from receiver import SECRET, Flaky, orders_by_key
from test_streams import problem


def event(post):
    return ce_http.from_http_event(ce_http.HTTPMessage(headers=post.headers, body=post.body))


def test_records_arrive_signed_with_their_attributes(hook):
    one = hook()
    one.append({"n": 1}, key="u1", headers={
        "Record-Header-traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "Record-Header-trace": "a"})
    post, = one.receiver.wait_accepted(1)
    assert Webhook(SECRET).verify(post.body, post.headers) == {"n": 1}
    assert post.body == b'{"n": 1}' and post.headers["content-type"] == "application/json"
    assert re.fullmatch(r"msg_[A-Za-z0-9_-]{24}", post.id)
    for name, value in {
            "millrace-stream": one.name, "millrace-subscription": one.name, "millrace-shard": "0",
            "millrace-offset": "0", "millrace-delivery": "1", "millrace-key": "u1",
            "record-header-trace": "a",
            "traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}.items():
        assert post.headers[name] == value
    assert post.headers["user-agent"].startswith("millrace/")
    seen = event(post)
    assert seen.get_source() == f"/v1/streams/{one.name}" and seen.get_type() == "millrace.record"
    assert seen.get_data() == {"n": 1} and seen.get_extension("partitionkey") == "u1"


def test_opaque_bytes_keep_their_type(hook):
    one = hook()
    one.server.append(one.name, b"a,b\n1,2", {"Content-Type": "text/csv"}, raw=True)
    post, = one.receiver.wait_accepted(1)
    assert post.body == b"a,b\n1,2" and post.headers["content-type"] == "text/csv"
    assert not one.receiver.unsigned


def test_custom_headers_go_along(hook):
    one = hook(headers={"X-Env": "prod"})
    one.append(1)
    assert one.receiver.wait_accepted(1)[0].headers["x-env"] == "prod"


def test_headers_of_the_servers_own_are_not_for_others(hook):
    one = hook()
    for name in "webhook-id", "Ce-Id", "millrace-shard", "Record-Header-trace", "content-type":
        fields = {"delivery": {"headers": {name: "x"}}}
        problem(one.server.request("PATCH", one.path, fields), 400, "bad_value")


def test_events_go_out_as_they_came(hook):
    structured = {
        "specversion": "1.0", "id": "A-1", "source": "/mine", "type": "t.x", "subject": "s",
        "time": "2026-01-01T00:00:00Z", "ext": "e", "data": {"a": [1]}}
    for form in "record", "cloudevents", "batch":
        one = hook(format=form, batch={"max_records": 1, "linger": "0ms"})
        path = f"/v1/streams/{one.name}/records"
        assert one.server.request(
            "POST", path, json.dumps(structured),
            {"Content-Type": "application/cloudevents+json"}).status == 200
        assert one.server.request("POST", path, b'{"b":2}', {
            "Content-Type": "application/json", "ce-specversion": "1.0", "ce-id": "B%201",
            "ce-source": "/mine", "ce-type": "t.y", "ce-ext": "%C3%A9"}).status == 200
        posts = one.receiver.wait_accepted(2)
        assert not one.receiver.unsigned
        if form == "batch":
            events = [JSONFormat().read(None, json.dumps(item).encode())
                      for post in posts for item in post.json]
        else:
            events = [event(post) for post in posts]
        by_id = {item.get_id(): item for item in events}
        first, second = by_id["A-1"], by_id["B 1"]
        assert first.get_data() == {"a": [1]} and first.get_subject() == "s"
        assert first.get_extension("ext") == "e" and first.get_type() == "t.x"
        assert second.get_data() == {"b": 2} and second.get_extension("ext") == "é"


def test_cloudevents_and_batches(hook):
    one = hook(format="cloudevents")
    one.append({"n": 1}, key="k")
    post, = one.receiver.wait_accepted(1)
    assert post.headers["content-type"] == "application/cloudevents+json"
    assert event(post).get_data() == {"n": 1} and event(post).get_extension("partitionkey") == "k"

    many = hook(format="batch", batch={"max_records": 10, "linger": "300ms"})
    for start in range(0, 40, 20):
        many.append_keyed((f"k{n}", {"n": n}) for n in range(start, start + 20))
    many.receiver.wait(lambda r: sum(len(p.json) for p in r.accepted) >= 40)
    posts = many.receiver.accepted
    assert all(p.headers["content-type"] == "application/cloudevents-batch+json" for p in posts)
    assert all(len(p.json) <= 10 for p in posts) and len(posts) <= 8
    assert sorted(item["data"]["n"] for p in posts for item in p.json) == list(range(40))
    assert all(int(p.headers["millrace-records"]) == len(p.json) for p in posts)
    assert not many.receiver.unsigned


def test_another_format_in_the_middle_loses_nothing(hook):
    one = hook(
        lambda post: time.sleep(2) or 204 if post.body.find(b"slow") >= 0 else 204,
        format="batch", batch={"max_records": 10, "linger": "20ms"}, ordering="none")
    warm = 0
    while one.show()["webhook"]["concurrency"] < 2:
        warm += 1
        one.append_keyed((f"w{n}", {"warm": n}) for n in range(10))
        one.receiver.wait(lambda r: sum(len(p.json) for p in r.accepted) >= 10 * warm)
    one.append("slow")
    one.receiver.wait(lambda _: one.show()["webhook"]["in_flight"] == 1)
    changed = one.server.request("PATCH", one.path, {"delivery": {"format": "record"}})
    assert changed.status == 200
    one.append_keyed((f"k{n}", {"n": n}) for n in range(20))
    one.receiver.wait(lambda r: {p.json["n"] for p in r.accepted if "n" in p.json} == set(range(20)))


def test_what_is_appended_meanwhile_is_delivered_at_once(hook):
    one = hook(start="tail", concurrency=4)
    one.append("warm")
    one.receiver.wait_accepted(1)
    for n in range(20):
        before = time.monotonic()
        one.append({"n": n})
        one.receiver.wait_accepted(n + 2)
        assert one.receiver.posts[-1].at - before < 1


def test_keys_stay_in_order_whatever_fails(hook):
    one = hook(Flaky(3, 0.3), shards=4, concurrency=16, retry=["20ms"] * 30)
    for n in range(20):
        one.append_keyed((f"k{key}", {"n": n}) for key in range(20))
    one.receiver.wait(lambda r: len({(p.key, p.json["n"]) for p in r.accepted}) == 400, 40)
    for key, values in orders_by_key(one.receiver.posts).items():
        assert values == list(range(20)), key
    # Nothing of a key begins before the one before it was accepted.
    for key in {post.key for post in one.receiver.posts}:
        posts = sorted((p for p in one.receiver.posts if p.key == key), key=lambda p: p.at)
        for one_before, after in zip(posts, posts[1:]):
            assert one_before.ended <= after.at + 0.001
            assert after.json["n"] == one_before.json["n"] + (one_before.status == 204)
    ids = {}
    for post in one.receiver.posts:
        ids.setdefault(post.place, set()).add(post.id)
    assert all(len(found) == 1 for found in ids.values())
    assert len({next(iter(found)) for found in ids.values()}) == 400


def test_a_failing_record_holds_back_its_own_key_only(hook):
    one = hook(lambda post: 500 if post.json == {"bad": True} else 204, retry=["60s"])
    one.append_keyed([("a", {"bad": True}), ("a", {"n": 1}), ("b", {"n": 2}), ("c", {"n": 3})])
    one.receiver.wait_accepted(2)
    time.sleep(0.2)
    assert sorted(post.json["n"] for post in one.receiver.accepted) == [2, 3]


def test_shards_stay_in_order_when_asked(hook):
    one = hook(Flaky(5, 0.3), ordering="shard", concurrency=8, retry=["20ms"] * 30)
    one.append_keyed((f"k{n % 7}", {"n": n}) for n in range(60))
    one.receiver.wait_accepted(60)
    assert [post.json["n"] for post in one.receiver.accepted] == list(range(60))


def test_concurrency_adapts_within_its_limit(hook):
    busy, most, lock = [0], [0], threading.Lock()

    def slow(post):
        with lock:
            busy[0] += 1
            most[0] = max(most[0], busy[0])
        time.sleep(0.02)
        with lock:
            busy[0] -= 1
        return 204

    one = hook(slow, concurrency=6)
    one.append_keyed((f"k{n}", {"n": n}) for n in range(100))
    one.receiver.wait_accepted(100)
    assert 3 <= most[0] <= 6


def test_no_more_requests_a_second_than_allowed(hook):
    one = hook(rate_limit=20, concurrency=8)
    one.append_keyed((f"k{n}", {"n": n}) for n in range(30))
    posts = one.receiver.wait_accepted(30)
    assert posts[-1].at - posts[0].at > 27 / 20 - 0.1


def test_rotation_signs_with_both_for_a_while(hook):
    one = hook()
    one.append(1)
    one.receiver.wait_accepted(1)
    rotated = one.post("/secrets:rotate", {"expire_after": "1s"})
    new = rotated["secret"]
    one.append(2)
    post = one.receiver.wait_accepted(2)[1]
    assert len(post.headers["webhook-signature"].split(" ")) == 2
    assert one.receiver.is_signed(post, [SECRET]) and one.receiver.is_signed(post, [new])
    time.sleep(1.05)
    one.append(3)
    post = one.receiver.wait_accepted(3)[2]
    assert one.receiver.is_signed(post, [new]) and not one.receiver.is_signed(post, [SECRET])


def test_pause_and_resume(hook):
    one = hook()
    one.append(1)
    one.receiver.wait_accepted(1)
    one.post(":pause")
    one.append(2, 3)
    time.sleep(0.3)
    assert len(one.receiver.posts) == 1
    one.post(":resume")
    one.receiver.wait_accepted(3)
    assert [post.json for post in one.receiver.accepted] == [1, 2, 3]


def test_replay_delivers_again_under_the_same_ids(hook):
    one = hook()
    one.append(0, 1, 2, 3, key="k")
    one.receiver.wait_accepted(4)
    ids = [post.id for post in one.receiver.posts]
    one.post(":replay", {"from": {"0": "1"}, "to": {"0": "3"}, "only": "all"}, status=202)
    one.receiver.wait_accepted(6)
    time.sleep(0.2)
    again = one.receiver.posts[4:]
    assert [post.json for post in again] == [1, 2] and [post.id for post in again] == ids[1:3]


def test_a_change_takes_effect_at_once(hook):
    one = hook(lambda post: 500, retry=["100ms"] * 30)
    other = hook()
    one.append(1)
    one.receiver.wait_posts(1)
    answer = one.server.request(
        "PATCH", one.path, json.dumps({"delivery": {"url": other.receiver.url}}),
        {"Content-Type": "application/merge-patch+json"})
    assert answer.status == 200, answer
    post, = other.receiver.wait_accepted(1)
    assert post.id == one.receiver.posts[0].id
    answer = one.server.request(
        "PATCH", one.path, json.dumps({"delivery": {"format": "batch", "batch": {"linger": "10ms"}}}),
        {"Content-Type": "application/merge-patch+json"})
    assert answer.status == 200, answer
    one.append(2)
    other.receiver.wait_accepted(2)
    assert [item["data"] for item in other.receiver.accepted[1].json] == [2]


def test_a_deleted_webhook_sends_nothing_more(hook):
    one = hook()
    one.append(1)
    one.receiver.wait_accepted(1)
    assert one.server.request("DELETE", one.path).status == 204
    one.append(2)
    time.sleep(0.3)
    assert len(one.receiver.posts) == 1


# What one can see and do


def test_a_test_says_what_came_back(hook):
    one = hook(lambda post: (418, {}, b"a teapot"))
    seen = one.post(":test")
    post, = one.receiver.posts
    assert seen["status"] == "failed" and seen["http_status"] == 418 and seen["cause"] == "test"
    assert seen["answer"] == "a teapot" and seen["webhook_id"] == post.id and seen["records"] == []
    assert event(post).get_type() == "millrace.test" and event(post).get_data()["test"] is True
    assert not one.receiver.unsigned
    for form in "cloudevents", "batch":
        other = hook(format=form)
        assert other.post(":test")["status"] == "succeeded"
        body = other.receiver.posts[0].json
        assert (body[0] if form == "batch" else body)["type"] == "millrace.test"
    one.receiver.stop()
    seen = one.post(":test")
    assert seen["status"] == "failed" and "http_status" not in seen and seen["error"]


def test_no_test_goes_out_for_a_stream_that_is_gone(hook):
    one = hook()
    one.post(":test")
    assert one.server.request("DELETE", f"/v1/streams/{one.name}?force=true").status == 204
    problem(one.server.request("POST", f"{one.path}:test"), 410, "stream_replaced")
    assert len(one.receiver.posts) == 1


def test_attempts_are_listed_and_sent_again(hook):
    refuse = [2]
    one = hook(
        lambda post: (500, {}, b"x" * 5000) if post.json in refuse else (200, {}, b"thanks"),
        retry=["60s"])
    one.append(1, 2, 3)
    one.receiver.wait_posts(3)
    deadline = time.monotonic() + 5
    while len(items := one.attempts()["items"]) < 3:
        assert time.monotonic() < deadline
    assert [item["records"][0]["offsets"] for item in items] == [["2"], ["1"], ["0"]]
    failed, = one.attempts(status="failed")["items"]
    assert failed["http_status"] == 500 and failed["answer"] == "x" * 4096 and failed["answer_cut"]
    assert failed["error"] == "the endpoint answered 500" and failed["delivery"] == 1
    assert failed["next_attempt"] > failed["started_at"]
    assert [item["answer"] for item in one.attempts(status="succeeded")["items"]] == ["thanks"] * 2
    page = one.attempts(page_size=2)
    assert len(page["items"]) == 2 and page["next_page_token"]
    rest = one.attempts(page_size=2, page_token=page["next_page_token"])
    assert len(rest["items"]) == 1 and rest["next_page_token"] == ""
    refuse.clear()
    again = one.post(f"/attempts/{failed['id']}:resend")
    assert again["status"] == "succeeded" and again["cause"] == "resend"
    assert again["webhook_id"] == failed["webhook_id"] == one.receiver.posts[-1].id
    assert one.receiver.posts[-1].json == 2 and not one.receiver.unsigned
    problem(one.server.request("POST", f"{one.path}/attempts/1-999:resend"), 404, "attempt_not_found")
    problem(one.server.request("POST", f"{one.path}/attempts/nope:resend"), 404, "attempt_not_found")
    problem(one.server.get(f"{one.path}/attempts?status=odd"), 400, "bad_parameter")


def test_a_batch_is_sent_again_whole(hook):
    one = hook(format="batch", batch={"max_records": 50, "linger": "100ms"}, shards=3)
    one.append_keyed((f"k{n}", {"n": n}) for n in range(20))
    one.receiver.wait(lambda r: sum(len(p.json) for p in r.accepted) >= 20)
    item = one.attempts()["items"][0]
    one.post(f"/attempts/{item['id']}:resend")
    last = one.receiver.posts[-1]
    first = next(post for post in one.receiver.posts if post.id == last.id)
    assert last is not first and last.body == first.body


def test_these_are_for_webhooks_only(hook_server, name):
    hook_server.create(name)
    path = f"/v1/subscriptions/{name}"
    assert hook_server.request("PUT", path, {"stream": name}).status == 201
    problem(hook_server.get(f"{path}/attempts"), 409, "wrong_delivery")
    problem(hook_server.request("POST", f"{path}:test"), 409, "wrong_delivery")
    problem(hook_server.request("POST", f"{path}/attempts/1-1:resend"), 409, "wrong_delivery")
    problem(hook_server.request("POST", f"{path}-no:test"), 404, "subscription_not_found")


def test_state_and_figures_show(hook):
    one = hook(lambda post: 204 if post.json == 1 else 503, retry=["60s"])
    one.append(1, 2)
    one.receiver.wait_posts(2)
    deadline = time.monotonic() + 5
    while "last_error" not in (shown := one.show()["webhook"]):
        assert time.monotonic() < deadline
    assert shown["circuit"] == "closed" and shown["concurrency"] >= 1 and shown["last_success_at"]
    assert shown["last_error"]["http_status"] == 503
    text = one.server.get("/metrics").body.decode()
    assert f'millrace_webhook_attempts_total{{subscription="{one.name}",status="2xx"}} 1' in text
    assert f'millrace_webhook_attempts_total{{subscription="{one.name}",status="5xx"}} 1' in text
    assert "millrace_webhook_delivery_seconds_count" in text
