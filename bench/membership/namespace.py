"""A network namespace of one's own for the agents: counters, loss, and a second one behind a wire that can be cut."""
import json
import os
import pathlib
import subprocess
import sys
import time

MARK = "MILLRACE_BENCH_NAMESPACE"
LEFT, RIGHT = "10.77.0.1", "10.77.0.2"


def enter() -> None:
    """Runs this program again in a network namespace that ends with it; without root in a user namespace, too."""
    if os.environ.get(MARK):
        return
    user = [] if os.geteuid() == 0 else ["--map-root-user"]
    os.environ[MARK] = "1"
    os.environ["PATH"] += ":/usr/sbin"  # where nft and ip are
    os.execvp("unshare", ["unshare", *user, "--net", sys.executable, *sys.argv])


def run(*command: str, text: str | None = None) -> str:
    done = subprocess.run(command, input=text, text=True, capture_output=True)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


class Loopback:
    """The loopback of the namespace, where every agent has a port of 127.0.0.1."""

    def __init__(self):
        run("ip", "link", "set", "lo", "up")
        run("nft", "-f", "-", text="""
            table inet bench
            delete table inet bench
            table inet bench {
              counter sent_udp {}
              counter sent_tcp {}
              counter lost {}
              chain out {
                type filter hook output priority 0;
                meta l4proto udp counter name sent_udp
                meta l4proto tcp counter name sent_tcp
              }
              chain in { type filter hook input priority 0; }
            }""")

    def address(self, _: int) -> str:
        return "127.0.0.1"

    def prefix(self, _: int) -> list[str]:
        return []

    def lose(self, percent: int) -> None:
        """From now on that many of a hundred datagrams are lost, by chance; 0 loses none."""
        run("nft", "flush", "chain", "inet", "bench", "in")
        if percent:
            run("nft", "add", "rule", "inet", "bench", "in", "meta", "l4proto", "udp",
                "numgen", "random", "mod", "100", "<", str(percent), "counter", "name", "lost", "drop")

    def lost(self) -> int:
        """Datagrams lost so far by `lose`."""
        return self.counters()["lost"]["packets"]

    def counters(self) -> dict[str, dict]:
        entries = json.loads(run("nft", "-j", "list", "counters"))["nftables"]
        return {entry["counter"]["name"]: entry["counter"] for entry in entries if "counter" in entry}

    def traffic(self) -> dict[str, int]:
        """Bytes of IP packets (their headers counted) and packets sent since the namespace was made."""
        sent = self.counters()
        udp, tcp = sent["sent_udp"], sent["sent_tcp"]
        counts = {"udp": udp["bytes"], "tcp": tcp["bytes"], "packets": udp["packets"] + tcp["packets"]}
        for line in pathlib.Path("/proc/net/dev").read_text().splitlines():
            name, _, figures = line.partition(":")
            if name.strip() == "lo":
                counts["bytes"] = int(figures.split()[8])
        return counts


class Wire:
    """Two namespaces and a wire between them; agents with even numbers live on the left, odd ones on the right."""

    def __init__(self):
        self.holder = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])
        ours = os.readlink("/proc/self/ns/net")
        while os.readlink(f"/proc/{self.holder.pid}/ns/net") == ours:
            time.sleep(0.01)
        self.right = ["nsenter", "-t", str(self.holder.pid), "-n"]
        run("ip", "link", "add", "wire0", "type", "veth", "peer", "name", "wire1")
        run("ip", "link", "set", "wire1", "netns", str(self.holder.pid))
        for side, device, address in (([], "wire0", LEFT), (self.right, "wire1", RIGHT)):
            run(*side, "ip", "link", "set", "lo", "up")
            run(*side, "ip", "address", "add", f"{address}/24", "dev", device)
            run(*side, "ip", "link", "set", device, "up")
            run(*side, "nft", "-f", "-", text="""
                table inet wire {
                  chain in { type filter hook input priority 0; }
                }""")

    def address(self, number: int) -> str:
        return RIGHT if number % 2 else LEFT

    def prefix(self, number: int) -> list[str]:
        return self.right if number % 2 else []

    def cut(self) -> None:
        """Drops what arrives at either end, so that a sender does not learn of it."""
        for side, device in (([], "wire0"), (self.right, "wire1")):
            run(*side, "nft", "add", "rule", "inet", "wire", "in", "iifname", device, "drop")

    def mend(self) -> None:
        for side in ([], self.right):
            run(*side, "nft", "flush", "chain", "inet", "wire", "in")

    def close(self) -> None:
        run("ip", "link", "delete", "wire0")
        self.holder.kill()
        self.holder.wait()
