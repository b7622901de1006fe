"""The benchmarks of subscriptions and webhooks, beside JetStream's pull consumers and a bare nginx."""
import os
import signal
import statistics
import time

from harness import loads, settings
from harness.interleave import Contender, interleave
from harness.report import Report, median, micros, number
from harness.servers import Endpoint, Millrace, Nats, Server, call

BATCH = 100
KEYS = 10_000
# What no contender gets through in a run's time; one that does has its window cut there.
RECORDS = int(400_000 * (settings.SECONDS + 1))
SIZES = (1024, 100)
ORDERINGS = ("key", "shard", "none")
SUBSCRIPTION = "/v1/subscriptions/bench"


def prepare(server: Millrace, records: int, record_bytes: int, shards: int, keys: int,
            **spec) -> None:
    """A stream with `records`, and a subscription from its beginning."""
    server.make_streams(1, shards)
    loads.fill(server, records, record_bytes, keys)
    server.call("PUT", SUBSCRIPTION, {"stream": "s00000", "start": "earliest"} | spec)


def consume(program: str, ordering: str, record_bytes: int, shards: int, **options):
    def measure(server: Millrace) -> dict:
        # Shards that records without keys would go to by whole batches are evened out by keys in every mode.
        prepare(server, RECORDS, record_bytes, shards, KEYS, ordering=ordering,
                max_in_flight=20_000)
        return loads.load(
            program, port=server.port, pids=server.pids(), subscription="bench",
            records=RECORDS, record_bytes=record_bytes, keys=KEYS, batch=BATCH,
            ordering=ordering, seconds=settings.SECONDS, **options)
    return measure


def jetstream(sync: str, record_bytes: int, records: int = RECORDS, **options):
    def measure(server: Nats) -> dict:
        loads.load(
            "jetstream-append", port=server.port, pids=server.pids(), messages=records,
            window=2000, record_bytes=record_bytes)
        if sync != server.sync:
            server.restart(sync)
        return loads.load(
            "jetstream-pull", port=server.port, pids=server.pids(), records=records,
            batch=BATCH, seconds=settings.SECONDS, **options)
    return measure


def sizes(size: int) -> str:
    return "1 KiB" if size == 1024 else f"{size} B"


def peers(size: int) -> list[Contender]:
    """JetStream with the numbers of consumers that suit it best, and with confirmed acknowledgements."""
    # Filled while it does not sync: one by one with a sync each that would take minutes.
    make = lambda: Nats("2m")  # noqa: E731
    name = sizes(size)
    return [
        (f"JetStream R1 default, {name}, 4 consumers", make, jetstream("2m", size, consumers=4)),
        (f"JetStream R1 default, {name}, 16 consumers", make,
         jetstream("2m", size, consumers=16)),
        (f"JetStream R1 default, {name}, 16 consumers, acks confirmed", make,
         jetstream("2m", size, consumers=16, confirmed="true")),
        (f"JetStream R1 always, {name}, 4 consumers", make,
         jetstream("always", size, consumers=4)),
    ]


def ours(program: str, size: int) -> list[Contender]:
    name = sizes(size)
    found = [
        (f"millrace {ordering}, {name}, 16 consumers", Millrace,
         consume(program, ordering, size, 4, consumers=16))
        for ordering in ORDERINGS]
    found.append((
        f"millrace key, {name}, 4 consumers, 1 shard", Millrace,
        consume(program, "key", size, 1, consumers=4)))
    return found


def pull() -> Report:
    report = Report("Pull and acknowledge in batches of 100, durable")
    for size in SIZES:
        contenders = peers(size) + ours("pull-http1", size)
        interleave(report, contenders)
        labels = [label for label, _, _ in contenders]
        report.rates(labels, labels[0], records=True)
        best = max(median(report.data[label], "records_per_second")
                   for label in labels if label.startswith("JetStream"))
        for label in labels:
            if label.startswith("millrace"):
                rate = median(report.data[label], "records_per_second")
                report.check(f"{label}, messages/s", rate, least=100_000)
                report.check(f"{label}, × JetStream at its best", rate / best, least=1)
    return report


def consume_sse() -> Report:
    report = Report("Messages over server-sent events, acknowledged in batches of 100, durable")
    for size in SIZES:
        pulls, events = ours("pull-http1", size), ours("consume-sse", size)
        contenders = [
            *((f"pull: {label}", make, measure) for label, make, measure in pulls),
            *((f"SSE: {label}", make, measure) for label, make, measure in events)]
        interleave(report, contenders)
        labels = [label for label, _, _ in contenders]
        report.rates(labels, None, records=True)
        for label, _, _ in events:
            rate = median(report.data[f"SSE: {label}"], "records_per_second")
            base = median(report.data[f"pull: {label}"], "records_per_second")
            report.check(f"{label}, messages/s", rate, least=100_000)
            report.check(f"{label}, × pull", rate / base, least=1)
    return report


class Webhooks(Millrace):
    """The server, and with it an endpoint on the load's core."""

    def __init__(self):
        super().__init__(options=("--webhook-allow", "127.0.0.0/8"))
        self.endpoint = Endpoint()

    def start(self) -> None:
        self.endpoint.start()
        super().start()

    def stop(self) -> None:
        super().stop()
        self.endpoint.stop()


def hook(port: int, **delivery) -> dict:
    return {"type": "webhook", "url": f"http://127.0.0.1:{port}/hook", "format": "record",
            "concurrency": 64} | delivery


def deliver(ordering: str):
    def measure(server: Webhooks) -> dict:
        """Deliveries a second out of a backlog, by the endpoint's own count."""
        records = int(40_000 * (settings.SECONDS + 3))
        prepare(server, records, 1024, 4, KEYS, ordering=ordering, max_in_flight=1000,
                delivery=hook(server.endpoint.port))
        time.sleep(2)  # Concurrency begins at 1.
        before = server.endpoint.requests()
        cpu, endpoint_cpu = server.cpu_seconds(), server.endpoint.cpu_seconds()
        started = time.monotonic()
        time.sleep(settings.SECONDS)
        count = server.endpoint.requests() - before
        seconds = time.monotonic() - started
        cpu = server.cpu_seconds() - cpu
        if before + count >= records:
            raise RuntimeError(f"{records} records were too few")
        status = server.call("GET", SUBSCRIPTION)["status"]
        return {
            "answers_per_second": count / seconds, "seconds": seconds, "server_cpu_seconds": cpu,
            "endpoint_cpu_seconds": server.endpoint.cpu_seconds() - endpoint_cpu,
            "answers_per_server_second": count / cpu, "status": status}
    return measure


def delay(rate: int):
    def measure(server: Webhooks) -> dict:
        """From append to receipt while records come at `rate`; the load program receives them."""
        port = settings.PORT + 8
        server.make_streams(1, 4)
        server.call("PUT", SUBSCRIPTION, {"stream": "s00000", "delivery": hook(port)})
        return loads.load(
            "webhook-latency", port=server.port, pids=server.pids(), receiver_port=port,
            path="/v1/streams/s00000/records?key_pointer=/id", rate=rate, keys=KEYS,
            seconds=settings.SECONDS, warmup=2)
    return measure


def bare_sync(_: Server) -> dict:
    # Both cores stay as they are for the others; the file lies where the servers' data lie.
    return loads.load(
        "fsync-latency", cores=settings.SERVER_CORE,
        file=f"{settings.DATA}/millrace-bench.sync", seconds=settings.SECONDS)


def webhooks() -> Report:
    report = Report("Webhooks of 1 KiB records to a local nginx, 64 in parallel")
    bare = "nginx alone, 64 connections of a client that does nothing else"
    contenders: list[Contender] = [
        (bare, Endpoint, lambda s: loads.load(
            "append-http1", port=s.port, pids=s.pids(), path="/hook", connections=64,
            seconds=settings.SECONDS, cores=settings.SERVER_CORE)),
        *((f"millrace {ordering}", Webhooks, deliver(ordering)) for ordering in ("key", "none"))]
    interleave(report, contenders)
    report.rates([label for label, _, _ in contenders], bare)
    for label in ("millrace key", "millrace none"):
        report.check(f"{label}, deliveries/s", median(report.data[label], "answers_per_second"),
                     least=10_000)
    half = int(median(report.data["millrace key"], "answers_per_second") / 2)
    paced: list[Contender] = [
        (f"half load, {rate:,} records/s", Webhooks, delay(rate))
        for rate in sorted({5_000, half})]
    # No record is sent before it is durable: what the disk takes is a part of what is measured.
    interleave(report, [("write + fdatasync", Endpoint, bare_sync), *paced])
    sync = report.data["write + fdatasync"]
    report.lines += [
        f"A bare write and fdatasync takes {micros(median(sync, 'latency_p50_us'))} (p50), "
        f"{micros(median(sync, 'latency_p99_us'))} (p99).", ""]
    report.table(
        ["", "p50", "p99", "max", "append p99", "connections", "server CPU"],
        [[label, *(micros(median(report.data[label], f"latency_{q}_us"))
                   for q in ("p50", "p99", "max")),
          micros(median(report.data[label], "append_p99_us")),
          number(median(report.data[label], "connections")),
          f"{100 * statistics.median(r['server_cpu_seconds'] / r['seconds'] for r in report.data[label]):.0f} %"]
         for label, _, _ in paced])
    for label, _, _ in paced:
        report.check(f"p99 from append to receipt, {label}",
                     median(report.data[label], "latency_p99_us") / 1000, most=20, unit=" ms")
    return report


COUNT = 10_000


def make_subscriptions(server: Millrace, webhook: bool) -> None:
    connection = server.connection()
    for index in range(COUNT):
        spec: dict = {"stream": "s00000"}
        if webhook:
            spec["delivery"] = hook(settings.PORT + 8, concurrency=8)
        call(connection, "PUT", f"/v1/subscriptions/c{index:05}", spec)
    connection.close()


def use_subscriptions(server: Millrace) -> None:
    """A pull that finds nothing, from each."""
    connection = server.connection()
    for index in range(COUNT):
        call(connection, "POST", f"/v1/subscriptions/c{index:05}:pull", {"max_messages": 1})
    connection.close()


def idle_subscriptions(webhook: bool):
    def measure(server: Millrace) -> dict:
        server.make_streams(1)
        before = server.resident_bytes()
        make_subscriptions(server, webhook)
        found = {"before": before, "made": server.resident_bytes()}
        if not webhook:
            use_subscriptions(server)
            found["used"] = server.resident_bytes()
        cpu, started = server.cpu_seconds(), time.monotonic()
        time.sleep(3)
        found["idle_cpu"] = (server.cpu_seconds() - cpu) / (time.monotonic() - started)
        server.signal(signal.SIGKILL)
        started = time.monotonic()
        server.start()
        found["restart_seconds"] = time.monotonic() - started
        time.sleep(1)
        found["restarted"] = server.resident_bytes()
        return found
    return measure


def idle_consumers(server: Nats) -> dict:
    server.call("STREAM.CREATE.s0", {"name": "s0", "subjects": ["s0"], "storage": "file",
                                       "max_consumers": COUNT})
    before = server.resident_bytes()
    server.calls([
        (f"CONSUMER.CREATE.s0.c{index:05}",
         {"stream_name": "s0", "config": {
             "durable_name": f"c{index:05}", "name": f"c{index:05}", "ack_policy": "explicit"}})
        for index in range(COUNT)])
    found = {"before": before, "made": server.resident_bytes()}
    server.signal(signal.SIGKILL)
    started = time.monotonic()
    server.start()
    # It listens before it has read its consumers.
    while True:
        try:
            if server.call("STREAM.INFO.s0")["state"]["consumer_count"] == COUNT:
                break
        except RuntimeError:
            pass
        time.sleep(0.01)
    found["restart_seconds"] = time.monotonic() - started
    found["restarted"] = server.resident_bytes()
    return found


def subscriptions() -> Report:
    report = Report(f"{COUNT:,} idle subscriptions of one stream")
    allow = ("--webhook-allow", "127.0.0.0/8")
    contenders: list[Contender] = [
        ("JetStream pull consumers", lambda: Nats("2m"), idle_consumers),
        ("millrace, pull", Millrace, idle_subscriptions(False)),
        ("millrace, webhook", lambda: Millrace(options=allow), idle_subscriptions(True)),
    ]
    interleave(report, contenders)

    def each(label: str, when: str) -> float:
        return statistics.median(
            (run[when] - run["before"]) / COUNT / 1024 for run in report.data[label])

    rows = []
    for label, runs in report.data.items():
        used = f"{each(label, 'used'):.1f} KiB" if "used" in runs[0] else ""
        rows.append([
            label, f"{median(runs, 'before') / 1e6:.0f} MB", f"{each(label, 'made'):.1f} KiB",
            used, f"{median(runs, 'restart_seconds'):.2f} s",
            f"{median(runs, 'restarted') / 1e6:.0f} MB"])
    report.table(
        ["", "memory before", "each, made", "each, used once", "restart after kill -9",
         "memory after it"], rows)
    for label, when in (("millrace, pull", "made"), ("millrace, pull", "used"),
                        ("millrace, webhook", "made")):
        report.check(f"{label}, memory of one {when}", each(label, when), most=10, unit=" KiB")
    return report


IN_FLIGHT = (1_000, 990_000)


def inflight() -> Report:
    """The oldest are acknowledged and new ones pulled, so many staying unacknowledged all the time."""
    report = Report("A message pulled and one acknowledged while others stay unacknowledged")
    records = IN_FLIGHT[1] + RECORDS
    keys = 100_000_000

    def measure(ordering: str, held: int):
        def measured(server: Millrace) -> dict:
            # Filled alike for each, so that they differ in nothing else.
            prepare(server, records, 100, 4, keys, ordering=ordering, max_in_flight=1_000_000,
                    ack_deadline="1h")
            before = server.resident_bytes()
            found = loads.load(
                "pull-http1", port=server.port, pids=server.pids(), subscription="bench",
                records=records, record_bytes=100, keys=keys, batch=BATCH, consumers=16,
                held=held, seconds=settings.SECONDS)
            return found | {"resident_before": before}
        return measured

    contenders: list[Contender] = []
    for held in IN_FLIGHT:
        contenders += [
            (f"JetStream R1 default, {held:,} in flight", lambda: Nats("2m"),
             jetstream("2m", 100, records, consumers=4, held=held)),
            *((f"millrace {ordering}, {held:,} in flight", Millrace, measure(ordering, held))
              for ordering in ("key", "none"))]
    interleave(report, contenders)
    rows = []
    for label, _, _ in contenders:
        runs = report.data[label]
        cpu = statistics.median(1e6 / r["answers_per_server_second"] for r in runs)
        memory = f"{median(runs, 'server_resident_bytes') / 1e6:.0f} MB"
        rows.append([label, number(median(runs, "records_per_second")), f"{cpu:.2f} µs", memory])
    report.table(["", "messages/s", "server CPU a message", "memory"], rows)
    for ordering in ("key", "none"):
        few, many = (
            statistics.median(1 / r["answers_per_server_second"]
                              for r in report.data[f"millrace {ordering}, {held:,} in flight"])
            for held in IN_FLIGHT)
        report.check(f"{ordering}, CPU a message, × that with {IN_FLIGHT[0]:,}", many / few,
                     most=1.3)
    return report


ALL = {
    "pull": pull, "consume-sse": consume_sse, "webhooks": webhooks,
    "subscriptions": subscriptions, "inflight": inflight,
}
