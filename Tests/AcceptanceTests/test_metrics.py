"""/metrics, read by Prometheus' own parser."""

import pathlib
import time

from prometheus_client.parser import text_string_to_metric_families

from consumers import ack, pull, settle, subscribe, until
from server import EventReader


def families(server):
    answer = server.get("/metrics")
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    text = answer.body.decode()
    found = list(text_string_to_metric_families(text))
    assert len({family.name for family in found}) == len(found), "a family is written twice"
    for family in found:
        assert family.documentation and family.type in ("counter", "gauge", "histogram"), family
    return {family.name: family for family in found}


def value(found, name, suffix="", **labels):
    for sample in found[name].samples:
        if sample.name == name + suffix and sample.labels == labels:
            return sample.value
    return 0


def test_the_process_figures_are_the_processs(server):
    found = families(server)
    proc = pathlib.Path(f"/proc/{server.process.pid}")
    resident = value(found, "process_resident_memory_bytes")
    assert abs(resident - server.resident_bytes) < 64 << 20
    assert value(found, "process_cpu_seconds", "_total") > 0
    assert abs(value(found, "process_open_fds") - len(list((proc / "fd").iterdir()))) <= 3
    assert value(found, "process_max_fds") > 100
    assert 0 <= time.time() - value(found, "process_start_time_seconds") < 7200
    assert value(found, "process_threads") == len(list((proc / "task").iterdir()))
    builds = found["millrace_build_info"].samples
    assert len(builds) == 1 and builds[0].value == 1 and builds[0].labels["version"]


def test_requests_records_and_bytes_are_counted(server, stream):
    def appends(found):
        return value(found, "millrace_http_requests", "_total", operation="appendToStream", status="200")

    before = families(server)
    for number in range(20):
        server.append(stream, {"n": number, "pad": "x" * 1000})
    server.read(stream)
    server.get(f"/v1/streams/{stream}-not")
    after = families(server)
    assert appends(after) == appends(before) + 20
    assert value(
        after, "millrace_http_requests", "_total", operation="getStream", status="404") == value(
            before, "millrace_http_requests", "_total", operation="getStream", status="404") + 1

    def grew(name, suffix="_total"):
        return value(after, name, suffix) - value(before, name, suffix)

    assert grew("millrace_records_appended") == 20
    assert grew("millrace_records_read") == 20
    assert grew("millrace_append_duration_seconds", "_count") == 20
    assert grew("millrace_received_bytes") > 20_000
    assert grew("millrace_sent_bytes") > 20_000
    assert grew("millrace_store_commit_duration_seconds", "_count") >= 1


def test_histograms_hold_together(server, stream):
    server.append(stream, 1)
    found = families(server)
    for name in ("millrace_append_duration_seconds", "millrace_store_commit_duration_seconds"):
        buckets = [s for s in found[name].samples if s.name == name + "_bucket"]
        counts = [bucket.value for bucket in buckets]
        bounds = [float(bucket.labels["le"]) for bucket in buckets]
        assert counts == sorted(counts) and bounds == sorted(bounds) and bounds[-1] == float("inf")
        assert counts[-1] == value(found, name, "_count") > 0
        assert value(found, name, "_sum") > 0


def test_live_readers_are_counted_while_they_are_there(server, stream):
    def readers():
        return value(families(server), "millrace_live_readers", form="sse")

    before = readers()
    events = [EventReader(server, f"/v1/streams/{stream}/records?from=tail") for _ in range(5)]
    for one in events:
        assert one.next()[0] == "open"
    assert readers() == before + 5
    for one in events:
        one.close()
    deadline = time.monotonic() + 10
    while readers() != before:
        assert time.monotonic() < deadline
        time.sleep(0.02)


def of_subscription(server, name):
    """A subscription's figures by what they say."""
    found = families(server)
    prefix = "millrace_subscription_"
    suffix = {"counter": "_total", "gauge": ""}
    return {
        family[len(prefix):]: value(found, family, suffix[found[family].type], subscription=name)
        for family in found if family.startswith(prefix)}


def test_a_subscription_has_figures_of_its_own(server, stream):
    subscribe(server, stream, stream, backoff=[], max_deliveries=1)
    server.append_lines(stream, list(range(10)))
    got = pull(server, stream, max_messages=7)["messages"]
    ack(server, stream, got[:4])
    settle(server, stream, term=[{"ack_id": got[4]["ack_id"]}])
    assert until(lambda: of_subscription(server, stream).get("acked") == 4)
    figures = of_subscription(server, stream)
    assert figures.pop("backlog_seconds") >= 0
    assert figures == {"backlog_records": 5, "in_flight": 2, "acked": 4, "redeliveries": 0, "dead_letters": 0,
                       "dropped": 1, "missed": 0}


def test_very_many_subscriptions_do_not_make_very_many_lines(fresh):
    server = fresh().start()
    server.create("s")
    server.append("s", 1)
    for number in range(250):
        subscribe(server, f"sub-{number:03}", "s")

    def records():
        return {sample.labels["subscription"]: sample.value
                for sample in families(server)["millrace_subscription_backlog_records"].samples}

    until(lambda: len(records()) == 201)
    found = records()
    assert found["sub-000"] == 1 and "sub-200" not in found
    assert until(lambda: records()["_other"] == 50)


def test_nothing_a_client_sends_becomes_a_label(server, stream):
    def size():
        return sum(len(family.samples) for family in families(server).values())

    server.append(stream, 1)
    server.get(f"/v1/streams/{stream}")
    server.get("/v1/nothing/at/all")
    server.request("NOTHING", "/v1/streams")
    before = size()
    for number in range(50):
        server.create(f"{stream}-{number}")
        stamp = {"Producer-Id": f"p{number}", "Producer-Epoch": "1", "Producer-Seq": "0"}
        server.append(f"{stream}-{number}", 1, stamp)
        server.get(f"/v1/nothing/{number}")
        server.request(f"METHOD{number}", f"/v1/streams/{stream}-{number}")
    # At most a few operations and statuses that had not come before.
    assert size() <= before + 5
