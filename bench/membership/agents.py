"""Ours and the peer: how each is started, told to leave, and what its lines say."""
import base64
import json
import os
import pathlib
import re
import signal

from harness import settings

BASE_PORT = 7000
KEY = base64.b64encode(bytes(range(32))).decode()


class Serf:
    """Debian's serf, which is memberlist with a command around it, in its LAN profile (the default)."""

    name = "serf"
    leaving = signal.SIGINT
    LINE = re.compile(rb"\[INFO\] (?:serf: EventMember(Join|Failed|Leave): |memberlist: (Suspect) )(\S+)")
    KINDS = {b"Join": "alive", b"Failed": "dead", b"Leave": "left", b"Suspect": "suspect"}

    @staticmethod
    def command(number: int, bind: str, seed: str | None, directory: str, sealed: bool) -> list[str]:
        return [
            "serf", "agent", f"-node=n{number}", f"-bind={bind}", "-profile=lan",
            f"-rpc-addr=127.0.0.1:{BASE_PORT + 10_000 + number}",
            *([f"-join={seed}"] if seed else []), *([f"-encrypt={KEY}"] if sealed else [])]

    @classmethod
    def parse(cls, line: bytes) -> tuple[str, int] | None:
        """What a line says of which member."""
        found = cls.LINE.search(line)
        if not found:
            return None
        return cls.KINDS[found[1] or found[2]], int(found[3][1:])


class Millrace:
    name = "millrace"
    leaving = signal.SIGTERM
    KINDS = {"joined": "alive", "refuted": "alive", "died": "dead", "left": "left", "suspected": "suspect"}

    @staticmethod
    def command(number: int, bind: str, seed: str | None, directory: str, sealed: bool) -> list[str]:
        key = []
        if sealed:
            path = pathlib.Path(directory) / "key"
            if not path.exists():
                os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
                path.write_text(KEY + "\n")
            key = ["--key-file", str(path)]
        return [
            settings.MILLRACE, "member", "--id", f"n{number}", "--bind", bind,
            "--state", f"{directory}/n{number}", *(["--join", seed] if seed else []), *key]

    @classmethod
    def parse(cls, line: bytes) -> tuple[str, int] | None:
        if not line.startswith(b"{"):
            return None
        event = json.loads(line)
        kind = cls.KINDS.get(event["event"])
        return (kind, int(event["member"][1:])) if kind else None


ALL = {agent.name: agent for agent in (Serf, Millrace)}
