"""Subscriptions as documents: made, listed, changed, deleted, and still there after kill -9."""

import json
import stat
import subprocess
import time

import pytest

from server import BINARY
from test_many_streams import in_parallel
from test_streams import problem

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def webhook(url="https://svc.example/hook", **fields):
    return {"type": "webhook", "url": url, **fields}


def without_life(document):
    """What a subscription is meant to be, without how it is doing."""
    return {name: value for name, value in document.items() if name not in ("status", "webhook")}


@pytest.fixture
def subscription(server, stream):
    """A new subscription of a new stream, by its path."""
    path = f"/v1/subscriptions/of-{stream}"
    assert server.request("PUT", path, {"stream": stream}).status == 201
    return path


def test_put_creates_then_finds_it_so(server, stream, name):
    path = f"/v1/subscriptions/{name}"
    made = server.request("PUT", path, {"stream": stream, "max_in_flight": 5})
    assert made.status == 201 and made.headers["location"] == path
    assert server.request("PUT", path, {"max_in_flight": 5}).status == 200
    assert server.request("PUT", path, {"stream": stream}).json == made.json
    document = problem(server.request("PUT", path, {"max_in_flight": 6}), 409, "exists_differently")
    assert document["fields"] == ["max_in_flight"]
    problem(
        server.request("PUT", path, {"stream": stream}, {"If-None-Match": "*"}), 412, "already_exists")
    problem(server.request("PUT", path, {}, {"If-Match": made.headers["etag"]}), 400, "bad_header")


def test_a_missing_stream_is_named(server, stream, name):
    document = problem(
        server.request("PUT", f"/v1/subscriptions/{name}", {"stream": "nosuch"}), 404, "stream_not_found")
    assert document["pointer"] == "/stream" and "PUT /v1/streams/nosuch" in document["detail"]
    document = problem(
        server.request(
            "PUT", f"/v1/subscriptions/{name}",
            {"stream": stream, "dead_letter": {"stream": "nosuch.dead"}}), 404, "stream_not_found")
    assert document["pointer"] == "/dead_letter/stream"
    assert "PUT /v1/streams/nosuch.dead" in document["detail"]
    problem(server.get(f"/v1/subscriptions/{name}"), 404, "subscription_not_found")


def test_patch_merges_and_refuses_a_lost_race(server, subscription):
    tag = server.get(subscription).headers["etag"]
    changed = server.request(
        "PATCH", subscription, json.dumps({"ack_deadline": "1m"}),
        {"If-Match": tag, "Content-Type": "application/merge-patch+json"})
    assert changed.status == 200 and changed.json["ack_deadline"] == "1m"
    assert changed.json["max_in_flight"] == 1000
    problem(
        server.request("PATCH", subscription, {}, {"If-Match": tag}), 412, "revision_mismatch")
    problem(server.request("DELETE", subscription, None, {"If-Match": tag}), 412, "revision_mismatch")
    problem(server.request("PATCH", subscription, {"start": "tail"}), 409, "fixed_field")


def test_head_is_get_without_the_body(server, subscription):
    shown = server.get(subscription)
    head = server.request("HEAD", subscription)
    assert head.status == 200 and head.body == b""
    assert head.headers["etag"] == shown.headers["etag"]
    assert head.headers["content-length"] == shown.headers["content-length"]


def test_the_secret_is_shown_once(server, stream, name):
    path = f"/v1/subscriptions/{name}"
    made = server.request("PUT", path, {"stream": stream, "delivery": webhook()})
    secret = made.json["delivery"]["secret"]
    assert made.status == 201 and secret.startswith("whsec_") and len(secret) == 50
    assert server.get(path).json["delivery"]["secret"] == "****"
    shown = server.get(path).json["delivery"]
    assert server.request("PATCH", path, {"delivery": shown}).json["delivery"] == shown
    rotated = server.request("POST", f"{path}/secrets:rotate", {"expire_after": "1h"})
    assert rotated.status == 200 and rotated.json["secret"] not in (secret, "****")
    assert rotated.json["previous"]["expires_at"]
    assert b"whsec_" not in server.get("/v1/subscriptions?page_size=1000").body


def test_a_stream_in_use_stays_unless_forced(server, name):
    server.create(name)
    path = f"/v1/subscriptions/{name}"
    assert server.request("PUT", path, {"stream": name}).status == 201
    document = problem(server.request("DELETE", f"/v1/streams/{name}"), 409, "stream_in_use")
    assert document["subscriptions"] == [name] and document["subscription_count"] == 1
    listed = server.get(f"/v1/subscriptions?stream={name}").json
    assert [item["name"] for item in listed["items"]] == [name]
    assert server.request("DELETE", f"/v1/streams/{name}?force=true").status == 204
    server.create(name)
    assert server.get(path).json["state"] == "stream_replaced"
    problem(server.request("PUT", path, {"stream": name}), 410, "stream_replaced")
    problem(server.request("PATCH", path, {"ack_deadline": "1m"}), 410, "stream_replaced")
    assert server.request("DELETE", f"/v1/streams/{name}").status == 204
    assert server.request("DELETE", path).status == 204


def test_headers_that_let_somebody_in_are_not_shown(server):
    server.create("masked")
    path = "/v1/subscriptions/masked"
    fields = {"stream": "masked", "delivery": webhook(
        headers={"Authorization": "Bearer open-sesame", "X-Env": "prod"})}
    made = server.request("PUT", path, fields)
    assert made.status == 201 and "open-sesame" not in made.body.decode()
    shown = server.get(path)
    assert shown.json["delivery"]["headers"] == {"authorization": "****", "x-env": "prod"}
    assert "open-sesame" not in server.get("/v1/subscriptions").body.decode()
    # What GET shows can be sent back.
    kept = {"delivery": {"headers": shown.json["delivery"]["headers"]}}
    assert server.request("PATCH", path, kept).headers["etag"] == shown.headers["etag"]
    assert server.request("PUT", path, fields).status == 200, "the value is still the same"
    other = {"stream": "masked", "delivery": webhook(
        headers={"Authorization": "Bearer other", "X-Env": "prod"})}
    problem(server.request("PUT", path, other), 409, "exists_differently")
    missing = {"delivery": {"headers": {"X-Api-Key": "****"}}}
    problem(server.request("PATCH", path, missing), 400, "bad_value")


def test_everything_is_there_after_kill_9(fresh):
    server = fresh("--loops", "2")
    server.start()
    server.create("orders", {"shards": 3})
    server.create("dead")
    server.append_lines("orders", [1, 2, 3], shard=1)
    settings = [
        {"stream": "orders", "start": "tail", "dead_letter": {"stream": "dead"}, "backoff": []},
        {"stream": "orders", "delivery": webhook(secret=SECRET, headers={"X-Env": "prod"})},
        {"stream": "orders", "start": "@2026-01-01T00:00:00Z", "ordering": "none"},
    ]
    shown = []
    for number, fields in enumerate(settings):
        made = server.request("PUT", f"/v1/subscriptions/s{number}", fields)
        assert made.status == 201, made
        shown.append(server.get(f"/v1/subscriptions/s{number}"))
        # What a 201 said holds, whenever the power goes.
        server.kill()
        server.start()
        for earlier, answer in enumerate(shown):
            again = server.get(f"/v1/subscriptions/s{earlier}")
            assert again.headers["etag"] == answer.headers["etag"]
            assert without_life(again.json) == without_life(answer.json)
    rotated = server.request("POST", "/v1/subscriptions/s1/secrets:rotate", {"secret": SECRET})
    assert rotated.json["previous"] is None, "the secret that it was given is still the one it has"
    problem(server.request("DELETE", "/v1/streams/dead"), 409, "stream_in_use")
    assert server.request("DELETE", "/v1/subscriptions/s0").status == 204
    server.kill()
    server.start()
    problem(server.get("/v1/subscriptions/s0"), 404, "subscription_not_found")
    assert server.request("DELETE", "/v1/streams/dead").status == 204
    assert server.stop() == 0


def test_inspect_names_subscriptions_and_the_directory_is_private(fresh):
    server = fresh("--loops", "2")
    server.start()
    server.create("orders")
    assert server.request("PUT", "/v1/subscriptions/billing", {"stream": "orders"}).status == 201
    server.stop()
    directory = server.directory / "data"
    for path in [directory, *directory.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path
    inspected = json.loads(subprocess.run(
        [BINARY, "inspect", "--json", directory], check=True, capture_output=True).stdout)
    assert [item["name"] for item in inspected["subscriptions"]] == ["billing"]
    assert inspected["strays"] == [] and not inspected["damaged"]
    text = subprocess.run(
        [BINARY, "inspect", directory], check=True, capture_output=True, text=True).stdout
    assert "1 stream, 1 subscription, 2 shards" in text and "billing" in text


def test_many_are_made_at_once_and_are_small(fresh):
    """Ten thousand on one stream, from 64 connections; idle, each costs less than 10 KB."""
    count = 10_000
    server = fresh("--loops", "2")
    server.start()
    server.create("orders", {"shards": 4})
    server.append_lines("orders", list(range(100)))
    before = server.resident_bytes

    def make(connection, number):
        answer = server.request(
            "PUT", f"/v1/subscriptions/s{number}", {"stream": "orders"}, connection=connection)
        assert answer.status == 201, answer

    made = in_parallel(server, make, count, 64)
    each = (server.resident_bytes - before) / count
    server.kill()
    started = time.monotonic()
    server.start()
    restarted = time.monotonic() - started
    print(f"\n{count} subscriptions in {made:.1f} s, {each:.0f} bytes each; "
          f"ready {restarted:.2f} s after kill -9, {server.resident_bytes / 1e6:.0f} MB")
    assert each < 10_000 and restarted < 10
    listed = server.get("/v1/subscriptions?page_size=1000&prefix=s99").json
    assert len(listed["items"]) == 111 and listed["next_page_token"] == ""
    document = problem(server.request("DELETE", "/v1/streams/orders"), 409, "stream_in_use")
    assert document["subscription_count"] == count and len(document["subscriptions"]) == 10
    assert server.request("DELETE", "/v1/streams/orders?force=true").status == 204
    assert server.stop() == 0
