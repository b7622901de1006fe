"""What the figures were measured on."""
import os
import pathlib
import platform

from harness import settings


def _processor() -> str:
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.machine()


def _disk() -> str:
    """The device and file system under the data directory, from the longest mount point that holds it."""
    place, found = os.path.realpath(settings.DATA), ("", "?", "?")
    for line in pathlib.Path("/proc/mounts").read_text().splitlines():
        device, point, kind = line.split()[:3]
        holds = place == point or place.startswith(point.rstrip("/") + "/")
        if holds and len(point) > len(found[0]):
            found = (point, device, kind)
    return f"{found[2]} on {found[1]}"


def hardware() -> str:
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return (
        f"Machine: {_processor()}, {os.cpu_count()} cores, {memory:.0f} GiB, "
        f"Linux {platform.release()}, {_disk()}."
    )


def describe() -> str:
    return (
        f"{hardware()} {settings.RUNS} interleaved runs of {settings.SECONDS:g} s, medians; "
        "server on core 0 and load on core 1 unless said otherwise."
    )
