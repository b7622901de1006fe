"""What is done to a cluster, and what is noted of it: samples in seconds, of which the table makes medians."""
import signal
import statistics
import time

from membership.cluster import Cluster

JOIN_SECONDS_MAX = 30  # a join that some member has not seen by then is missed
KNOWN_SECONDS_MAX = 60
LEFT_SECONDS_MAX = 8
HEAL_SECONDS_MAX = 45
PAUSE_SECONDS = 3
REST_SECONDS = 1.5  # between two faults, so that the next starts from quiet
SETTLE_SECONDS = 6


def grow(cluster: Cluster, count: int, pace: float) -> dict:
    """Members join one after another, each when all have seen the one before or `pace` later."""
    started = {0: cluster.start(0)}
    time.sleep(1)
    for member in range(1, count):
        earlier = cluster.members
        started[member] = cluster.start(member)
        cluster.known("alive", member, started[member], earlier, pace)
    joins, missed = [], 0
    for member in range(1, count):
        remaining = started[member] + JOIN_SECONDS_MAX - time.monotonic()
        seen = cluster.known("alive", member, started[member], list(range(member)), max(remaining, 0))
        if len(seen) == member and max(seen.values()) <= JOIN_SECONDS_MAX:
            joins.append(max(seen.values()))
        else:
            missed += 1
    time.sleep(REST_SECONDS)
    return {"join": joins, "join_missed": missed}


def form(cluster: Cluster, count: int) -> dict:
    """Members start nearly at once; the time until each holds each other for alive."""
    since = cluster.start(0)
    time.sleep(0.3)
    for member in range(1, count):
        cluster.start(member)
        time.sleep(0.05)
    is_whole = cluster.wait(cluster.is_whole, KNOWN_SECONDS_MAX)
    taken = time.monotonic() - since
    time.sleep(REST_SECONDS)
    return {"form": [taken] if is_whole else []}


def rest(cluster: Cluster, seconds: float) -> dict:
    """What members cost to which nothing happens, once what happened before is told to everyone."""
    time.sleep(SETTLE_SECONDS)
    count, loopback = len(cluster.members), cluster.place
    since, cpu, before = time.monotonic(), cluster.cpu_seconds(), loopback.traffic()
    time.sleep(seconds)
    taken, used, after = time.monotonic() - since, cluster.cpu_seconds() - cpu, loopback.traffic()
    memory = cluster.memory()
    rates = {key: (after[key] - before[key]) / taken / count for key in after}
    return {
        "idle_bytes": [rates["bytes"]], "idle_udp_bytes": [rates["udp"]], "idle_tcp_bytes": [rates["tcp"]],
        "idle_packets": [rates["packets"]], "idle_cpu_percent": [100 * used / taken / count],
        "rss_mb": [statistics.median(rss for rss, _ in memory)],
        "pss_mb": [statistics.median(pss for _, pss in memory)]}


def victims(cluster: Cluster, random, count: int) -> list[int]:
    """Others than member 0, which new ones join by."""
    return random.sample(cluster.members[1:], min(count, len(cluster.members) - 1))


def again(cluster: Cluster, member: int) -> None:
    """Starts it once more and waits until the cluster is as it was."""
    others = cluster.members
    since = cluster.start(member)
    cluster.known("alive", member, since, others, 5)
    time.sleep(REST_SECONDS)
    cluster.check()


def gone(cluster: Cluster, random, times: int, name: str, what: signal.Signals) -> dict:
    """A member is killed, or stopped for good: when the first and when the last of all others tells its death."""
    all_know, first_knows, half_know, missed, wrong = [], [], [], 0, 0
    for _ in range(times):
        victim = victims(cluster, random, 1)[0]
        others = [member for member in cluster.members if member != victim]
        since = cluster.signal(victim, what)
        known = cluster.known("dead", victim, since, others, KNOWN_SECONDS_MAX)
        if len(known) == len(others):
            all_know.append(max(known.values()))
        else:
            missed += 1
        if known:
            first_knows.append(min(known.values()))
            half_know.append(statistics.median(known.values()))
        cluster.end(victim)
        wrong += len({member for _, member in cluster.deaths(since)} - {victim})
        again(cluster, victim)
    return {
        name: all_know, f"{name}_first": first_knows, f"{name}_half": half_know,
        f"{name}_missed": missed, f"{name}_others_dead": wrong}


def leave(cluster: Cluster, random, times: int) -> dict:
    """A member is asked to go by the signal that its own manual names."""
    all_know, missed, deaths = [], 0, 0
    for _ in range(times):
        victim = victims(cluster, random, 1)[0]
        others = [member for member in cluster.members if member != victim]
        since = cluster.signal(victim, cluster.agent.leaving)
        known = cluster.known("left", victim, since, others, LEFT_SECONDS_MAX)
        if len(known) == len(others):
            all_know.append(max(known.values()))
        else:
            missed += 1
        time.sleep(0.5)
        deaths += len({member for _, member in cluster.deaths(since)})
        cluster.end(victim)
        again(cluster, victim)
    return {"leave": all_know, "leave_missed": missed, "leave_deaths": deaths}


def pause(cluster: Cluster, random, rounds: int, at_once: int) -> dict:
    """Members are stopped for three seconds, some at once; how many of them anyone declares dead."""
    paused, dead = 0, 0
    for _ in range(rounds):
        stopped = victims(cluster, random, at_once)
        since = time.monotonic()
        for member in stopped:
            cluster.signal(member, signal.SIGSTOP)
        time.sleep(PAUSE_SECONDS)
        for member in stopped:
            cluster.signal(member, signal.SIGCONT)
        time.sleep(REST_SECONDS)
        paused += len(stopped)
        dead += len({member for _, member in cluster.deaths(since)})
    return {"paused": paused, "pause_deaths": dead}


def loss(cluster: Cluster, percent: int, seconds: float) -> dict:
    """Datagrams are lost by chance, TCP is not; the members that anyone declares dead."""
    since, before = time.monotonic(), cluster.place.lost()
    cluster.place.lose(percent)
    time.sleep(seconds)
    cluster.place.lose(0)
    time.sleep(REST_SECONDS * 2)
    suspected = sum(
        at >= since for (kind, _), told in list(cluster.said.items()) if kind == "suspect" for at, _ in told)
    return {
        "loss_deaths": len({member for _, member in cluster.deaths(since)}),
        "loss_suspicions": suspected, "loss_datagrams": cluster.place.lost() - before}


def partition(cluster: Cluster, seconds: float) -> dict:
    """The wire between the halves is cut; the time from its mending until each holds each other for alive."""
    since = time.monotonic()
    cluster.place.cut()
    time.sleep(seconds)
    deaths = len(set(cluster.deaths(since)))
    mended = time.monotonic()
    cluster.place.mend()
    is_whole = cluster.wait(cluster.is_whole, HEAL_SECONDS_MAX)
    taken = time.monotonic() - mended
    return {"heal": [taken] if is_whole else [], "heal_missed": int(not is_whole), "split_deaths": deaths}
