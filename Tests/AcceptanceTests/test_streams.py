"""Streams: made, listed, changed, trimmed and deleted over HTTP."""

import pytest


def problem(answer, status, code):
    assert answer.status == status, answer
    assert answer.headers["content-type"] == "application/problem+json"
    document = answer.json
    assert document["status"] == status and document["code"] == code, document
    assert {"type", "title", "detail", "retryable", "applied", "request_id"} <= document.keys()
    assert answer.headers["request-id"] == document["request_id"]
    return document


def test_put_creates_then_finds_it_so(server, name):
    assert server.request("PUT", f"/v1/streams/{name}", {"shards": 2}).status == 201
    assert server.request("PUT", f"/v1/streams/{name}", {"shards": 2}).status == 200
    assert server.request("PUT", f"/v1/streams/{name}", {}).status == 200
    assert server.request("PUT", f"/v1/streams/{name}").status == 200
    problem(server.request("PUT", f"/v1/streams/{name}", {"shards": 3}), 409, "exists_differently")


def test_create_only(server, name):
    headers = {"If-None-Match": "*"}
    assert server.request("PUT", f"/v1/streams/{name}", {}, headers).status == 201
    problem(server.request("PUT", f"/v1/streams/{name}", {}, headers), 412, "already_exists")


def test_defaults_are_those_of_the_contract(server, name):
    shown = server.create(name)
    assert shown["shards"] == 1
    assert shown["retention"]["age"] == "7d"


def test_patch_merges_and_refuses_a_lost_race(server, stream):
    path = f"/v1/streams/{stream}"
    tag = server.get(path).headers["etag"]
    changed = server.request("PATCH", path, {"labels": {"team": "a"}}, {"If-Match": tag})
    assert changed.status == 200 and changed.json["labels"] == {"team": "a"}
    assert changed.headers["etag"] != tag
    problem(
        server.request("PATCH", path, {"labels": {"team": "b"}}, {"If-Match": tag}), 412,
        "revision_mismatch")
    assert server.request("PATCH", path, {"labels": {"team": None}}).json["labels"] == {}
    assert server.request("PATCH", path, {"retention": {"age": None}}).json["retention"]["age"] is None
    problem(server.request("PATCH", path, {"shards": 9}), 409, "fixed_field")


@pytest.mark.parametrize("bad", ["_system", "-x", ".x", "a b", "%2e%2e", "..%2f..%2fetc", "x" * 256, "é"])
def test_bad_names_are_refused_and_change_nothing(server, bad):
    import urllib.parse

    path = "/v1/streams/" + (bad if "%" in bad else urllib.parse.quote(bad))
    problem(server.request("PUT", path, {}), 400, "bad_name")


def test_unknown_fields_and_wrong_types_are_named(server, name):
    document = problem(
        server.request("PUT", f"/v1/streams/{name}", {"shards": 1, "shard": 1}), 400, "unknown_field")
    assert document["pointer"] == "/shard"
    document = problem(server.request("PUT", f"/v1/streams/{name}", {"shards": "2"}), 400, "wrong_type")
    assert document["pointer"] == "/shards"
    document = problem(
        server.request("PUT", f"/v1/streams/{name}", {"retention": {"age": 7}}), 400, "wrong_type")
    assert document["pointer"] == "/retention/age"
    problem(server.request("PUT", f"/v1/streams/{name}", {"shards": 0}), 400, "bad_value")
    problem(server.request("PUT", f"/v1/streams/{name}?color=red", {}), 400, "unknown_field")
    problem(server.get(f"/v1/streams/{name}"), 404, "stream_not_found")


def test_lists_come_in_pages(server, name):
    for index in range(7):
        server.create(f"{name}.list{index}")
    names, token = [], ""
    while True:
        page = server.get(f"/v1/streams?page_size=3&prefix={name}.list&page_token={token}").json
        names += [item["name"] for item in page["items"]]
        token = page["next_page_token"]
        if not token:
            break
        assert len(page["items"]) == 3
    assert names == [f"{name}.list{index}" for index in range(7)]


def test_shards_cover_the_key_space(server, name):
    server.create(name, {"shards": 4})
    items = server.get(f"/v1/streams/{name}/shards").json["items"]
    assert [item["shard"] for item in items] == [0, 1, 2, 3]
    assert items[0]["key_range"] == ["0000000000000000", "3fffffffffffffff"]
    assert items[3]["key_range"] == ["c000000000000000", "ffffffffffffffff"]
    assert all(item["earliest"] == "0" and item["tail"] == "0" for item in items)


def test_trim_moves_earliest_and_says_where_to_go_on(server, stream):
    server.append_lines(stream, list(range(10)))
    answer = server.request("POST", f"/v1/streams/{stream}/shards/0:trim", {"before": "4"})
    assert answer.status == 200, answer
    assert server.get(f"/v1/streams/{stream}/shards").json["items"][0]["earliest"] == "4"
    document = problem(server.read(stream, 0, from_="2"), 410, "trimmed")
    assert document["earliest"] == "4"
    rest = server.read(stream, 0, cursor=document["cursor"]).json["records"]
    assert [record["value"] for record in rest] == [4, 5, 6, 7, 8, 9]


def test_a_stream_made_again_shares_nothing(server, stream):
    server.append(stream, 1)
    before = server.get(f"/v1/streams/{stream}").json
    cursor = server.read(stream).json["cursor"]
    assert server.request("DELETE", f"/v1/streams/{stream}").status == 204
    problem(server.read(stream), 404, "stream_not_found")
    problem(server.append(stream, 2), 404, "stream_not_found")
    after = server.create(stream)
    assert after["incarnation"] != before["incarnation"]
    problem(server.read(stream, cursor=cursor), 410, "stream_replaced")
    assert server.read(stream).json["records"] == []


def test_methods_head_options_and_unknown_paths(server, stream):
    answer = server.request("HEAD", f"/v1/streams/{stream}")
    assert answer.status == 200 and answer.body == b""
    answer = server.request("POST", f"/v1/streams/{stream}", {})
    problem(answer, 405, "method_not_allowed")
    assert "PUT" in answer.headers["allow"] and "HEAD" in answer.headers["allow"]
    problem(server.get("/v1/nothing"), 404, "not_found")
    assert server.request("OPTIONS", f"/v1/streams/{stream}").status in (200, 204)


def test_request_ids_are_kept_if_sane(server):
    assert server.get("/livez", headers={"Request-Id": "abc-1"}).headers["request-id"] == "abc-1"
    made = server.get("/livez", headers={"Request-Id": "a b\tc"}).headers["request-id"]
    assert made and made != "a b\tc"
