"""Appending: every content type, keys, limits, and what bad input gets."""

import base64
import gzip
import json

import pytest

from test_streams import problem


def test_one_json_record_comes_back_byte_for_byte(server, stream):
    text = '{ "b" : 1.0e5,\t"a": "\\u00e9é", "a": [ ] ,"n": 123456789012345678901234567890 }'
    answer = server.append(stream, text, raw=True)
    assert answer.status == 200
    assert answer.json == {
        "appended": 1, "duplicate": False, "ranges": [{"shard": 0, "start": "0", "end": "1"}]}
    body = server.read(stream).body.decode()
    assert '"value":' + text in body


def test_line_breaks_between_tokens_become_spaces(server, stream):
    server.append(stream, '{\r\n  "a":\n1}', raw=True)
    assert '"value":{    "a": 1}' in server.read(stream).body.decode()


def test_ndjson_is_a_record_a_line(server, stream):
    answer = server.append(
        stream, '1\n\n {"a":2} \r\n"three"', {"Content-Type": "application/x-ndjson"}, raw=True)
    assert answer.json["appended"] == 3
    assert [record["value"] for record in server.read(stream).json["records"]] == [1, {"a": 2}, "three"]


def test_a_bad_line_is_named_and_nothing_is_appended(server, stream):
    document = problem(
        server.append(
            stream, '1\n2\n{"a":}\n4\n', {"Content-Type": "application/x-ndjson"}, raw=True), 400,
        "bad_json")
    assert document["line"] == 3
    assert document["applied"] == "no"
    assert server.read(stream).json["records"] == []


@pytest.mark.parametrize(
    "bad", ["", "{", "[1,]", "01", '"\\x"', '"\x01"', "nul", "1 2", '{"a" 1}', "[" * 600 + "]" * 600])
def test_malformed_json_is_refused(server, stream, bad):
    answer = server.append(stream, bad, raw=True)
    assert answer.status == 400, answer
    assert server.read(stream).json["records"] == []


@pytest.mark.parametrize("bad", [b'"\xff"', b'"\xc0\x80"', b'"\xed\xa0\x80"', b'"\xf4\x90\x80\x80"'])
def test_bad_utf8_is_refused(server, stream, bad):
    problem(server.append(stream, bad, raw=True), 400, "bad_json")


def test_an_envelope_carries_keys_headers_and_bytes(server, stream):
    body = {"records": [
        {"key": "u1", "headers": {"trace": "a"}, "value": {"x": 1}},
        {"value_base64": base64.b64encode(b"\x00\x01\xff").decode()},
        {"value": None}]}
    answer = server.append(
        stream, json.dumps(body), {"Content-Type": "application/vnd.millrace.records+json"}, raw=True)
    assert answer.json["appended"] == 3, answer
    first, second, third = server.read(stream).json["records"]
    assert first["key"] == "u1" and first["headers"] == {"trace": "a"} and first["value"] == {"x": 1}
    assert base64.b64decode(second["value_base64"]) == b"\x00\x01\xff" and "value" not in second
    assert third["value"] is None


@pytest.mark.parametrize("kind", ["", "text/plain\r\nX-Forged: 1", "text/pl\u00e4in"])
def test_a_type_that_could_be_no_header_is_refused(server, stream, kind):
    body = {"records": [{"value_base64": "AAE=", "content_type": kind}]}
    answer = server.append(
        stream, json.dumps(body), {"Content-Type": "application/vnd.millrace.records+json"}, raw=True)
    problem(answer, 400, "bad_value")


def test_any_other_type_is_opaque_bytes(server, stream):
    blob = bytes(range(256))
    assert server.append(stream, blob, {"Content-Type": "image/png"}, raw=True).status == 200
    record = server.read(stream).json["records"][0]
    assert base64.b64decode(record["value_base64"]) == blob
    assert record["content_type"] == "image/png"


def test_key_and_headers_by_request_headers(server, stream):
    server.append(stream, 1, {"Record-Key": "u1", "Record-Header-Trace": "t9"})
    record = server.read(stream).json["records"][0]
    assert record["key"] == "u1"
    assert {name.lower(): value for name, value in record["headers"].items()} == {"trace": "t9"}


def test_a_request_s_traceparent_goes_with_its_record(server, stream):
    trace, later = (f"00-{'4bf92f3577b34da6a3ce929d0e0e4736'}-{span}-01"
                    for span in ("00f067aa0ba902b7", "b7ad6b7169203331"))
    once = {"Producer-Id": "p", "Producer-Epoch": "1", "Producer-Seq": "1"}
    assert server.append(stream, 1, {"Traceparent": trace} | once).json["duplicate"] is False
    # A retry is another span of the trace, and the same request.
    assert server.append(stream, 1, {"Traceparent": later} | once).json["duplicate"] is True
    server.append(stream, 2, {"Traceparent": trace, "Record-Header-Traceparent": later})
    server.append(stream, 3, {"Traceparent": "not one"})
    found = [record.get("headers") for record in server.read(stream).json["records"]]
    assert found == [{"traceparent": trace}, {"traceparent": later}, None], found


def test_equal_keys_share_a_shard_and_key_pointer_takes_them_from_values(server, name):
    server.create(name, {"shards": 4})
    values = [{"user": {"id": f"u{index % 8}"}, "n": index} for index in range(64)]
    lines = "".join(json.dumps(value) + "\n" for value in values)
    answer = server.append(
        name, lines, {"Content-Type": "application/x-ndjson"}, raw=True, query="?key_pointer=/user/id")
    assert answer.json["appended"] == 64 and len(answer.json["ranges"]) > 1, answer
    shards = {}
    for record in server.read_all(name):
        assert record["key"] == record["value"]["user"]["id"]
        shards.setdefault(record["key"], set()).add(record["shard"])
    assert all(len(found) == 1 for found in shards.values())
    for key in shards:
        numbers = [r["value"]["n"] for r in server.read_all(name) if r["key"] == key]
        assert numbers == sorted(numbers)


def test_keyless_requests_are_spread_over_shards(server, name):
    server.create(name, {"shards": 4})
    used = set()
    for index in range(16):
        answer = server.append_lines(name, [index, index])
        assert len(answer.json["ranges"]) == 1
        used.add(answer.json["ranges"][0]["shard"])
    assert used == {0, 1, 2, 3}


def test_cloudevents_in_three_forms(server, stream):
    event = {
        "specversion": "1.0", "id": "1", "source": "/s", "type": "t", "partitionkey": "p1",
        "datacontenttype": "application/json", "data": {"a": 1}}
    kind = {"Content-Type": "application/cloudevents+json"}
    assert server.append(stream, json.dumps(event), kind, raw=True).status == 200
    kind = {"Content-Type": "application/cloudevents-batch+json"}
    assert server.append(stream, json.dumps([event, event]), kind, raw=True).json["appended"] == 2
    binary = {
        "ce-specversion": "1.0", "ce-id": "2", "ce-source": "/s", "ce-type": "t", "ce-partitionkey": "p1"}
    assert server.append(stream, {"a": 1}, binary).status == 200
    records = server.read(stream).json["records"]
    assert len(records) == 4 and all(record["key"] == "p1" for record in records)
    del event["type"]
    kind = {"Content-Type": "application/cloudevents+json"}
    problem(server.append(stream, json.dumps(event), kind, raw=True), 400, "bad_cloudevent")


def test_gzip_is_inflated_and_its_limit_holds_for_the_inflated_size(server, stream):
    packed = gzip.compress(b'{"a":1}\n' * 100)
    headers = {"Content-Type": "application/x-ndjson", "Content-Encoding": "gzip"}
    assert server.append(stream, packed, headers, raw=True).json["appended"] == 100
    bomb = gzip.compress(b"1\n" * (4 << 20))
    problem(server.append(stream, bomb, headers, raw=True), 413, "body_too_large")
    problem(server.append(stream, packed[:-9], headers, raw=True), 400, "bad_encoding")
    headers["Content-Encoding"] = "br"
    problem(server.append(stream, packed, headers, raw=True), 415, "unsupported_encoding")
    assert server.get(f"/v1/streams/{stream}/shards").json["items"][0]["tail"] == "100"


def test_limits_are_named(server, stream):
    big = json.dumps("x" * (1 << 20))
    document = problem(server.append(stream, big, raw=True), 413, "record_too_large")
    assert str(1 << 20) in json.dumps(document)
    problem(
        server.append(stream, b"1\n" * 10_001, {"Content-Type": "application/x-ndjson"}, raw=True),
        413, "batch_too_large")
    answer = server.append(stream, b'"' + b"x" * (5 << 20) + b'"', raw=True)
    problem(answer, 413, "body_too_large")
    assert server.read(stream).json["records"] == []


@pytest.mark.parametrize("kind", ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
def test_forms_of_web_pages_are_refused_with_a_hint(server, stream, kind):
    document = problem(
        server.append(stream, b"a=1", {"Content-Type": kind}, raw=True), 415, "unsupported_media_type")
    assert document["hint"] == "curl --json"


def test_foreign_pages_and_foreign_hosts_are_refused(server, stream):
    problem(
        server.append(stream, 1, {"Origin": "https://evil.example"}), 403, "foreign_origin")
    problem(server.get("/v1/streams", headers={"Host": "rebound.example"}), 403, "foreign_host")
    assert server.read(stream).json["records"] == []


def test_an_append_at_an_expected_tail(server, stream):
    assert server.append(stream, 1, {"If-Match": '"0"'}, shard=0).status == 200
    document = problem(server.append(stream, 2, {"If-Match": '"0"'}, shard=0), 412, "tail_moved")
    assert document["tail"] == "1"
    assert server.append(stream, 2, {"If-Match": '"1"'}, shard=0).status == 200


def producer(sequence, epoch=1, id="p1"):
    return {"Producer-Id": id, "Producer-Epoch": str(epoch), "Producer-Seq": str(sequence)}


def test_a_producers_retry_is_appended_once(server, stream):
    first = server.append(stream, {"n": 0}, producer(0)).json
    again = server.append(stream, {"n": 0}, producer(0)).json
    assert again["duplicate"] is True and again["ranges"] == first["ranges"]
    problem(server.append(stream, {"n": 9}, producer(0)), 422, "sequence_reused")
    document = problem(server.append(stream, {"n": 2}, producer(2), shard=0), 409, "sequence_gap")
    assert document["expected_seq"] == "1"
    for sequence in range(1, 9):
        assert server.append(stream, {"n": sequence}, producer(sequence), shard=0).status == 200
    problem(server.append(stream, {"n": 0}, producer(0)), 409, "sequence_too_old")
    assert server.append(stream, {"n": 99}, producer(0, epoch=2)).status == 200
    problem(server.append(stream, {"n": 9}, producer(9)), 403, "stale_producer")
    assert len(server.read(stream).json["records"]) == 10
    headers = producer(1)
    del headers["Producer-Epoch"]
    problem(server.append(stream, 1, headers), 400, "bad_header")


def test_a_keyless_retry_goes_to_the_same_shard(server, name):
    server.create(name, {"shards": 8})
    for sequence in range(16):
        first = server.append(name, sequence, producer(sequence)).json
        again = server.append(name, sequence, producer(sequence)).json
        assert again["duplicate"] and again["ranges"] == first["ranges"]
    assert len(server.read_all(name)) == 16


def test_an_idempotency_key_answers_as_the_first_did(server, stream):
    first = server.append(stream, {"n": 1}, {"Idempotency-Key": "k1"}).json
    again = server.append(stream, {"n": 1}, {"Idempotency-Key": "k1"}).json
    assert again["ranges"] == first["ranges"]
    problem(
        server.append(stream, {"n": 2}, {"Idempotency-Key": "k1"}), 422, "idempotency_mismatch")
    assert len(server.read(stream).json["records"]) == 1


def test_stamps_and_records_survive_kill_9(fresh):
    server = fresh().start()
    server.create("s", {"shards": 2})
    first = [server.append("s", n, {**producer(n), "Record-Key": str(n)}).json for n in range(6)]
    key = server.append("s", "k", {"Idempotency-Key": "k1"}).json
    server.kill()
    server.start()
    for n in range(6):
        again = server.append("s", n, {**producer(n), "Record-Key": str(n)})
        if again.status == 200:
            assert again.json["duplicate"] and again.json["ranges"] == first[n]["ranges"]
    assert server.append("s", "k", {"Idempotency-Key": "k1"}).json["ranges"] == key["ranges"]
    assert len(server.read_all("s")) == 7


def test_appending_to_nothing_is_404(server):
    problem(server.append("nosuch", 1), 404, "stream_not_found")
    problem(server.append("nosuch", 1, shard=0), 404, "stream_not_found")


def test_a_shard_that_is_not_there(server, stream):
    problem(server.append(stream, 1, shard=1), 404, "shard_not_found")
