"""Medians, tables and verdicts."""
import json
import pathlib
import statistics
from dataclasses import dataclass, field

from harness import machine, settings


def median(runs: list[dict], key: str) -> float:
    return statistics.median(run[key] for run in runs)


def number(value: float) -> str:
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def micros(value: float) -> str:
    return f"{value / 1000:.2f} ms" if value >= 1000 else f"{value:.0f} µs"


@dataclass
class Report:
    title: str
    machine: str = field(default_factory=machine.describe)
    lines: list[str] = field(default_factory=list)
    data: dict[str, list[dict]] = field(default_factory=dict)
    verdicts: list[tuple[str, str, str, bool]] = field(default_factory=list)

    def keep(self, label: str, runs: list[dict]) -> None:
        self.data[label] = runs

    def table(self, head: list[str], rows: list[list[str]]) -> None:
        self.lines.append("| " + " | ".join(head) + " |")
        self.lines.append("|" + " --- |" * len(head))
        self.lines += ["| " + " | ".join(row) + " |" for row in rows]
        self.lines.append("")

    def rates(self, labels: list[str], base: str | None, records: bool = False) -> None:
        """Answers or records a second, the server's CPU and latency; ratios to `base`."""
        key = "records_per_second" if records else "answers_per_second"
        unit = "records/s" if records else "answers/s"
        head = ["", unit, "least–most", "p50", "p99", "max", "server CPU", f"{unit} of CPU"]
        if base:
            head.append(f"× {base}")
        rows = []
        for label in labels:
            runs = self.data[label]
            rate = median(runs, key)
            cpu = statistics.median(r["server_cpu_seconds"] / r["seconds"] for r in runs)
            has_latency = "latency_p50_us" in runs[0]
            row = [
                label, number(rate),
                f"{number(min(r[key] for r in runs))}–{number(max(r[key] for r in runs))}",
                *(micros(median(runs, f"latency_{q}_us")) if has_latency else ""
                  for q in ("p50", "p99", "max")),
                f"{cpu * 100:.0f} %", number(rate / cpu) if cpu else ""]
            if base:
                row.append(f"{rate / median(self.data[base], key):.2f}")
            rows.append(row)
        self.table(head, rows)

    def check(self, what: str, value: float, least: float | None = None,
              most: float | None = None, unit: str = "") -> None:
        if least is not None:
            target, reached = f"≥ {number(least)}{unit}", value >= least
        else:
            target, reached = f"≤ {number(most)}{unit}", value <= most
        self.verdicts.append((what, f"{number(value)}{unit}", target, reached))

    @property
    def missed(self) -> int:
        return sum(not reached for *_, reached in self.verdicts)

    def markdown(self, name: str) -> str:
        lines = [f"\n## {self.title}", "", f"`bench/run.sh {name}`", "", *self.lines]
        if self.verdicts:
            lines += ["| target | measured | at least / at most | |", "| --- | --- | --- | --- |"]
            lines += [
                f"| {what} | {value} | {target} | {'reached' if reached else '**missed**'} |"
                for what, value, target, reached in self.verdicts]
        return "\n".join(lines)

    def save(self, name: str) -> None:
        self.write(settings.BENCH / "results" / f"{name}.json")

    def write(self, path: pathlib.Path) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps({
            "title": self.title, "machine": self.machine, "runs": self.data,
            "verdicts": self.verdicts}, indent=1))
