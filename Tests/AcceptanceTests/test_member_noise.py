"""Bytes from strangers: a million datagrams, slow and huge frames, thousands of connections. They change nothing.

The datagrams are random, or real ones of this cluster, listened to on its own network: cut short, changed, sent again,
from elsewhere and as if from where they came.
"""

import contextlib
import itertools
import os
import random
import resource
import socket
import struct
import time

import pytest

from members import PATIENCE, WHOLE, crowd_of
from networks import anywhere, isolated
from test_member_keys import keys

DATAGRAMS = 1_000_000 if WHOLE else 200_000
DATAGRAMS_A_SECOND = 25_000
GROWTH_MAX = 1 << 20
ETH_P_IP = 0x0800
FREE_PORT = 9999


class Tap:
    """Hears every datagram of a network (as root, on its loopback)."""

    def __init__(self, network):
        self.socket = network.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        self.socket.setblocking(False)

    def heard(self):
        """What has passed since it was last asked: (source host, source port, port, bytes), each once."""
        found = {}
        with contextlib.suppress(BlockingIOError):
            while True:
                packet = self.socket.recv(65536)
                start = (packet[0] & 15) * 4
                if packet[9] == socket.IPPROTO_UDP:
                    source, port = struct.unpack_from(">HH", packet, start)
                    found[(socket.inet_ntoa(packet[12:16]), source, port, packet[start + 8:])] = None
        return list(found)

    def close(self):
        self.socket.close()


def noise(real, dice):
    """Datagrams without end, as (bytes, source to pretend or None); `real` is what a Tap heard."""
    bodies = [body for *_, body in real]
    while True:
        kind = dice.randrange(6)
        source, port, _, body = dice.choice(real)
        if kind == 0:
            yield dice.randbytes(dice.randrange(1400)), None
        elif kind == 1:  # a true header, and nonsense behind it
            head = dice.randrange(2, 30)
            yield body[:head] + dice.randbytes(dice.randrange(200)), None
        elif kind == 2:
            yield body[:dice.randrange(len(body))], None
        elif kind == 3:
            changed = bytearray(body)
            for _ in range(dice.randrange(1, 5)):
                changed[dice.randrange(len(changed))] ^= dice.randrange(1, 256)
            yield bytes(changed), (source, port)
        elif kind == 4:
            yield body, None
        else:  # as it was, from where it was, or two that are joined
            yield (body, (source, port)) if dice.randrange(4) else (body + dice.choice(bodies), None)


def ip_header(source, host, port, body):
    length = 28 + len(body)
    head = struct.pack(
        ">BBHHHBBH4s4s", 0x45, 0, length, 0, 0, 64, socket.IPPROTO_UDP, 0,
        socket.inet_aton(source[0]), socket.inet_aton(host))
    return head + struct.pack(">HHHH", source[1], port, length - 20, 0)


def flood(network, member, datagrams, per_second):
    """Sends them at a pace that a receive buffer can bear."""
    target = (member.host, member.port)
    plain = network.socket()
    raw = network.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
    with contextlib.closing(plain), contextlib.closing(raw):
        began, sent = time.monotonic(), 0
        for body, source in datagrams:
            if source:
                raw.sendto(ip_header(source, member.host, member.port, body) + body, (member.host, 0))
            else:
                plain.sendto(body, target)
            sent += 1
            if sent % 100 == 0:
                ahead = began + sent / per_second - time.monotonic()
                if ahead > 0:
                    time.sleep(ahead)
        return sent


@pytest.mark.parametrize("in_clear", [False, True], ids=["sealed", "clear"])
def test_a_million_bad_datagrams_change_nothing(tmp_path, in_clear):
    network = isolated()
    arguments = ["--label", "orchard"]
    if not in_clear:
        keys("generate", "--key-file", tmp_path / "key")
        arguments += ["--key-file", str(tmp_path / "key")]
    dice = random.Random(4)
    with contextlib.closing(Tap(network)) as tap, crowd_of(network, 4, arguments) as crowd:
        # All that a join, a restart and a death say.
        crowd[3].kill()
        crowd.wait_agreed(10)
        crowd[3].start()
        crowd.wait_agreed(10)
        crowd.hold(3)
        target = crowd[1]
        real = tap.heard()
        to_target = [packet for packet in real if packet[2] == target.port]
        tap.close()
        assert len(to_target) > 50, f"{len(to_target)} heard"
        began = time.monotonic()
        before = [member.metric("millrace_member_refused_packets_total") for member in crowd]
        # The first part warms it up: what it allocates once, it has allocated then.
        datagrams = noise(to_target, dice)
        total = DATAGRAMS * 7 // 10 if not in_clear else DATAGRAMS * 3 // 10
        flood(network, target, itertools.islice(datagrams, total // 5), DATAGRAMS_A_SECOND)
        warm = target.own_bytes
        flood(network, target, itertools.islice(datagrams, total - total // 5), DATAGRAMS_A_SECOND)
        crowd.hold(2)
        refused = target.metric("millrace_member_refused_packets_total") - before[1]
        grown = target.own_bytes - warm
        print(f"{total} datagrams in {time.monotonic() - began - 2:.0f} s: {refused:.0f} refused, "
              f"{warm >> 10} KiB, grown by {grown >> 10} KiB")
        for member in crowd:
            assert member.running
            assert not member.told(since=began), member.told(since=began)
        assert refused > total * 0.6, "they were lost on the way, so nothing was tested"
        assert grown < GROWTH_MAX
        # It still hears who is to be heard.
        crowd.add().start()
        crowd.wait_agreed(5 * PATIENCE)


def test_nothing_is_answered_to_a_stranger_that_is_longer_than_what_it_asked():
    """A member without a key answers anybody: it must not make a flood of a trickle."""
    network = isolated()
    with contextlib.closing(Tap(network)) as tap, crowd_of(network, 4, ["--label", "orchard"]) as crowd:
        crowd.hold(3)
        heard = tap.heard()
        stranger = network.socket()
        stranger.settimeout(0.01)
        with contextlib.closing(stranger):
            stranger.bind((network.host(100), FREE_PORT))
            for *_, port, body in heard:
                if port != crowd[1].port:
                    continue
                stranger.sendto(body, (crowd[1].host, crowd[1].port))
                with contextlib.suppress(TimeoutError):
                    answer = stranger.recv(65536)
                    assert len(answer) <= len(body), (body, answer)


def open_descriptors(member):
    return len(os.listdir(f"/proc/{member.process.pid}/fd"))


@contextlib.contextmanager
def many_descriptors(count):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < count:
        pytest.skip(f"only {hard} descriptors are permitted here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, count), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connect(network, member):
    one = network.socket(socket.AF_INET, socket.SOCK_STREAM)
    one.settimeout(2)
    try:
        one.connect((member.host, member.port))
    except OSError:
        pass  # a full backlog is an answer, too
    one.setblocking(False)
    return one


def push(one, data):
    with contextlib.suppress(OSError):
        one.send(data)


def is_closed(one):
    """Whether the other end has let go of it."""
    try:
        return one.recv(65536) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


FRAMES = {
    "a huge length": lambda dice: struct.pack(">I", 0xFFFFFFFF) + dice.randbytes(60000),
    "one above the most": lambda dice: struct.pack(">I", 65537) + dice.randbytes(65537),
    "nothing": lambda dice: struct.pack(">I", 0),
    "many nothings": lambda dice: struct.pack(">I", 0) * 10000,
    "the most, of nonsense": lambda dice: struct.pack(">I", 65536) + dice.randbytes(65536),
    "a header and nonsense": lambda dice: struct.pack(">I", 600) + b"\x01\x01" + dice.randbytes(598),
    "half a length": lambda dice: b"\x00\x00",
    "half a frame": lambda dice: struct.pack(">I", 1000) + dice.randbytes(500),
    "another protocol": lambda dice: b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
    "no byte at all": lambda dice: b"",
}


def test_slow_and_huge_frames_change_nothing():
    network = anywhere()
    dice = random.Random(5)
    with crowd_of(network, 3) as crowd:
        crowd.hold(2)  # lifelines are up
        target = crowd[1]
        began = time.monotonic()
        before, descriptors = target.own_bytes, open_descriptors(target)
        opened = []
        for _ in range(10):
            for make in FRAMES.values():
                one = connect(network, target)
                push(one, make(dice))
                opened.append(one)
        slow = [connect(network, target) for _ in range(20)]
        whole = struct.pack(">I", 60000)
        for turn in range(16):
            for one in slow:
                push(one, whole[turn:turn + 1] or b"x")
            crowd.hold(0.5)
        grown = target.own_bytes - before
        kept = sum(not is_closed(one) for one in opened + slow)
        print(f"{len(opened) + len(slow)} connections: {kept} kept after 8 s, grown by {grown >> 10} KiB")
        assert kept == 0, [
            name for number, name in enumerate(list(FRAMES) * 10) if not is_closed(opened[number])]
        for one in opened + slow:
            one.close()
        crowd.hold(0.5)
        assert open_descriptors(target) <= descriptors + 2
        assert grown < 2 * GROWTH_MAX
        for member in crowd:
            assert member.running
            assert not member.told(since=began), member.told(since=began)
        crowd.add().joins = [target.address]
        crowd[3].start()
        crowd.wait_agreed(5 * PATIENCE)


def test_thousands_of_connections_change_nothing():
    network = anywhere()
    with many_descriptors(4000), crowd_of(network, 3) as crowd:
        crowd.hold(2)
        target = crowd[1]
        began = time.monotonic()
        before, descriptors = target.own_bytes, open_descriptors(target)
        opened = []
        for number in range(3000):
            opened.append(connect(network, target))
            push(opened[-1], b"\x00\x00\x01" if number % 2 else b"")
            # Never more than it had room for.
            if number % 500 == 499:
                assert open_descriptors(target) < 800
        held = time.monotonic() - began
        crowd.hold(2)
        grown = target.own_bytes - before
        print(f"3000 connections in {held:.1f} s: {open_descriptors(target)} descriptors, grown by {grown >> 10} KiB")
        for member in crowd:
            assert member.running
            assert not member.told(since=began), member.told(since=began)
        # With all of them there, a newcomer comes in all the same.
        crowd.add().joins = [target.address]
        crowd[3].start()
        crowd.wait_agreed(15)
        for one in opened:
            one.close()
        crowd.hold(1)
        assert open_descriptors(target) <= descriptors + 8
        assert grown < 3 * GROWTH_MAX
        assert not crowd.accusations(began)
