"""Which clusters are made, what is done to each, and how long that may take."""
import random
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass

from membership import scenarios
from membership.agents import ALL
from membership.cluster import Cluster
from membership.namespace import Loopback, Wire


@dataclass
class Slice:
    """One cluster of each kind, one after the other, never at once. At most four minutes for both."""

    size: int
    steps: Callable[[Cluster, random.Random], list[dict]]
    place: type = Loopback
    by_default: bool = True
    is_sealed: bool = False


def figures(
    size: int, pace: float, idle: float, kills: int, silences: int, leaves: int, by_default: bool = True,
) -> Slice:
    return Slice(size, lambda cluster, draw: [
        scenarios.grow(cluster, size, pace),
        scenarios.gone(cluster, draw, kills, "kill", signal.SIGKILL),
        scenarios.gone(cluster, draw, silences, "silent", signal.SIGSTOP),
        scenarios.leave(cluster, draw, leaves),
        scenarios.rest(cluster, idle)], by_default=by_default)


def faults(size: int, rounds: int, at_once: int, loss_seconds: float) -> Slice:
    return Slice(size, lambda cluster, draw: [
        scenarios.form(cluster, size),
        scenarios.pause(cluster, draw, rounds, at_once),
        *([scenarios.loss(cluster, 30, loss_seconds)] if loss_seconds else [])])


WHOLE = {
    "5": figures(5, pace=1, idle=30, kills=5, silences=2, leaves=3),
    "30": figures(30, pace=0.5, idle=30, kills=4, silences=2, leaves=3),
    "faults": faults(30, rounds=4, at_once=5, loss_seconds=60),
    "100": figures(100, pace=0.25, idle=45, kills=3, silences=2, leaves=2),
    "partition": Slice(10, lambda cluster, _: [
        scenarios.form(cluster, 10), scenarios.partition(cluster, 60)], Wire),
    "50": figures(50, pace=0.5, idle=30, kills=3, silences=2, leaves=2, by_default=False),
    "sealed": Slice(30, lambda cluster, _: [
        scenarios.grow(cluster, 30, pace=0.3), scenarios.rest(cluster, 30)],
        is_sealed=True, by_default=False),
}
QUICK = {
    "5": figures(5, pace=1, idle=12, kills=3, silences=1, leaves=1),
    "30": figures(30, pace=0.3, idle=12, kills=2, silences=1, leaves=1),
    "faults": faults(30, rounds=2, at_once=4, loss_seconds=0),
}


def run(name: str, part: Slice, peers: list[str], seed: int) -> dict[str, dict]:
    """The samples of each peer."""
    results = {}
    place = part.place()
    try:
        for peer in peers:
            since = time.monotonic()
            samples: dict = {"size": part.size, "is_sealed": part.is_sealed}
            with Cluster(ALL[peer], place, part.is_sealed) as cluster:
                for found in part.steps(cluster, random.Random(seed)):
                    samples |= found
                    cluster.check()
            samples["took"] = time.monotonic() - since
            results[peer] = samples
            print(f"{name}, {peer}: {samples}", file=sys.stderr, flush=True)
    finally:
        if isinstance(place, Wire):
            place.close()
    return results
