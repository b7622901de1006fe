"""Looking at a subscription at work: its lists, their pages, and what is refused of them."""

import base64

import pytest

from consumers import pull, status, subscribe
from test_streams import problem


@pytest.fixture
def sub(server, stream):
    """A subscription of its own stream of one shard, which is named as it is."""
    subscribe(server, stream, stream)
    return stream


def append(server, stream, *values):
    answer = server.append_lines(stream, values)
    assert answer.status == 200, answer


def test_lists_come_in_pages(server, sub):
    append(server, sub, *range(7))
    for number in range(7):
        assert len(pull(server, sub, max_messages=1, consumer=f"w{number}")["messages"]) == 1
    for path, wanted in [("in_flight", lambda item: int(item["offset"])), ("consumers", lambda item: item["consumer"])]:
        found, token = [], ""
        while True:
            page = server.get(f"/v1/subscriptions/{sub}/{path}?page_size=3&page_token={token}").json
            assert len(page["items"]) <= 3
            found += page["items"]
            token = page["next_page_token"]
            if not token:
                break
        assert sorted(map(wanted, found)) == (list(range(7)) if path == "in_flight" else [f"w{n}" for n in range(7)])
    assert {item["kind"] for item in found} == {"pull"} and {item["in_flight"] for item in found} == {1}


@pytest.mark.parametrize("path", ["in_flight", "consumers", "dead_letters"])
def test_page_tokens_that_nobody_gave_are_refused(server, sub, path):
    largest = ["18446744073709551615", "9223372036854775807"]
    made_up = ["-1", "1:2:3", "x", "", "99999999999999999999"]
    for place in made_up + largest + [f"0:{number}" for number in largest]:
        token = base64.urlsafe_b64encode(f"p1:{place}".encode()).decode().rstrip("=")
        answer = server.get(f"/v1/subscriptions/{sub}/{path}?page_token={token}")
        if place in made_up or (":" in place) != (path == "in_flight"):
            problem(answer, 400, "bad_page_token")
        else:
            assert answer.json == {"items": [], "next_page_token": ""}


@pytest.mark.parametrize("action", ["pause", "resume"])
def test_actions_take_no_fields(server, sub, action):
    path = f"/v1/subscriptions/{sub}:{action}"
    problem(server.request("POST", path, {"for": "1h"}), 400, "unknown_field")
    assert server.request("POST", path, {}).status == 200


def test_records_that_were_trimmed_are_a_gap(server, sub):
    append(server, sub, *range(10))
    assert server.request("POST", f"/v1/streams/{sub}/shards/0:trim", {"before": "6"}).status == 200
    messages = pull(server, sub, wait="5s")["messages"]
    assert [message["record"]["value"] for message in messages] == [6, 7, 8, 9]
    seen = status(server, sub)
    assert [(g["shard"], g["from"], g["to"]) for g in seen["gaps"]] == [(0, "0", "6")]
    assert seen["counts"]["missed"] == "6"
