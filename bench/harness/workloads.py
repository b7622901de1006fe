"""The benchmarks: which servers, which load, which target of the table in docs/performance.md."""
import http.client
import json
import pathlib
import shutil
import signal
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable

from harness import loads, settings, subscriptions
from harness.interleave import Contender, interleave
from harness.report import Report, median, micros, number
from harness.servers import Millrace, Nats, Nchan, Nginx, Redis, Server

def with_streams(count: int, measure: Callable[[Server], dict], shards: int = 1):
    def measured(server: Server) -> dict:
        server.make_streams(count, shards)
        return measure(server)
    return measured


def append() -> Report:
    report = Report("Durable append of one 1 KiB JSON record a request, HTTP/1.1")
    contenders: list[Contender] = []
    for clients in (64, 256):
        contenders += [
            (f"nginx return, {clients}", Nginx,
             lambda s, c=clients: loads.append(s, connections=c)),
            (f"millrace, {clients}", Millrace,
             with_streams(10, lambda s, c=clients: loads.append(s, connections=c))),
            (f"JetStream R1 always, {clients}", lambda: Nats("always"),
             lambda s, c=clients: loads.jetstream(s, window=c)),
            (f"JetStream R1 always, {clients}, 10 streams", lambda: Nats("always"),
             lambda s, c=clients: loads.jetstream(s, window=c, streams=10)),
            (f"JetStream R1 default, {clients}", lambda: Nats("2m"),
             lambda s, c=clients: loads.jetstream(s, window=c)),
            (f"Redis XADD always, {clients}", Redis,
             lambda s, c=clients: loads.redis(s, connections=c)),
        ]
    interleave(report, contenders)
    for clients, least in ((64, 0.35), (256, 0.5)):
        labels = [label for label, _, _ in contenders if f", {clients}" in label]
        report.rates(labels, f"nginx return, {clients}")
        ours = median(report.data[f"millrace, {clients}"], "answers_per_second")
        ceiling = median(report.data[f"nginx return, {clients}"], "answers_per_second")
        always = max(
            median(report.data[label], "answers_per_second")
            for label in labels if "always" in label and "JetStream" in label)
        report.check(f"{clients} connections, × nginx return", ours / ceiling, least=least)
        report.check(f"{clients} connections, × JetStream R1 always", ours / always, least=5)
    return report


def http2() -> Report:
    report = Report("Durable append of one 1 KiB JSON record a request, HTTP/2, 32 streams each")
    with tempfile.NamedTemporaryFile(suffix=".json") as body:
        body.write(sample_record(1024))
        body.flush()
        contenders: list[Contender] = []
        for tls in (False, True):
            kind = "TLS" if tls else "clear"
            for connections in (2, 8):
                contenders += [
                    (f"nginx return, {kind}, {connections} × 32", Nginx,
                     lambda s, c=connections, t=tls: loads.http2(
                         s, s.tls_port if t else s.http2_port, t, c, body.name)),
                    (f"millrace, {kind}, {connections} × 32", lambda t=tls: Millrace(tls=t),
                     with_streams(10, lambda s, c=connections, t=tls: loads.http2(
                         s, s.port, t, c, body.name))),
                ]
        interleave(report, contenders)
    for kind in ("clear", "TLS"):
        for connections in (2, 8):
            base = f"nginx return, {kind}, {connections} × 32"
            ours = f"millrace, {kind}, {connections} × 32"
            report.rates([base, ours], base)
            ratio = (median(report.data[ours], "answers_per_second")
                     / median(report.data[base], "answers_per_second"))
            report.check(f"{kind}, {connections} × 32, × nginx HTTP/2", ratio, least=2)
    return report


def sample_record(size: int) -> bytes:
    """A record of members and one longer text, as the load programs send over HTTP/1.1."""
    lines = {f"line{i}": {"sku": f"A-{10000 + 7 * i}", "quantity": i + 1, "price": 19.95 + i,
                          "tags": ["new", "eu"]} for i in range(size * 3 // 4 // 80)}
    record = {"id": "ord-00000000", "type": "order.updated", "paid": True, **lines, "note": ""}
    rest = size - len(json.dumps(record, separators=(",", ":")))
    return json.dumps(record | {"note": "x" * rest}, separators=(",", ":")).encode()


def batch() -> Report:
    report = Report("Durable append, NDJSON batches of 100 records of 256 B, two cores with the load")
    both = "0,1"

    def ours(loops: int, connections: int) -> Contender:
        return (
            f"millrace, {loops} loop(s), {connections} connections",
            lambda: Millrace(cores=both, loops=loops),
            with_streams(10, lambda s: loads.append(
                s, cores=both, connections=connections, batch=100, record_bytes=256)))

    def nats(sync: str, streams: int, connections: int) -> Contender:
        name = "always" if sync == "always" else "default"
        return (
            f"JetStream R1 {name}, {streams} stream(s), {connections} connection(s)",
            lambda: Nats(sync, cores=both),
            lambda s: loads.jetstream(
                s, cores=both, window=1000, streams=streams, connections=connections,
                record_bytes=256))

    contenders = [
        ours(1, 16), ours(2, 16), ours(2, 64), nats("2m", 1, 1), nats("2m", 4, 1),
        nats("2m", 10, 4), nats("always", 10, 4)]
    interleave(report, contenders)
    labels = [label for label, _, _ in contenders]
    report.rates(labels, None, records=True)
    best = {
        kind: max(median(report.data[label], "records_per_second")
                  for label in labels if label.startswith(kind))
        for kind in ("millrace", "JetStream R1 default")}
    report.check("records/s", best["millrace"], least=500_000)
    report.check("× JetStream R1 default", best["millrace"] / best["JetStream R1 default"], least=1)
    return report


def latency() -> Report:
    report = Report("Latency of a durable append of 1 KiB, one client")

    contenders: list[Contender] = [
        ("write + fdatasync", Nginx, subscriptions.bare_sync),
        ("millrace", Millrace, with_streams(10, lambda s: loads.append(s, connections=1))),
        ("nginx return", Nginx, lambda s: loads.append(s, connections=1)),
        ("JetStream R1 always", lambda: Nats("always"), lambda s: loads.jetstream(s, window=1)),
        ("Redis XADD always", Redis, lambda s: loads.redis(s, connections=1)),
    ]
    for run in report_runs(report, contenders):
        run["answers_per_server_second"] = 0
    report.rates([label for label, _, _ in contenders], None)
    for quantile, most in (("p50", 1.5), ("p99", 3.0)):
        key = f"latency_{quantile}_us"
        ratio = median(report.data["millrace"], key) / median(
            report.data["write + fdatasync"], key)
        report.check(f"{quantile}, × write + fdatasync", ratio, most=most)
    return report


def report_runs(report: Report, contenders: list[Contender]) -> list[dict]:
    interleave(report, contenders)
    return [run for runs in report.data.values() for run in runs]


def streams() -> Report:
    report = Report("The same appends over 10,000 streams instead of 10")
    results: dict[str, list[dict]] = {"10 streams": [], "10,000 streams": []}
    with Millrace() as server:
        server.make_streams(10_000)
        resident_empty = server.resident_bytes()
        for _ in range(settings.RUNS):
            for label, count in (("10 streams", 10), ("10,000 streams", 10_000)):
                results[label].append(loads.append(server, streams=count, connections=256))
        resident = server.resident_bytes()
    for label, runs in results.items():
        report.keep(label, runs)
    report.rates(list(results), "10 streams")
    report.lines += [
        f"Memory with 10,000 streams: {resident_empty / 1e6:.0f} MB before the first append, "
        f"{resident / 1e6:.0f} MB after all runs.", ""]
    ratio = (median(results["10,000 streams"], "answers_per_second")
             / median(results["10 streams"], "answers_per_second"))
    report.check("× the throughput with 10 streams", ratio, least=0.7)
    report.check("memory", resident / 1e6, most=400, unit=" MB")
    return report


FANOUTS = [(200, 1), (200, 16), (2000, 1), (2000, 16)]


def fanout() -> Report:
    report = Report("SSE fan-out of 300 B events")
    contenders: list[Contender] = []
    for readers, burst in FANOUTS:
        name = f"{readers:,} readers, {'one by one' if burst == 1 else f'bursts of {burst}'}"
        measure = lambda s, r=readers, b=burst, **o: loads.fanout(s, r, burst=b, **o)  # noqa: E731
        contenders += [
            (f"nchan, {name}", Nchan, measure),
            (f"millrace, {name}", Millrace, with_streams(1, measure)),
            (f"millrace 4 shards, {name}", Millrace,
             with_streams(1, lambda s, m=measure: m(s, ordered="false"), shards=4)),
        ]
    interleave(report, contenders)
    rows = []
    for label, _, _ in contenders:
        runs = report.data[label]
        base = report.data["nchan, " + label.split(", ", 1)[1]]
        key = "deliveries_per_server_second"
        rows.append([
            label, number(median(runs, "deliveries_per_second")), number(median(runs, key)),
            f"{median(runs, key) / median(base, key):.2f}",
            micros(median(runs, "latency_p50_us")), micros(median(runs, "latency_p99_us")),
            number(median(runs, "bytes_per_delivery"))])
    report.table(
        ["", "deliveries/s", "deliveries/s of CPU", "× nchan", "p50", "p99", "bytes each"], rows)
    for readers, burst in FANOUTS:
        name = f"{readers:,} readers, {'one by one' if burst == 1 else f'bursts of {burst}'}"
        least = 1 if burst == 1 else 8
        base = median(report.data[f"nchan, {name}"], "deliveries_per_server_second")
        for kind, share in (("millrace", 1), ("millrace 4 shards", 0.5)):
            ours = median(report.data[f"{kind}, {name}"], "deliveries_per_server_second")
            report.check(f"{kind}, {name}, × nchan", ours / base, least=least * share)
    half_load(report)
    return report


def half_load(report: Report) -> None:
    """Latency from append to receipt when events come at half the rate that our readers kept up with."""
    contenders: list[Contender] = []
    for readers, burst in FANOUTS:
        name = f"{readers:,} readers, {'one by one' if burst == 1 else f'bursts of {burst}'}"
        full = median(report.data[f"millrace, {name}"], "deliveries_per_second") / readers
        rate = max(1, int(full / 2))
        measure = lambda s, r=readers, b=burst, n=rate: loads.fanout(  # noqa: E731
            s, r, burst=b, rate=n)
        contenders.append(
            (f"half load, {name} ({rate}/s)", Millrace, with_streams(1, measure)))
        if burst == 1:  # In bursts nchan is left behind at this rate.
            contenders.append((f"nchan at that rate, {name}", Nchan, measure))
    interleave(report, contenders)
    report.table(
        ["", "p50", "p99", "max", "server CPU"],
        [[label, *(micros(median(report.data[label], f"latency_{q}_us"))
                   for q in ("p50", "p99", "max")),
          f"{100 * statistics.median(r['server_cpu_seconds'] / r['seconds'] for r in runs):.0f} %"]
         for label, runs in ((label, report.data[label]) for label, _, _ in contenders)])
    for label, _, _ in contenders:
        if not label.startswith("nchan"):
            report.check(
                f"p99, {label}", median(report.data[label], "latency_p99_us") / 1000, most=10,
                unit=" ms")


def idle() -> Report:
    report = Report("10,000 idle SSE readers")
    measure = lambda s: loads.fanout(s, 10_000, idle=3, seconds=1)  # noqa: E731
    contenders: list[Contender] = [
        ("nchan", Nchan, measure), ("millrace", Millrace, with_streams(1, measure))]
    interleave(report, contenders)
    report.table(
        ["", "memory before", "with 10,000", "each"],
        [[label, f"{median(runs, 'resident_bytes_before') / 1e6:.1f} MB",
          f"{median(runs, 'resident_bytes') / 1e6:.1f} MB",
          f"{median(runs, 'resident_bytes_per_reader') / 1024:.1f} KiB"]
         for label, runs in report.data.items()])
    each = median(report.data["millrace"], "resident_bytes_per_reader") / 1024
    report.check("memory a reader", each, most=10, unit=" KiB")
    return report


def fill(server: Server, gigabytes: float, stream_count: int = 1, cores: str = "0,1") -> int:
    """Appends 1 KiB values in batches of 1,000; returns how many."""
    batches = int(gigabytes * 1e9 / 1024 / 1000)
    loads.append(
        server, streams=stream_count, connections=4, batch=1000, record_bytes=1023,
        requests=batches, cores=cores)
    return batches * 1000


def catchup() -> Report:
    report = Report("Reading history of 1 KiB values from the page cache, one connection")
    forms = {
        "NDJSON pages": ("application/x-ndjson", "&limit=10000&max_bytes=16777216"),
        "NDJSON live": ("application/x-ndjson", "&live=ndjson"),
        "raw, newline": (
            "application/octet-stream;framing=newline", "&limit=10000&max_bytes=16777216"),
        "raw, length": (
            "application/octet-stream;framing=length", "&limit=10000&max_bytes=16777216"),
    }
    results: dict[str, list[dict]] = {form: [] for form in forms}
    with Millrace() as server:
        server.make_streams(1)
        records = fill(server, 1)
        path = "/v1/streams/s00000/shards/0/records?from=earliest"
        for _ in range(settings.RUNS):
            for form, (accept, query) in forms.items():
                value_bytes = 1023 + 4 if form == "raw, length" else 0
                results[form].append(loads.load(
                    "catch-up", port=server.port, pids=server.pids(), path=path + query,
                    accept=accept, records=records, value_bytes=value_bytes))
    for form, runs in results.items():
        report.keep(form, runs)
    report.table(
        ["", "MB/s", "MB/s of server CPU", "bytes a record"],
        [[form, number(median(runs, "megabytes_per_second")),
          number(median(runs, "megabytes_per_server_second")),
          number(median(runs, "bytes") / records)] for form, runs in results.items()])
    best = max(median(results[f], "megabytes_per_second") for f in results if "NDJSON" in f)
    raw = max(median(results[f], "megabytes_per_second") for f in results if "raw" in f)
    report.check("NDJSON", best, least=500, unit=" MB/s")
    report.check("raw", raw, least=1500, unit=" MB/s")
    return report


def restart() -> Report:
    gigabytes = settings.FILL_GB
    room = shutil.disk_usage(settings.DATA).free / 1e9
    # While it fills, data lie in the WAL and in segments; some room stays for everyone else.
    if room < gigabytes * 1.5 + 5:
        gigabytes = max(0.5, (room - 5) / 1.5)
    report = Report(f"Restart after kill -9 with {gigabytes:.3g} GB stored")
    if gigabytes < settings.FILL_GB:
        report.lines += [f"Only {gigabytes:.3g} GB: the disk has {room:.0f} GB free.", ""]
    runs = []
    with Millrace(cores="0,1", loops=2) as server:
        server.make_streams(10)
        fill(server, gigabytes, stream_count=10)
        for _ in range(settings.RUNS):
            # Killed while appends arrive: the WAL is as full as it gets.
            pusher = threading.Thread(target=push_until_killed, args=(server,))
            pusher.start()
            time.sleep(settings.SECONDS)
            server.signal(signal.SIGKILL)
            pusher.join()
            started = time.monotonic()
            server.start()
            runs.append({"seconds": time.monotonic() - started, "rss": server.resident_bytes(),
                         "tails": tails(server)})
    report.keep("restart", runs)
    seconds = [run["seconds"] for run in runs]
    report.table(
        ["restarts", "median", "slowest", "memory after"],
        [[str(len(runs)), f"{statistics.median(seconds):.2f} s", f"{max(seconds):.2f} s",
          f"{median(runs, 'rss') / 1e6:.0f} MB"]])
    report.check("ready after (slowest)", max(seconds), most=3, unit=" s")
    return report


def push_until_killed(server: Server) -> None:
    """Appends until the server is gone, which ends the load program with an error that is expected."""
    subprocess.run(
        [settings.LOAD, "append-http1", "--port", str(server.port), "--path", loads.APPEND,
         "--streams", "10", "--connections", "16", "--batch", "100", "--record-bytes", "1023",
         "--seconds", "600"], capture_output=True, check=False)


def tails(server: Server) -> list[int]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port)
    found = []
    for stream in range(10):
        connection.request("GET", f"/v1/streams/s{stream:05}/shards")
        found.append(int(json.loads(connection.getresponse().read())["items"][0]["tail"]))
    connection.close()
    return found


ALL = {
    "append": append, "http2": http2, "batch": batch, "latency": latency, "streams": streams,
    "fanout": fanout, "idle": idle, "catchup": catchup, "restart": restart,
} | subscriptions.ALL
