"""A real browser's EventSource: tailing, resuming by itself, gaps, foreign pages, the end, and the console's page."""

import http.server
import json
import threading
import time

import pytest

from server import free_port

NAMES = ["open", "record", "batch", "message", "gap", "checkpoint", "problem", "end"]

# What a page would write, and a list of everything that came.
LISTEN = """(url => {
  window.seen = []; window.errors = [];
  window.source = new EventSource(url);
  for (const name of %s) source.addEventListener(name, event => {
    if (event.data !== undefined) seen.push([name, JSON.parse(event.data), event.lastEventId]);
  });
  source.onerror = () => errors.push(source.readyState);
})(%s)"""
CLOSED = 2


@pytest.fixture
def foreign():
    """The address of another origin, with an empty page."""

    class Empty(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "text/html")
            self.end_headers()
            self.wfile.write(b"<!doctype html><title>elsewhere</title>")

        def log_message(self, *_):
            pass

    house = http.server.ThreadingHTTPServer(("127.0.0.1", free_port()), Empty)
    threading.Thread(target=house.serve_forever, daemon=True).start()
    yield f"http://localhost:{house.server_port}"
    house.shutdown()
    house.server_close()


def listen(page, server, path, origin=None):
    """Opens `path` with EventSource in a page of the server's own origin, or of another one."""
    page.open(origin or server.url + "/livez")
    page.evaluate(LISTEN % (json.dumps(NAMES), json.dumps(server.url + path)))


def values(page, name="record"):
    return page.evaluate(f"seen.filter(([name]) => name == '{name}').map(([, data]) => data.value.n)")


def wait_for(page, count, name="record", seconds=30):
    page.wait(f"seen.filter(([name]) => name == '{name}').length >= {count}", seconds)


class Writer(threading.Thread):
    """Appends 0, 1, 2, … one after another, each until it is acknowledged, whatever happens to the server."""

    def __init__(self, server, stream):
        super().__init__(daemon=True)
        self.server, self.stream = server, stream
        self.appended, self.is_over = 0, threading.Event()

    def run(self):
        while not self.is_over.is_set():
            headers = {"Producer-Id": "w", "Producer-Epoch": "1", "Producer-Seq": str(self.appended)}
            try:
                answer = self.server.append(self.stream, {"n": self.appended}, headers)
            except (OSError, ValueError, EOFError):
                self.is_over.wait(0.05)
                continue
            except Exception as failure:  # http.client has many names for a broken answer
                if "http.client" not in type(failure).__module__:
                    raise
                continue
            assert answer.status in (200, 503), answer
            self.appended += answer.status == 200
            self.is_over.wait(0.002)

    def stop(self):
        self.is_over.set()
        self.join(30)
        assert not self.is_alive()


def test_it_tails_live(page, server, stream):
    server.append_lines(stream, [{"n": n} for n in range(100)])
    listen(page, server, f"/v1/streams/{stream}/records")
    wait_for(page, 100)
    for n in range(100, 130):
        server.append(stream, {"n": n})
    wait_for(page, 130)
    assert values(page) == list(range(130))
    assert page.evaluate("seen[0][0]") == "open" and page.evaluate("errors") == []


def test_message_events_reach_onmessage_and_batches_are_arrays(page, server, stream):
    server.append_lines(stream, [{"n": n} for n in range(10)])
    listen(page, server, f"/v1/streams/{stream}/records?event=message")
    wait_for(page, 10, "message")
    assert values(page, "message") == list(range(10))
    listen(page, server, f"/v1/streams/{stream}/records?batch=true")
    found = page.wait("seen.find(([name]) => name == 'batch')")
    assert [record["value"]["n"] for record in found[1]] == list(range(10))


def test_values_survive_whatever_a_browser_might_make_of_them(page, server, stream):
    hostile = ["line\nline", "cr\rlf\r\n", "\u2028\u2029\u0085", "\0", "data: x\n\nid: 7\n\n", "\U0001f600" * 9,
               "\ufeffbom", "</script><b>", "", "x" * 900_000]
    for text in hostile:
        assert server.append(stream, {"n": text}).status == 200
    listen(page, server, f"/v1/streams/{stream}/records")
    wait_for(page, len(hostile))
    assert values(page) == hostile


def test_it_resumes_by_itself_after_kill_9_missing_nothing_and_repeating_nothing(page, fresh):
    server = fresh().start()
    server.create("s")
    listen(page, server, "/v1/streams/s/records?live=sse")
    writer = Writer(server, "s")
    writer.start()
    for kill in range(1, 4):
        wait_for(page, 40 * kill)
        server.kill()
        page.wait(f"errors.length >= {kill}")
        server.start()
        page.wait(f"seen.filter(([name]) => name == 'open').length > {kill}")
    writer.stop()
    wait_for(page, writer.appended)
    seen = values(page)
    # A record whose answer was lost in the kill may be there; a hole or a repetition may not.
    assert seen == list(range(len(seen))) and len(seen) >= writer.appended > 120
    ids = {place for _, _, place in page.evaluate("seen")}
    resumed = [r["last-event-id"] for r in page.requests if "last-event-id" in r]
    assert len(resumed) >= 3 and set(resumed) <= ids, "the browser's own header leads back"
    assert page.evaluate("source.readyState") == 1


def test_it_is_told_of_a_gap_when_trimming_overtook_it(page, fresh):
    server = fresh().start()
    server.create("s")
    server.append_lines("s", [{"n": n} for n in range(10)])
    listen(page, server, "/v1/streams/s/records")
    wait_for(page, 10)
    # Out of the browser's sight, so that it cannot come back in between.
    known, server.port = server.port, free_port()
    server.kill()
    server.start()
    server.append_lines("s", [{"n": n} for n in range(10, 30)])
    server.request("POST", "/v1/streams/s/shards/0:trim", {"before": "25"})
    server.kill()
    server.port = known
    server.start()
    wait_for(page, 15)
    assert values(page) == [*range(10), *range(25, 30)]
    gaps = page.evaluate("seen.filter(([name]) => name == 'gap').map(([, data]) => data)")
    assert gaps == [{"shard": 0, "from": "10", "to": "25", "reason": "trimmed"}]


def test_a_page_from_elsewhere_is_served_only_if_its_origin_is_named(page, fresh, foreign):
    named = fresh("--cors-origins", f"https://app.example.org,{foreign}").start()
    named.create("s")
    named.append_lines("s", [{"n": n} for n in range(5)])
    listen(page, named, "/v1/streams/s/records", foreign)
    wait_for(page, 5)
    named.kill()
    page.wait("errors.length >= 1")
    named.start()
    named.append("s", {"n": 5})
    wait_for(page, 6)
    assert values(page) == list(range(6)), "it resumes across origins too"
    asked = page.evaluate(f"""fetch("{named.url}/v1/streams/s/records", {{
      method: "POST", headers: {{"Content-Type": "application/json", "Idempotency-Key": "k",
                                 "Record-Header-Trace": "t"}}, body: '{{"n":6}}' }})
      .then(answer => answer.json())""")
    assert asked["appended"] == 1, "a preflight for an append, its families of headers too"

    other = fresh().start()
    other.create("s")
    other.append("s", {"n": 0})
    listen(page, other, "/v1/streams/s/records", foreign)
    page.wait(f"source.readyState == {CLOSED}")
    assert page.evaluate("seen") == []
    refused = page.evaluate(f"""fetch("{other.url}/v1/streams/s/records", {{
      method: "POST", mode: "no-cors", body: "1" }}).then(() => "sent", () => "refused")""")
    # A page may send such a request without asking; it must change nothing.
    assert refused in ("sent", "refused") and len(other.read_all("s")) == 1


def test_after_the_end_it_is_told_never_to_come_back(page, server, stream):
    server.append_lines(stream, [{"n": n} for n in range(10)])
    listen(page, server, f"/v1/streams/{stream}/shards/0/records?live=sse&from=2&until=5")
    page.wait(f"source.readyState == {CLOSED}")
    assert values(page) == [2, 3, 4]
    assert page.evaluate("seen.at(-1).slice(0, 2)") == ["end", {"reason": "until"}]
    assert [status for url, status in page.answers if "live=sse" in url] == [200, 204]


def test_a_deleted_stream_ends_and_the_browser_stays_away(page, server, name):
    server.create(name)
    listen(page, server, f"/v1/streams/{name}/records?live=sse")
    wait_for(page, 1, "open")
    server.request("DELETE", f"/v1/streams/{name}")
    page.wait(f"source.readyState == {CLOSED}")
    assert [status for url, status in page.answers if "live=sse" in url] == [200, 204]


def test_a_graceful_stop_is_a_problem_with_200_and_it_comes_back_by_itself(page, fresh):
    server = fresh().start()
    server.create("s")
    server.append("s", {"n": 0})
    listen(page, server, "/v1/streams/s/records?live=sse")
    wait_for(page, 1)
    started = time.monotonic()
    assert server.stop() == 0
    problem = page.wait("seen.find(([name]) => name == 'problem')")[1]
    assert problem["code"] == "stopping" and problem["retryable"] is True
    server.start()
    server.append("s", {"n": 1})
    wait_for(page, 2)
    assert values(page) == [0, 1]
    assert time.monotonic() - started >= 4, "it waits as long as retry: said, 5 s"
    assert {status for url, status in page.answers if "live=sse" in url} == {200}


# The console's page


def rows(page):
    """The table as its reader sees it, newest first: each row's cells."""
    return page.evaluate(
        "[...document.querySelectorAll('#rows tr')].map(tr => [...tr.children].map(td => td.textContent))")


def test_the_page_shows_records_live_and_survives_a_restart(page, fresh):
    server = fresh().start()
    server.create("orders")
    server.append_lines("orders", [{"n": n} for n in range(3)])
    page.open(f"{server.url}/console/tail.html?stream=orders")
    page.wait("document.querySelectorAll('#rows tr').length == 3")
    server.append("orders", {"n": 3}, {"Record-Key": "ada"})
    page.wait("document.querySelectorAll('#rows tr').length == 4")
    newest = rows(page)[0]
    assert newest[1] == "3" and newest[3] == "ada" and newest[-1] == '{"n":3}'
    server.kill()
    page.wait("document.getElementById('state').textContent == 'reconnecting'")
    server.start()
    server.append("orders", {"n": 4})
    page.wait("document.querySelectorAll('#rows tr').length == 5")
    assert [row[1] for row in rows(page)] == ["4", "3", "2", "1", "0"]
    assert page.evaluate("document.getElementById('state').textContent") == "live"


def test_the_page_shows_numbers_as_they_were_sent_and_holds_when_asked(page, server, stream):
    text = '{"big":12345678901234567890,"exact":1.50,"far":1e400}'
    server.append(stream, text.encode(), raw=True)
    page.open(f"{server.url}/?stream={stream}")
    page.wait("document.querySelectorAll('#rows tr').length == 1")
    assert rows(page)[0][-1] == text
    page.evaluate("document.getElementById('hold').click()")
    server.append(stream, {"n": 1})
    page.wait("document.getElementById('count').textContent == '2'")
    assert len(rows(page)) == 1
    page.evaluate("document.getElementById('hold').click()")
    page.wait("document.querySelectorAll('#rows tr').length == 2")
    page.evaluate("document.getElementById('stop').click()")
    server.append(stream, {"n": 2})
    assert page.evaluate("document.getElementById('state').textContent") == "stopped"


HOSTILE = [
    "<img src=x onerror='window.harmed=1'>", "<script>window.harmed=1</script>",
    "</td></tr></table><svg onload=window.harmed=1>", "javascript:window.harmed=1", "&lt;b&gt;",
    "\u202eright to left", "{{7*7}}", "'\"><iframe srcdoc='<script>parent.harmed=1</script>'>",
]


def test_the_page_shows_hostile_records_as_text(page, server, name):
    server.create(name)
    for text in HOSTILE:
        sent = {"records": [{"key": text, "headers": {"trace": text}, "value": text},
                            {"key": text, "value_base64": "AP8=", "content_type": text.replace("\u202e", "")}]}
        answer = server.request(
            "POST", f"/v1/streams/{name}/records", json.dumps(sent),
            {"Content-Type": "application/vnd.millrace.records+json"})
        assert answer.status == 200, answer
    page.open(f"{server.url}/console/tail.html?stream={name}")
    page.wait(f"document.querySelectorAll('#rows tr').length == {2 * len(HOSTILE)}")
    shown = {row[3] for row in rows(page)}
    assert shown == set(HOSTILE)
    assert page.evaluate("document.querySelectorAll('#rows :not(tr, td)').length") == 0
    assert page.evaluate("window.harmed") is None
    page.open(f"{server.url}/console/tail.html?stream=%3Cimg%20src%3Dx%20onerror%3Dharmed%3D1%3E&key=%22%3E")
    page.wait("document.getElementById('notice').textContent")
    assert page.evaluate("window.harmed") is None
    assert page.evaluate("document.querySelectorAll('img, iframe').length") == 0


def test_the_page_may_do_no_more_than_it_needs(page, server, foreign):
    policy = server.get("/console/tail.html").headers["content-security-policy"]
    allowed = dict(part.strip().split(" ", 1) for part in policy.split(";"))
    assert allowed["default-src"] == "'none'" and allowed["connect-src"] == "'self'"
    assert allowed["frame-ancestors"] == "'none'" and allowed["base-uri"] == "'none'"
    assert allowed["script-src"].startswith("'sha256-") and "unsafe" not in policy
    page.open(f"{server.url}/console/tail.html")
    assert page.complaints == [], "the policy lets the page's own style and script be"
    page.evaluate("""(() => { const script = document.createElement("script");
      script.textContent = "window.harmed = 1"; document.body.append(script); })()""")
    assert page.evaluate("window.harmed") is None, "no other script runs"
    page.evaluate("fetch('%s').catch(() => 0).then(() => 0)" % foreign)
    assert any("Content Security Policy" in text for text in page.complaints)


def test_the_page_says_why_there_is_nothing_to_see(page, server):
    page.open(f"{server.url}/console/tail.html?stream=not-there")
    page.wait("document.getElementById('notice').textContent.includes('no such stream')")
    assert page.evaluate("document.querySelector('#state').textContent") != "live"
