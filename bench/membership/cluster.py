"""Some agents of one kind, and what each has said of the others, with the time at which the line arrived here."""
import os
import pathlib
import selectors
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterable

from harness import settings
from membership.agents import BASE_PORT


class Cluster:
    """`with Cluster(agent, place) as cluster:` ends every process it started. Members are numbers from 0."""

    def __init__(self, agent, place, sealed: bool = False):
        self.agent, self.place, self.sealed = agent, place, sealed
        self.directory = tempfile.mkdtemp(prefix="millrace-bench-", dir=settings.DATA)
        self.processes: dict[int, subprocess.Popen] = {}
        self.said: dict[tuple[str, int], list[tuple[float, int]]] = defaultdict(list)
        self.status: dict[int, dict[int, str]] = defaultdict(dict)  # observer → member → what it said last
        self.news = threading.Condition()
        self.selector = selectors.DefaultSelector()
        self.is_open = True
        self.failure: Exception | None = None
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def __enter__(self) -> "Cluster":
        return self

    def __exit__(self, *_) -> None:
        for process in self.processes.values():
            process.kill()
        for process in self.processes.values():
            process.wait()
        self.is_open = False
        self.reader.join()
        shutil.rmtree(self.directory)

    # MARK: processes

    def start(self, number: int) -> float:
        """Starts a member, which joins by member 0; returns when."""
        bind = f"{self.place.address(number)}:{BASE_PORT + number}"
        seed = f"{self.place.address(0)}:{BASE_PORT}" if number else None
        command = self.agent.command(number, bind, seed, self.directory, self.sealed)
        with self.news:
            self.status[number] = {}
        errors = open(pathlib.Path(self.directory) / f"n{number}.log", "ab")
        now = time.monotonic()
        process = subprocess.Popen(
            [*self.place.prefix(number), *command], stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=errors if self.agent.name == "millrace" else subprocess.STDOUT)
        errors.close()
        self.processes[number] = process
        os.set_blocking(process.stdout.fileno(), False)
        self.selector.register(process.stdout, selectors.EVENT_READ, [number, process, b""])
        return now

    def signal(self, number: int, which: signal.Signals) -> float:
        now = time.monotonic()
        self.processes[number].send_signal(which)
        return now

    def end(self, number: int) -> None:
        """Ends what may be stopped already, and forgets it."""
        process = self.processes.pop(number)
        process.kill()  # SIGKILL ends what SIGSTOP stopped, too
        process.wait()

    def check(self) -> None:
        """Raises if a member ended that nobody ended, or said what cannot be read."""
        if self.failure:
            raise self.failure
        for number, process in self.processes.items():
            if process.poll() is not None:
                log = (pathlib.Path(self.directory) / f"n{number}.log").read_text()[-1000:]
                raise RuntimeError(f"{self.agent.name} n{number} ended with {process.returncode}: {log}")

    @property
    def members(self) -> list[int]:
        return sorted(self.processes)

    # MARK: what they say

    def _read(self) -> None:
        try:
            while self.is_open:
                for key, _ in self.selector.select(0.1):
                    self._take(key)
        except Exception as failure:  # a line that cannot be read; `check` tells it
            self.failure = failure

    def _take(self, key: selectors.SelectorKey) -> None:
        number, process, rest = key.data
        try:
            chunk = os.read(key.fd, 65536)
        except BlockingIOError:
            return
        now = time.monotonic()
        if not chunk:
            self.selector.unregister(key.fileobj)
            process.stdout.close()
            return
        *lines, key.data[2] = (rest + chunk).split(b"\n")
        with self.news:
            for line in lines:
                found = self.agent.parse(line)
                if found and found[1] != number:
                    self.said[found].append((now, number))
                    if found[0] != "suspect":
                        self.status[number][found[1]] = found[0]
            self.news.notify_all()

    def wait(self, condition: Callable[[], bool], seconds: float) -> bool:
        """Whether the condition came true within so many seconds; it is asked again when something was said."""
        give_up = time.monotonic() + seconds
        with self.news:
            while not condition():
                left = give_up - time.monotonic()
                if left <= 0:
                    return False
                self.news.wait(left)
        return True

    def first(self, kind: str, member: int, since: float, by: Iterable[int]) -> dict[int, float]:
        """Seconds after `since` at which each observer first said it; those who did not are left out."""
        times: dict[int, float] = {}
        wanted = set(by)
        for at, observer in list(self.said[kind, member]):
            if at >= since and observer in wanted:
                times.setdefault(observer, at - since)
        return times

    def known(self, kind: str, member: int, since: float, by: list[int], seconds: float) -> dict[int, float]:
        """As `first`, but waits until all have said it, or so long."""
        self.wait(lambda: len(self.first(kind, member, since, by)) == len(by), seconds)
        return self.first(kind, member, since, by)

    def is_whole(self) -> bool:
        """Whether each member holds each other for alive."""
        members = self.members
        return all(
            self.status[observer].get(member) == "alive"
            for observer in members for member in members if observer != member)

    def deaths(self, since: float) -> list[tuple[int, int]]:
        """(observer, member) of each death told since then."""
        return [
            (observer, member)
            for (kind, member), told in list(self.said.items()) if kind == "dead"
            for at, observer in told if at >= since]

    # MARK: what they cost

    def cpu_seconds(self) -> float:
        """What all processes have used, by the kernel's own clocks of them, which are exact to the nanosecond."""
        return sum(time.clock_gettime((~p.pid << 3) | 2) for p in self.processes.values())

    def memory(self) -> list[tuple[float, float]]:
        """(RSS, PSS) of each process in MB; the PSS shares what several processes have in common."""
        figures = []
        for process in self.processes.values():
            rollup = dict(
                line.split(":", 1) for line in
                pathlib.Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()[1:])
            figures.append(tuple(int(rollup[key].split()[0]) * 1024 / 1e6 for key in ("Rss", "Pss")))
        return figures
