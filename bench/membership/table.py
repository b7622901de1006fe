"""The figures of both beside each other, and which goals they reach."""
import json
import pathlib
import statistics

from harness import machine, settings
from harness.report import Report

OURS, PEER = "millrace", "serf"
RESULTS = settings.BENCH / "results/membership.json"


def load(path: pathlib.Path) -> dict[str, dict]:
    """What a report has saved: slice → peer → samples."""
    return {name: runs[0] for name, runs in json.loads(path.read_text())["runs"].items()}


def second(value: float) -> str:
    return f"{value:.2f}" if value >= 0.1 else f"{value:.3f}"


def seconds(samples: list[float]) -> str:
    """Median and most."""
    if not samples:
        return "never"
    return f"{second(statistics.median(samples))} / {second(max(samples))}"


def missed(count: int) -> str:
    return f" ({count} never)" if count else ""


def ratio(found: dict, key: str) -> str:
    """How much less of it ours takes."""
    if not all(found.get(peer, {}).get(key) for peer in (OURS, PEER)):
        return ""
    ours, theirs = (statistics.median(found[peer][key]) for peer in (OURS, PEER))
    return f"{theirs / ours:.1f} ×" if ours else ""


def report(found: dict[str, dict]) -> Report:
    made = Report("Membership: `millrace member` beside serf", machine.hardware())
    rows = []

    def row(what: str, name: str, show, key: str = "") -> None:
        both = found[name]
        rows.append([what, *(show(both[peer]) if peer in both else "" for peer in (PEER, OURS)),
                     ratio(both, key) if key else ""])

    for name, both in sorted(found.items(), key=lambda entry: next(iter(entry[1].values()))["size"]):
        samples = next(iter(both.values()))
        head = f"N = {samples['size']}{', with a key' if samples['is_sealed'] else ''}: "
        for key, what in (("kill", "killed, known to all"), ("silent", "silent, known to all"),
                          ("leave", "leaves, known to all")):
            if key in samples:
                row(f"{head}{what}, median / max of {len(samples[key]) + samples[f'{key}_missed']}, s", name,
                    lambda s, k=key: seconds(s[k]) + missed(s[f"{k}_missed"]), key)
        if "join" in samples:
            row(f"{head}join seen by all, median / max of {samples['size'] - 1}, s", name,
                lambda s: seconds(s["join"]) + missed(s["join_missed"]), "join")
        if "idle_bytes" in samples:
            row(f"{head}idle, bytes/s a node (UDP + TCP), packets/s", name,
                lambda s: f"{s['idle_bytes'][0]:.0f} ({s['idle_udp_bytes'][0]:.0f} + {s['idle_tcp_bytes'][0]:.0f}), "
                          f"{s['idle_packets'][0]:.1f}", "idle_bytes")
            row(f"{head}idle, CPU % a node", name, lambda s: f"{s['idle_cpu_percent'][0]:.3f}", "idle_cpu_percent")
            row(f"{head}RSS / PSS, MB a node", name,
                lambda s: f"{s['rss_mb'][0]:.1f} / {s['pss_mb'][0]:.1f}", "rss_mb")
        if "paused" in samples:
            row(f"{head}paused for 3 s, declared dead", name, lambda s: f"{s['pause_deaths']} of {s['paused']}")
        if "loss_deaths" in samples:
            row(f"{head}30 % of datagrams lost for 60 s, declared dead", name,
                lambda s: f"{s['loss_deaths']} (suspected {s['loss_suspicions']} times; {s['loss_datagrams']:,} lost)")
        if "heal" in samples:
            row(f"{head}5 and 5 apart for 60 s, whole again after, s", name,
                lambda s: second(s["heal"][0]) if s["heal"] else "not in 45", "heal")
        if OURS in both:
            check(made, head, both[OURS])
    made.table(["", PEER, OURS, f"{PEER} ÷ {OURS}"], rows)
    for name, both in found.items():
        made.keep(name, [both])
    return made


def check(made: Report, head: str, ours: dict) -> None:
    """The goals of the membership."""
    def most(what: str, samples: list[float], limit: float, unit: str = " s", of=max) -> None:
        made.check(head + what, of(samples) if samples else float("inf"), most=limit, unit=unit)

    if "kill" in ours:
        most("a killed one known to all, median", ours["kill"], 1, of=statistics.median)
        most("a killed one known to all, max", ours["kill"], 2)
        most("a silent one known to all, max", ours["silent"], 5)
        most("join seen by all, max", ours["join"], 1)
        most("leave known to all, max", ours["leave"], 1)
        most("joins missed", [ours["join_missed"]], 0, "")
    if "idle_bytes" in ours and not ours["is_sealed"]:
        most("idle bytes/s a node", ours["idle_bytes"], 300, " B/s")
        most("idle CPU a node", ours["idle_cpu_percent"], 0.1, " %")
        most("memory a node", ours["rss_mb"], 10, " MB")
    if "kill" in ours:
        most("others than the victim declared dead",
             [ours["kill_others_dead"] + ours["silent_others_dead"] + ours["leave_deaths"]], 0, "")
    if "paused" in ours:
        most("paused ones declared dead", [ours["pause_deaths"]], 0, "")
    if "loss_deaths" in ours:
        most("declared dead at 30 % loss", [ours["loss_deaths"]], 0, "")
    if "heal" in ours:
        most("whole again after a partition", ours["heal"], 5)
