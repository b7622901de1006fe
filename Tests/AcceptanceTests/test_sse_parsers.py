"""The same stream of events through two parsers that others wrote (httpx-sse, sseclient-py) and that share no code."""

import base64
import concurrent.futures
import json
import urllib.parse

import httpx
import httpx_sse
import pytest
import sseclient
import urllib3

PARSERS = ["httpx-sse", "sseclient-py"]


def of_httpx(response):
    for event in httpx_sse.EventSource(response).iter_sse():
        # A block without data (a lone retry:) is no event by the standard; this parser gives it all the same.
        if event.data:
            yield event.event, event.data, event.id


def of_sseclient(source):
    for event in sseclient.SSEClient(source).events():
        yield event.event, event.data, event.id


def events(parser, server, path, headers=None, timeout=30):
    """(name, data, id) of every event, as this parser has them, until the server ends the answer."""
    headers = {"Accept": "text/event-stream", **(headers or {})}
    if parser == "httpx-sse":
        with httpx.stream("GET", server.url + path, headers=headers, timeout=timeout) as response:
            assert response.status_code == 200
            yield from of_httpx(response)
    else:
        with urllib3.PoolManager(timeout=timeout) as pool:
            response = pool.request("GET", server.url + path, headers=headers, preload_content=False)
            assert response.status == 200
            try:
                yield from of_sseclient(response.stream(4096))
            finally:
                response.close()


def both(server, path, headers=None):
    """What both have to say, which must be the same to the byte."""
    first, second = (list(events(parser, server, path, headers)) for parser in PARSERS)
    assert first == second
    return first


def path_of(stream, **parameters):
    if "from_" in parameters:
        parameters["from"] = parameters.pop("from_")
    query = urllib.parse.urlencode({"live": "sse", **parameters})
    return f"/v1/streams/{stream}/shards/0/records?{query}"


def raw_value(data):
    """The value's own text, as it stands in the event: its last member."""
    return data[data.index('"value":') + 8:-1]


# JSON texts as they are sent; None: comes back as sent.
TEXTS = [
    (r'"a\nb\r\nc\rd"', None),
    ('{"pretty":\n  [1,\r\n   2],\r"x":\t3}', '{"pretty":   [1,     2], "x":\t3}'),
    ('"\u2028 and \u2029 and \u0085 and \u000b"'.replace("\u000b", r"\u000b"), None),
    (r'"escaped \u2028 \u0000 \ud83d\ude00"', None),
    ('"\ufeff: data: id: 7"', None),
    ('"' + "\U0001f600" * 250_000 + '"', None),
    ('"' + "y" * 1_000_000 + '"', None),
    ('  1.50e+3 ', None),
    ("{}", None),
    ('""', None),
    ("null", None),
]


@pytest.fixture
def hazards(server, stream):
    for text, _ in TEXTS:
        answer = server.append(stream, text.encode(), raw=True)
        assert answer.status == 200, answer
    return stream


def test_values_are_the_bytes_that_were_sent(server, hazards):
    found = both(server, path_of(hazards, limit=len(TEXTS)))
    assert [name for name, _, _ in found] == ["open", *["record"] * len(TEXTS), "end"]
    seen = [raw_value(data) for name, data, _ in found if name == "record"]
    for got, (sent, comes_back) in zip(seen, TEXTS, strict=True):
        assert got.strip() == (comes_back or sent).strip()
    assert all(place for _, _, place in found), "every event says where it is"


def test_opaque_bytes_keys_and_headers_come_through(server, stream):
    hostile = "a\nb\r\nc\u2028\u2029\x00\U0001f600\ufeff"
    records = [
        {"key": hostile, "headers": {"trace": "x\ny\u2028"}, "value": 1},
        {"value_base64": base64.b64encode(bytes(range(256))).decode(), "content_type": "image/png"},
        {"value_base64": base64.b64encode(b"\n\n\r\r\ndata: x\n\n" * 5000).decode()},
    ]
    answer = server.append(
        stream, {"records": records}, {"Content-Type": "application/vnd.millrace.records+json"})
    assert answer.status == 200, answer
    found = [json.loads(data) for name, data, _ in both(server, path_of(stream, limit=3)) if name == "record"]
    assert found[0]["key"] == hostile and found[0]["headers"] == {"trace": "x\ny\u2028"}
    assert [record.get("value_base64") for record in found] == [r.get("value_base64") for r in records]
    assert found[1]["content_type"] == "image/png"


def test_characters_cut_anywhere_by_the_network_are_whole_again(server, stream):
    """The answer's own bytes, a few at a time, as a network may cut them."""
    for text in ("\U0001f600é\u2028z" * 40, "\r\n" * 30, "x" * 3000):
        server.append(stream, {"text": text})
    path = path_of(stream, limit=3)
    whole = both(server, path)
    body = httpx.get(server.url + path).content
    assert b"\r" not in body
    for step in (1, 2, 3, 5, 7, 4093):
        pieces = [body[at:at + step] for at in range(0, len(body), step)]
        assert list(of_sseclient(iter(pieces))) == whole
        response = httpx.Response(
            200, headers={"content-type": "text/event-stream; charset=utf-8"}, content=iter(pieces))
        assert list(of_httpx(response)) == whole


def test_a_batch_is_an_array_of_the_same_records(server, stream):
    server.append_lines(stream, [{"n": n, "pad": "é" * 50} for n in range(2500)])
    single = [data for name, data, _ in both(server, path_of(stream, limit=2500)) if name == "record"]
    batches = both(server, path_of(stream, limit=2500, batch="true"))
    arrays = [data for name, data, _ in batches if name == "batch"]
    assert 1 < len(arrays) < 100
    assert ",".join(array[1:-1] for array in arrays) == ",".join(single)
    assert batches[-1][0] == "end"


def test_messages_are_the_same_records_by_another_name(server, stream):
    server.append_lines(stream, [{"n": n} for n in range(20)])
    records = [event for event in both(server, path_of(stream, limit=20)) if event[0] == "record"]
    messages = both(server, path_of(stream, limit=20, event="message"))
    assert [event[1:] for event in messages if event[0] == "message"] == [e[1:] for e in records]


def test_a_key_until_and_limit_choose(server, stream):
    for n in range(30):
        server.append(stream, {"n": n}, {"Record-Key": "abc"[n % 3]})

    def numbers(**parameters):
        found = both(server, path_of(stream, **parameters))
        assert found[-1][0] == "end"
        return [json.loads(data)["value"]["n"] for name, data, _ in found if name == "record"], found[-1]

    assert numbers(key="b", limit=5)[0] == [1, 4, 7, 10, 13]
    assert numbers(from_=10, until=14)[0] == [10, 11, 12, 13]
    assert numbers(from_=10, until=20, key="c")[0] == [11, 14, 17]
    assert numbers(from_=-3, until=30)[0] == [27, 28, 29]
    seen, end = numbers(limit=7)
    assert seen == list(range(7)) and json.loads(end[1]) == {"reason": "limit"}
    again = httpx.get(server.url + path_of(stream, limit=7), headers={"Last-Event-ID": end[2]})
    assert again.status_code == 204


def test_each_event_id_leads_to_the_next_record(server, stream):
    server.append_lines(stream, [{"n": n} for n in range(12)])
    whole = [e for e in both(server, path_of(stream, until=12)) if e[0] == "record"]
    for seen in (1, 5, 11):
        rest = both(server, path_of(stream, until=12), {"Last-Event-ID": whole[seen - 1][2]})
        assert [e for e in rest if e[0] == "record"] == whole[seen:]


def test_silence_has_comments_and_what_is_passed_over_has_checkpoints(server, stream, name):
    def until_comment(path):
        body = b""
        with httpx.stream("GET", server.url + path, timeout=20) as response:
            for piece in response.iter_raw():
                body += piece
                if b": hb\n" in body:
                    return body
        return body

    def until(wanted, parser, path):
        return next(e for e in events(parser, server, path, timeout=20) if e[0] == wanted)

    server.create(name)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        silent = pool.submit(until_comment, path_of(name))
        waiting = [
            pool.submit(until, "checkpoint", parser, path_of(stream, key="wanted"))
            for parser in PARSERS]
        for n in range(9):
            server.append(stream, {"n": n}, {"Record-Key": "other"})
        body, after = silent.result(), [task.result() for task in waiting]
    assert body.endswith(b"\n\n: hb\n"), "a comment line alone: no parser makes an event of it"
    assert after[0] == after[1] and json.loads(after[0][1]) == {"up_to_date": True}
    server.append(stream, {"n": 9}, {"Record-Key": "other"})
    rest = both(server, path_of(stream, limit=1), {"Last-Event-ID": after[0][2]})
    assert raw_value(rest[1][1]) == '{"n": 9}', "what was passed over does not come again"
