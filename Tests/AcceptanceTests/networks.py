"""Where members live: plain loopback, or networks of the test's own in which packets can be lost and links cut.

A network namespace without a name lives as long as the descriptor that holds it, so nothing is left behind when a test
run is killed. Only root may make one: `isolated()` skips the test where that is not permitted.
"""

import contextlib
import ctypes
import itertools
import os
import re
import socket
import subprocess

import pytest

CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)
_numbers = itertools.count()


def _checked(result, what):
    if result != 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{what}: {os.strerror(error)}")


class Loopback:
    """This machine's own loopback. Each has 200 addresses of 127.0.0.0/8 that no other program is on, so that ports
    need not be reserved."""

    def __init__(self):
        self.prefix = f"127.{64 + os.getpid() % 128}.{next(_numbers) % 250 + 1}"

    def host(self, number):
        assert number < 200
        return f"{self.prefix}.{number + 1}"

    @contextlib.contextmanager
    def entered(self):
        yield

    def socket(self, family=socket.AF_INET, kind=socket.SOCK_DGRAM, protocol=0):
        with self.entered():
            return socket.socket(family, kind, protocol)

    def close(self):
        pass


class Namespace(Loopback):
    """A network namespace with a loopback that is up. Processes and sockets made inside `entered()` belong to it."""

    def __init__(self):
        self.prefix = "127.0.0"
        back = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _checked(_libc.unshare(CLONE_NEWNET), "unshare")
            try:
                self.descriptor = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
            finally:
                _checked(_libc.setns(back, CLONE_NEWNET), "setns")
        finally:
            os.close(back)
        self.run("ip", "link", "set", "lo", "up")

    @contextlib.contextmanager
    def entered(self):
        back = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        try:
            _checked(_libc.setns(self.descriptor, CLONE_NEWNET), "setns")
            try:
                yield
            finally:
                _checked(_libc.setns(back, CLONE_NEWNET), "setns")
        finally:
            os.close(back)

    def run(self, *command, text=None):
        path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
        with self.entered():
            done = subprocess.run(
                command, input=text, capture_output=True, text=True, env={**os.environ, "PATH": path})
        if done.returncode != 0:
            raise OSError(f"{' '.join(command)}: {done.stderr.strip()}")
        return done.stdout

    def lose(self, what):
        """Packets that arrive and match `what` (nftables' words) are lost from now on; those that leave are not
        touched, for their senders would be told."""
        self.run("nft", "-f", "-", text=(
            "add table inet trouble\n"
            "add chain inet trouble arriving { type filter hook input priority 0; }\n"
            f"add rule inet trouble arriving {what} counter drop\n"))

    def heal(self):
        """Gives how many packets were lost."""
        listed = self.run("nft", "list", "table", "inet", "trouble")
        self.run("nft", "-f", "-", text="delete table inet trouble\n")
        return int(re.search(r"counter packets (\d+)", listed).group(1))

    def close(self):
        os.close(self.descriptor)


class Halves:
    """Two networks joined by a cable: members of one half reach each other whatever befalls the cable."""

    def __init__(self, each):
        self.halves = (Namespace(), Namespace())
        left, right = self.halves
        left.run(
            "ip", "link", "add", "cable", "type", "veth",
            "peer", "name", "cable", "netns", f"/proc/{os.getpid()}/fd/{right.descriptor}")
        for number, half in enumerate(self.halves):
            half.prefix = f"10.77.{number}"
            for host in range(each):
                half.run("ip", "address", "add", f"{half.host(host)}/16", "dev", "cable")
            half.run("ip", "link", "set", "cable", "up")

    def cut(self, kind):
        left, right = self.halves
        if kind == "both ways":
            left.lose('iifname "cable"')
            right.lose('iifname "cable"')
        elif kind == "one way":
            right.lose('iifname "cable"')
        else:
            assert kind == "UDP only"
            left.lose('iifname "cable" meta l4proto udp')
            right.lose('iifname "cable" meta l4proto udp')

    def heal(self):
        """Gives how many packets were lost at each end."""
        lost = []
        for half in self.halves:
            with contextlib.suppress(OSError):
                lost.append(half.heal())  # that of the half that hears was never touched in a cut of one way
        return lost

    def close(self):
        for half in self.halves:
            half.close()


def isolated(make=Namespace):
    """A network of the test's own; skips the test where that is not permitted."""
    try:
        return make()
    except OSError as error:
        pytest.skip(f"networks of a test's own are not permitted here: {error}")


def losing(network, what):
    """`network.lose(what)`; skips the test where nftables is not there."""
    try:
        network.lose(what)
    except OSError as error:
        pytest.skip(f"losing packets by nftables is not possible here: {error}")


def anywhere():
    """A network of the test's own, or plain loopback where that is not permitted."""
    try:
        return Namespace()
    except OSError:
        return Loopback()
