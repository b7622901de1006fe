"""A webhook's receiver for black-box tests: it verifies, keeps what came, and answers as it is told."""

import http.server
import json
import random
import socket
import threading
import time

from standardwebhooks.webhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Post:
    """One request that came in, and what was answered."""

    def __init__(self, path, headers, body):
        self.path = path
        self.headers = headers
        self.body = body
        self.at = time.monotonic()
        self.status = None
        self.ended = None  # when it was answered

    @property
    def id(self):
        return self.headers["webhook-id"]

    @property
    def key(self):
        return self.headers.get("millrace-key")

    @property
    def place(self):
        return int(self.headers["millrace-shard"]), int(self.headers["millrace-offset"])

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<{self.status} {self.headers.get('millrace-offset')} {self.body[:60]!r}>"


class Receiver:
    """Listens on a loopback port. `respond(post)` gives a status, or (status, headers, body); it may also talk to the
    socket itself through `post.handler` and give None."""

    def __init__(self, respond=lambda post: 204, secrets=(SECRET,)):
        self.respond = respond
        self.secrets = list(secrets)
        self.posts = []
        self.unsigned = []
        self.changed = threading.Condition()
        self.port = None
        self._server = None

    def start(self):
        receiver = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1
            disable_nagle_algorithm = True

            def setup(self):
                super().setup()
                receiver._server.sockets.add(self.connection)

            def finish(self):
                receiver._server.sockets.discard(self.connection)
                try:
                    super().finish()
                except OSError:
                    pass

            def do_POST(self):
                try:
                    receiver._take(self)
                except (ConnectionError, ValueError):
                    self.close_connection = True

            def log_message(self, *_):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 256
            sockets = set()

            def handle_error(self, *_):
                pass

        self._server = Server(("127.0.0.1", self.port or 0), Handler)
        self._server.sockets = set()
        self.port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def stop(self):
        """Refuses connections, and breaks those that are open."""
        if self._server is None:
            return
        self._server.shutdown()
        self._server.server_close()
        for one in list(self._server.sockets):
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        self._server = None

    __enter__ = start

    def __exit__(self, *_):
        self.stop()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.port}/hook"

    def _take(self, handler):
        body = handler.rfile.read(int(handler.headers.get("content-length", 0)))
        headers = {name.lower(): value for name, value in handler.headers.items()}
        post = Post(handler.path, headers, body)
        post.handler = handler
        if not self.is_signed(post):
            self.unsigned.append(post)
        with self.changed:
            self.posts.append(post)
            self.changed.notify_all()
        answer = self.respond(post)
        if answer is None:
            handler.close_connection = True
        else:
            status, more, text = answer if isinstance(answer, tuple) else (answer, {}, b"")
            # Before the answer is on its way: what follows from it comes after.
            post.ended = time.monotonic()
            handler.send_response(status)
            for name, value in more.items():
                handler.send_header(name, value)
            if status != 204:
                handler.send_header("content-length", str(len(text)))
            handler.end_headers()
            if status != 204:
                handler.wfile.write(text)
            handler.wfile.flush()
            post.status = status
        with self.changed:
            self.changed.notify_all()

    def is_signed(self, post, secrets=None):
        for secret in secrets or self.secrets:
            try:
                Webhook(secret).verify(post.body, post.headers, json_parse=False)
                return True
            except Exception:
                continue
        return False

    @property
    def accepted(self):
        """The posts that got a 2xx, in order."""
        return [post for post in list(self.posts) if post.status and 200 <= post.status < 300]

    def wait(self, condition, timeout=20, what=""):
        """Until `condition(self)` holds."""
        deadline = time.monotonic() + timeout
        with self.changed:
            while not condition(self):
                left = deadline - time.monotonic()
                assert left > 0, f"waited {timeout} s for {what or 'it'}; {len(self.posts)} posts: {self.posts[-8:]}"
                self.changed.wait(min(left, 0.1))

    def wait_posts(self, count, timeout=20):
        self.wait(lambda r: len(r.posts) >= count, timeout, f"{count} posts")
        return self.posts

    def wait_accepted(self, count, timeout=20):
        self.wait(lambda r: len(r.accepted) >= count, timeout, f"{count} accepted")
        return self.accepted


class Hook:
    """A stream, a receiver, and a webhook subscription between them."""

    def __init__(self, server, name, respond=lambda post: 204, shards=1, start="earliest", ordering=None,
                 dead_letter=False, url=None, **delivery):
        self.server = server
        self.name = name
        self.path = f"/v1/subscriptions/{name}"
        self.receiver = Receiver(respond).start()
        self.dead = f"{name}.dead" if dead_letter else None
        server.create(name, {"shards": shards})
        fields = {"stream": name, "start": start}
        if ordering:
            fields["ordering"] = ordering
        if self.dead:
            server.create(self.dead)
            fields["dead_letter"] = {"stream": self.dead}
        self.fields = fields
        self.delivery = {
            "type": "webhook", "url": url or self.receiver.url, "secret": SECRET, "timeout": "5s",
            "retry": ["200ms"] * 8, **delivery}
        self.put()

    def put(self):
        answer = self.server.request("PUT", self.path, {**self.fields, "delivery": self.delivery})
        assert answer.status == 201, answer
        return answer.json

    def append(self, *values, key=None, headers=None):
        for value in values:
            more = dict(headers or {})
            if key is not None:
                more["Record-Key"] = key
            assert self.server.append(self.name, value, more).status == 200

    def append_keyed(self, records):
        """Records as (key, value), in one request."""
        answer = self.server.request(
            "POST", f"/v1/streams/{self.name}/records",
            json.dumps({"records": [{"key": key, "value": value} for key, value in records]}),
            {"Content-Type": "application/vnd.millrace.records+json"})
        assert answer.status == 200, answer

    def post(self, what, body=None, status=200):
        answer = self.server.request("POST", self.path + what, body)
        assert answer.status == status, answer
        return answer.json if answer.body else None

    def show(self):
        answer = self.server.get(self.path)
        assert answer.status == 200, answer
        return answer.json

    def attempts(self, **query):
        text = "&".join(f"{name}={value}" for name, value in query.items())
        answer = self.server.get(f"{self.path}/attempts" + (f"?{text}" if text else ""))
        assert answer.status == 200, answer
        return answer.json

    def dead_letters(self, count, timeout=20):
        """The records of the dead-letter stream, once there are so many."""
        deadline = time.monotonic() + timeout
        while True:
            records = self.server.read_all(self.dead)
            if len(records) >= count:
                return records
            assert time.monotonic() < deadline, f"{len(records)} dead letters of {count}; {self.attempts()}"
            time.sleep(0.02)

    def wait_state(self, state, timeout=10):
        deadline = time.monotonic() + timeout
        while (shown := self.show())["state"] != state:
            assert time.monotonic() < deadline, shown
            time.sleep(0.02)
        return shown

    def close(self):
        self.server.request("DELETE", self.path)
        self.receiver.stop()


class Flaky:
    """Fails by chance, from a seed."""

    def __init__(self, seed, share):
        self._random = random.Random(seed)
        self._share = share
        self._lock = threading.Lock()

    def __call__(self, post):
        with self._lock:
            return 500 if self._random.random() < self._share else 204


def orders_by_key(posts):
    """For each key the values of its accepted posts, in the order in which they were answered."""
    found = {}
    for post in sorted((p for p in posts if p.status and p.status < 300), key=lambda p: p.ended):
        found.setdefault(post.key, []).append(post.json["n"])
    return found
