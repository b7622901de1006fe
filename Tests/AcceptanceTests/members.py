"""Real `millrace member` processes, one a member, and the lines that each prints, with the time of each.

Nothing here polls: one thread sleeps on all the pipes, and `Crowd.wait` sleeps until a line has come. Two cores carry
thirty processes and this.
"""

import contextlib
import http.client
import itertools
import json
import os
import pathlib
import selectors
import signal
import statistics
import subprocess
import tempfile
import threading
import time

from networks import Loopback
from server import BINARY, Answer

# `make member-long` runs the whole, with the issue's own bounds; continuous integration has shorter forms of what takes
# long, and bounds that other work on the machine does not break. Both print the figures.
WHOLE = os.environ.get("MILLRACE_MEMBERS_WHOLE") == "1"
PATIENCE = 1 if WHOLE else 2.5
EVENTS = {"joined", "suspected", "refuted", "died", "left", "updated", "view", "superseded"}

# What may follow what in the events about one generation of a member, as one other member tells them.
LEGAL = {
    None: {"joined"},
    "joined": {"suspected", "died", "left", "updated"},
    "suspected": {"refuted", "died", "left"},
    "refuted": {"suspected", "died", "left", "updated"},
    "died": {"joined", "left"},
    "left": {"joined"},
}


class Listener:
    """One thread that reads every member's lines as they come."""

    def __init__(self):
        self.changed = threading.Condition()
        self._selector = selectors.DefaultSelector()
        self._wake, self._woken = os.pipe()
        self._selector.register(self._wake, selectors.EVENT_READ)
        threading.Thread(target=self._run, daemon=True).start()

    def follow(self, pipe, take):
        os.set_blocking(pipe.fileno(), False)
        self._selector.register(pipe, selectors.EVENT_READ, [b"", take])
        os.write(self._woken, b".")

    def forget(self, pipe):
        with self.changed, contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(pipe)

    def _run(self):
        while True:
            ready = self._selector.select()
            now = time.monotonic()
            with self.changed:
                for key, _ in ready:
                    if key.data is None:
                        os.read(self._wake, 4096)
                    else:
                        self._read(key, now)
                self.changed.notify_all()

    def _read(self, key, now):
        try:
            chunk = os.read(key.fd, 1 << 16)
        except BlockingIOError:
            return
        except OSError:
            chunk = b""
        if not chunk:
            with contextlib.suppress(KeyError):
                self._selector.unregister(key.fileobj)
            return
        *lines, key.data[0] = (key.data[0] + chunk).split(b"\n")
        for line in lines:
            key.data[1](line, now)


LISTENER = Listener()


class Event(dict):
    """One line: its fields, and when it was read, by the monotonic clock."""

    def __init__(self, line, when):
        super().__init__(json.loads(line))
        self.when = when

    @property
    def kind(self):
        return self["event"]


class Member:
    """`millrace member`, which outlives its processes: started, killed, paused, and started again over its state."""

    def __init__(self, id, directory, host, port=7000, network=None):
        self.id = id
        self.directory = pathlib.Path(directory)
        self.directory.mkdir(exist_ok=True)
        self.state = self.directory / "state"
        self.log = self.directory / "log"
        self.network = network or Loopback()
        self.host, self.port = host, port
        self.joins = []
        # Loopback addresses only, which is what it asks of --http unless told otherwise.
        self.answers_http = host.startswith("127.") or host == "::1"
        self.arguments = []
        self.environment = {}
        self.process = None
        self.events = []
        self.broken_lines = []
        self.runs = []

    @property
    def address(self):
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def http(self):
        return (self.host, self.port + 1)

    # Running

    def command(self):
        joins = [word for address in self.joins for word in ("--join", address)]
        host = f"[{self.host}]" if ":" in self.host else self.host
        http = ["--http", f"{host}:{self.port + 1}"] if self.answers_http else []
        return [
            str(BINARY), "member", "--id", self.id, "--bind", self.address, *joins,
            "--state", str(self.state), *http, *self.arguments]

    def start(self, wrap=()):
        assert not self.running, f"{self.id} runs"
        if self.process is not None:
            LISTENER.forget(self.process.stdout)
            self.process.stdout.close()
        self.events = []
        self.runs.append(self.events)
        with open(self.log, "ab") as log, self.network.entered():
            self.started = time.monotonic()
            self.process = subprocess.Popen(
                [*wrap, *self.command()], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log,
                env={**os.environ, **self.environment})
        events = self.events
        LISTENER.follow(self.process.stdout, lambda line, when: self._take(events, line, when))
        return self

    def _take(self, events, line, when):
        try:
            event = Event(line, when)
            assert event.kind in EVENTS and "at" in event
            events.append(event)
        except (ValueError, TypeError, KeyError, AssertionError):
            self.broken_lines.append(line)

    @property
    def running(self):
        return self.process is not None and self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)
        return time.monotonic()

    def pause(self):
        return self.signal(signal.SIGSTOP)

    def wake(self):
        return self.signal(signal.SIGCONT)

    def kill(self):
        """kill -9; gives the time of it."""
        when = self.signal(signal.SIGKILL)
        self.process.wait()
        return when

    def stop(self, wait=10):
        """SIGTERM; gives the exit code."""
        self.signal(signal.SIGTERM)
        return self.process.wait(wait)

    def close(self):
        if self.running:
            self.kill()
        if self.process is not None:
            LISTENER.forget(self.process.stdout)
            self.process.stdout.close()

    def log_text(self):
        return self.log.read_text(errors="replace")[-2000:] if self.log.exists() else ""

    @property
    def own_bytes(self):
        """Resident memory that is no copy of a file's."""
        for line in pathlib.Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("no RssAnon")

    # What it says

    @property
    def view(self):
        """The members of its last view."""
        return next((event["members"] for event in reversed(self.events) if event.kind == "view"), None)

    @property
    def view_id(self):
        return next((event["id"] for event in reversed(self.events) if event.kind == "view"), None)

    def told(self, kind=None, about=None, since=0):
        """Its events of this process, of a kind or of several, about a member, from a time on."""
        kinds = {kind} if isinstance(kind, str) else kind
        return [
            event for event in list(self.events)
            if (kinds is None or event.kind in kinds) and (about is None or event.get("member") == about)
            and event.when >= since]

    def get(self, path, timeout=5):
        """An answer of its HTTP endpoints."""
        sock = self.network.socket(_family(self.host), 1)
        sock.settimeout(timeout)
        connection = http.client.HTTPConnection(*self.http, timeout=timeout)
        with contextlib.closing(connection):
            sock.connect(self.http)
            connection.sock = sock
            connection.request("GET", path)
            response = connection.getresponse()
            return Answer(response.status, response.getheaders(), response.read())

    def members(self):
        """What /members says, by id."""
        return {member["id"]: member for member in self.get("/members").json["members"]}

    def metric(self, name, **labels):
        """The sum of the samples of a metric that have these labels."""
        from prometheus_client.parser import text_string_to_metric_families
        return sum(
            sample.value
            for family in text_string_to_metric_families(self.get("/metrics").body.decode())
            for sample in family.samples
            if sample.name == name and all(sample.labels.get(key) == value for key, value in labels.items()))

    def __repr__(self):
        last = " ".join(f"{event.kind}:{event.get('member', '')}" for event in self.events[-6:])
        state = "runs" if self.running else f"ended {self.process and self.process.returncode}"
        return f"{self.id} {state}, view of {len(self.view or [])}; last {last}"


def _family(host):
    return 10 if ":" in host else 2


class Crowd:
    """Members n0, n1, … in one network, which join through n0."""

    def __init__(self, network, count=0, arguments=()):
        self.network = network
        self.arguments = list(arguments)
        self._temporary = tempfile.TemporaryDirectory(prefix="millrace-members-")
        self.directory = pathlib.Path(self._temporary.name)
        self.members = []
        self._numbers = itertools.count()
        for _ in range(count):
            self.add()

    def add(self, id=None, network=None, host=None, port=7000):
        """One member more, which is not started yet."""
        number = next(self._numbers)
        network = network or self.network
        member = Member(
            id or f"n{number}", self.directory / f"member-{number}", host or network.host(number), port, network)
        member.arguments = list(self.arguments)
        member.joins = [self.members[0].address] if self.members else []
        self.members.append(member)
        return member

    def __getitem__(self, number):
        return self.members[number]

    def __iter__(self):
        return iter(self.members)

    def __len__(self):
        return len(self.members)

    def start(self):
        """All of them at once; gives the time of the last start."""
        for member in self.members:
            member.start()
        return self.members[-1].started

    def others(self, *members):
        return [member for member in self.members if member not in members and member.running]

    # Waiting

    def wait(self, condition, seconds, what):
        """Sleeps until it holds, looking again whenever a line has come; gives the time at which it was seen."""
        deadline = time.monotonic() + seconds
        with LISTENER.changed:
            while not condition():
                left = deadline - time.monotonic()
                if left <= 0:
                    raise AssertionError(f"not within {seconds:.1f} s: {what}\n{self}")
                LISTENER.changed.wait(left)
            return time.monotonic()

    def agree(self, members=None, among=None):
        """Whether the last views of all are the same and hold just these members (all that run, unless told)."""
        among = among or [member for member in self.members if member.running]
        wanted = sorted(member.id for member in (members or among))
        return all(member.view == wanted for member in among) and len(
            {member.view_id for member in among}) == 1

    def wait_agreed(self, seconds, members=None, among=None):
        among = among or [member for member in self.members if member.running]
        return self.wait(
            lambda: self.agree(members, among), seconds, f"equal views of {len(members or among)}")

    def wait_told(self, kind, about, seconds, among=None, since=0):
        """Until all of them have told it; gives when each did, in the order of `among`."""
        among = among or [member for member in self.members if member.running and member is not about]

        def first(member):
            found = member.told(kind, about.id, since)
            return found[0].when if found else None

        self.wait(
            lambda: all(first(member) is not None for member in among), seconds, f"{kind} {about.id}")
        return [first(member) for member in among]

    def hold(self, seconds):
        """Lets time pass."""
        time.sleep(seconds)

    # What must not have been told

    def accusations(self, since=0, about=None):
        """Every `suspected` and `died` that anyone told since then, as (teller, event)."""
        return [
            (member.id, event) for member in self.members
            for event in member.told({"suspected", "died"}, about and about.id, since)]

    def deaths(self, since=0):
        return [
            (member.id, event) for member in self.members for event in member.told("died", since=since)]

    def check(self):
        """What holds of every run of every member whatever happened: whole lines, a legal order of events."""
        for member in self.members:
            assert not member.broken_lines, (member.id, member.broken_lines[:3])
            for events in member.runs:
                check_order(member.id, events)

    def close(self):
        for member in self.members:
            if member.running:
                member.signal(signal.SIGKILL)
        for member in self.members:
            member.close()
        self._temporary.cleanup()

    def __str__(self):
        lines = [repr(member) for member in self.members]
        logs = [f"{member.id}: {member.log_text()}" for member in self.members if member.log_text()]
        return "\n".join(lines + [text[-600:] for text in logs[:6]])


def check_order(teller, events):
    """The events about each generation follow one another as they may; generations only grow; views change."""
    states, generations, last_view = {}, {}, None
    for event in events:
        if event.kind == "view":
            assert event["id"] != last_view, f"{teller} told the same view twice: {event}"
            assert event["members"] == sorted(set(event["members"])), event
            last_view = event["id"]
            continue
        if event.kind == "superseded":
            continue
        id, generation = event["member"], event["generation"]
        if generation != generations.get(id):
            assert generation > generations.get(id, 0), f"{teller} told an older generation: {event}"
            if id not in generations or event.kind == "joined":
                states[id] = None
            generations[id] = generation
        assert event.kind in LEGAL[states.get(id)], f"{teller}: {event} after {states.get(id)}"
        if event.kind != "updated":
            states[id] = event.kind


def figures(what, seconds):
    """Prints durations for whoever reads the run (`pytest -s`, or -rP)."""
    seconds = sorted(seconds)
    print(f"{what}: median {statistics.median(seconds):.2f} s, longest {seconds[-1]:.2f} s ({len(seconds)})")
    return seconds[-1]


@contextlib.contextmanager
def crowd_of(network, count=0, arguments=(), started=True):
    """A crowd that is checked when the test is done, and always ended."""
    crowd = Crowd(network, count, arguments)
    try:
        if count and started:
            crowd.start()
            crowd.wait_agreed(10 * PATIENCE)
        yield crowd
        crowd.check()
    finally:
        crowd.close()
