"""Idempotency keys: one key is one request of a stream, whichever shards take it, before and after kill -9."""

import json
import threading

import pytest

from test_streams import problem

ENVELOPE = {"Content-Type": "application/vnd.millrace.records+json"}


@pytest.fixture
def wide(server, name):
    """A stream of eight shards."""
    server.create(name, {"shards": 8})
    return name


def keyed(server, stream, idempotency_key, record_key, value=1, **headers):
    return server.append(
        stream, value, {"Idempotency-Key": idempotency_key, "Record-Key": record_key, **headers})


def keys_of_two_shards(server, stream):
    """Two record keys that lie in different shards."""
    first = server.append(stream, 0, {"Record-Key": "a"}).json["ranges"][0]["shard"]
    for number in range(64):
        shard = server.append(stream, 0, {"Record-Key": f"b{number}"}).json["ranges"][0]["shard"]
        if shard != first:
            return "a", f"b{number}"
    raise AssertionError("one shard took all keys")


def test_another_body_is_told_though_it_would_go_to_another_shard(server, wide):
    one, other = keys_of_two_shards(server, wide)
    before = len(server.read_all(wide))
    first = keyed(server, wide, "k", one)
    assert first.status == 200 and first.json["duplicate"] is False
    document = problem(keyed(server, wide, "k", other), 422, "idempotency_mismatch")
    assert document["applied"] == "no" and document["retryable"] is False
    # Without a record key it would go to the key's home shard, wherever that is.
    problem(server.append(wide, 1, {"Idempotency-Key": "k"}), 422, "idempotency_mismatch")
    again = keyed(server, wide, "k", one)
    assert again.json == {**first.json, "duplicate": True}
    assert len(server.read_all(wide)) == before + 1


@pytest.mark.parametrize(
    "change", [
        {"Record-Key": "u2"}, {"Record-Header-Trace": "b"}, {"Record-Header-More": "a"},
        {"Content-Type": "text/plain"}])
@pytest.mark.parametrize("shards", [1, 4])
def test_key_headers_and_type_are_part_of_the_request(server, name, shards, change):
    server.create(name, {"shards": shards})
    headers = {
        "Idempotency-Key": "k", "Record-Key": "u1", "Record-Header-Trace": "a",
        "Content-Type": "application/json"}
    assert server.append(name, "1", headers, raw=True).json["duplicate"] is False
    assert server.append(name, "1", headers, raw=True).json["duplicate"] is True
    problem(
        server.append(name, "1", {**headers, **change}, raw=True), 422, "idempotency_mismatch")
    assert len(server.read_all(name)) == 1


def test_event_attributes_and_key_pointer_are_part_of_it_too(server, stream):
    event = {
        "ce-specversion": "1.0", "ce-id": "1", "ce-source": "/s", "ce-type": "t",
        "Content-Type": "application/json", "Idempotency-Key": "k"}
    assert server.append(stream, "1", event, raw=True).status == 200
    problem(
        server.append(stream, "1", {**event, "ce-id": "2"}, raw=True), 422, "idempotency_mismatch")
    value, key = {"a": "x", "b": "y"}, {"Idempotency-Key": "k2"}
    assert server.append(stream, value, key, query="?key_pointer=/a").status == 200
    problem(
        server.append(stream, value, key, query="?key_pointer=/b"), 422, "idempotency_mismatch")


def test_the_order_of_headers_and_compression_are_not(server, stream):
    import gzip

    headers = {"Idempotency-Key": "k", "Record-Header-A": "1", "Record-Header-B": "2"}
    assert server.append(stream, {"n": 1}, headers).json["duplicate"] is False
    turned = dict(reversed(headers.items()))
    assert server.append(stream, {"n": 1}, turned).json["duplicate"] is True
    packed = gzip.compress(json.dumps({"n": 1}).encode())
    answer = server.append(stream, packed, {**headers, "Content-Encoding": "gzip"}, raw=True)
    assert answer.json["duplicate"] is True


def test_a_producers_digest_covers_the_key_as_well(server, wide):
    stamp = {"Producer-Id": "p", "Producer-Epoch": "1", "Producer-Seq": "0"}
    assert server.append(wide, 1, {**stamp, "Record-Key": "a"}).status == 200
    assert server.append(wide, 1, {**stamp, "Record-Key": "a"}).json["duplicate"] is True
    problem(
        server.append(wide, 1, {**stamp, "Record-Key": "a", "Record-Header-X": "1"}), 422,
        "sequence_reused")


def test_a_batch_over_several_shards_is_one_request(server, wide):
    batch = {"records": [{"key": f"u{n}", "value": n} for n in range(40)]}
    first = server.append(wide, batch, {**ENVELOPE, "Idempotency-Key": "k"})
    assert first.json["appended"] == 40 and len(first.json["ranges"]) > 4
    again = server.append(wide, batch, {**ENVELOPE, "Idempotency-Key": "k"})
    assert again.json == {**first.json, "duplicate": True}
    batch["records"][39]["value"] = "another"
    problem(
        server.append(wide, batch, {**ENVELOPE, "Idempotency-Key": "k"}), 422,
        "idempotency_mismatch")
    assert len(server.read_all(wide)) == 40


def test_a_key_on_a_shards_url_is_the_same_key(server, wide):
    assert server.append(wide, 1, {"Idempotency-Key": "k"}, shard=2).json["duplicate"] is False
    assert server.append(wide, 1, {"Idempotency-Key": "k"}, shard=2).json["duplicate"] is True
    problem(server.append(wide, 1, {"Idempotency-Key": "k"}, shard=3), 422, "idempotency_mismatch")
    problem(server.append(wide, 1, {"Idempotency-Key": "k"}), 422, "idempotency_mismatch")
    assert len(server.read_all(wide)) == 1


def test_a_refused_request_leaves_its_key_free(server, wide):
    headers = {"Idempotency-Key": "k", "If-Match": '"7"'}
    problem(server.append(wide, 1, headers, shard=1), 412, "tail_moved")
    problem(server.append(wide, "{", {"Idempotency-Key": "k"}, raw=True), 400, "bad_json")
    assert server.append(wide, 2, {"Idempotency-Key": "k"}).json["duplicate"] is False


def test_many_at_once_with_one_key_append_once(server, wide):
    answers = []

    def send(number):
        answers.append(keyed(server, wide, "k", f"u{number % 4}", value=number % 4))

    threads = [threading.Thread(target=send, args=(n,)) for n in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {answer.status for answer in answers} <= {200, 409, 422}
    assert sum(a.status == 200 and not a.json["duplicate"] for a in answers) == 1
    for answer in answers:
        if answer.status == 409:
            assert answer.json["code"] == "idempotency_in_progress" and answer.json["retryable"]
    assert len(server.read_all(wide)) == 1


def test_it_holds_after_kill_9(fresh):
    server = fresh().start()
    server.create("s", {"shards": 8})
    one, other = keys_of_two_shards(server, "s")
    single = [keyed(server, "s", f"k{n}", f"u{n}", value=n).json for n in range(30)]
    batch = {"records": [{"key": f"u{n}", "value": n} for n in range(40)]}
    whole = server.append("s", batch, {**ENVELOPE, "Idempotency-Key": "batch"}).json
    count = len(server.read_all("s"))
    for _ in range(2):
        server.kill()
        server.start()
        problem(keyed(server, "s", "k0", one, value="another"), 422, "idempotency_mismatch")
        problem(keyed(server, "s", "k0", other, value="another"), 422, "idempotency_mismatch")
        for n in range(30):
            problem(keyed(server, "s", f"k{n}", f"v{n}", value=n), 422, "idempotency_mismatch")
            again = keyed(server, "s", f"k{n}", f"u{n}", value=n)
            assert again.json == {**single[n], "duplicate": True}
        again = server.append("s", batch, {**ENVELOPE, "Idempotency-Key": "batch"})
        assert again.json == {**whole, "duplicate": True}
        assert len(server.read_all("s")) == count
