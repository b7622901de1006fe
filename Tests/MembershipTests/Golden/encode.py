#!/usr/bin/env python3
"""Writes packets-v1-clear.txt and packets-v1-sealed.txt beside itself: the golden packets of docs/membership.md.

An encoder of its own, from the handbook's tables, in another language and over another library than the one that is
tested (`pip install cryptography`). The files are never written again once the format is released: a new version of
it gets new files.
"""
import hashlib
import ipaddress
import pathlib
import struct

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY = bytes(range(32))
LABEL = b"golden"
SESSION = 0x0102030405060708  # of who sends datagrams and opens the stream
OTHER_SESSION = 0x1112131415161718  # of who accepted the stream
NUMBER, OTHER_NUMBER = 2, 3  # that each gives the stream

SEALED, STREAM, ACCEPTED = 1, 2, 4


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def name(text):
    return bytes([len(text)]) + text.encode(), f"name {text}"


def number(form, value, what):
    return struct.pack(">" + form, value), f"{what} {value}"


def count(value, what):
    return varint(value), f"{what} {value}"


def address(text, port):
    return ipaddress.ip_address(text).packed + struct.pack(">H", port), f"{text} port {port}"


def view(digest, settled):
    return [(struct.pack(">QB", digest, settled), f"view {digest:016x}, settled for {settled} tenths of a second")]


def rumour(status, member, generation, incarnation, host, port, metadata=(), keys=(), accuser=None, refused=False,
           age=None):
    is_ipv6 = ":" in host
    head = ["alive", "suspect", "dead", "left"].index(status)
    head |= is_ipv6 << 2 | (accuser is not None) << 3 | refused << 4
    pairs = b"".join(varint(len(part)) + part.encode() for pair in sorted(metadata) for part in pair)
    fields = [(bytes([head]), f"rumour: {status}" + ", IPv6" * is_ipv6 + ", refused" * refused), name(member),
              count(generation, "generation"), count(incarnation, "incarnation"), address(host, port),
              (varint(len(pairs)) + pairs,
               "metadata " + (" ".join("=".join(pair) for pair in sorted(metadata)) or "none")),
              (bytes([len(keys)]) + b"".join(struct.pack(">I", key) for key in keys), f"{len(keys)} keys")]
    if accuser is not None:
        fields.append(name(accuser))
    if age is not None:
        fields.append(count(age, "age in seconds"))
    return fields


ALIVE = rumour("alive", "n1", 1767225600000, 0, "127.0.0.1", 7001)
SUSPECT = rumour("suspect", "node-2.example", 1767225600123, 4294967295, "2001:db8::7", 65535,
                 metadata=[("zone", "b"), ("gateway", "10.0.0.7:8420")], keys=[0x0BADC0DE, 1], accuser="n1",
                 refused=True)
UNACCUSED = rumour("suspect", "n3", 128, 127, "10.0.0.3", 1)
DEAD = rumour("dead", "n4", 9007199254740991, 1, "10.0.0.4", 7000, age=3600)
LEFT = rumour("left", "n5", 1, 0, "::1", 7000, metadata=[("load", "")], age=0)

MARK = view(0x0123456789ABCDEF, 20)
BUCKETS = [((bucket * 0x9E3779B97F4A7C15) % 2**64) for bucket in range(256)]
DIFFERING = bytes(0xA5 if index % 3 == 0 else 0 for index in range(32))

PING = [(b"\x01", "ping"), number("I", 305419896, "sequence"), name("n1"), count(1767225600000, "generation"),
        name("n2"), count(0, "its generation"), *MARK]
ACK = [(b"\x02", "ack"), number("I", 305419896, "sequence"), name("n2"), count(1767225600001, "generation"), *MARK]
DATAGRAMS = {
    "ping": PING + ALIVE,
    "ack": ACK + SUSPECT,
    "ping-request-ipv4": [(b"\x03", "ping request"), number("I", 7, "sequence"), name("n1"), name("n4"),
                          (b"\x04", "IPv4"), address("10.0.0.4", 7000), number("H", 750, "remaining ms")],
    "ping-request-ipv6": [(b"\x03", "ping request"), number("I", 8, "sequence"), name("n1"), name("n5"),
                          (b"\x06", "IPv6"), address("::1", 7000), number("H", 65535, "remaining ms")],
    "nack": [(b"\x04", "nack"), number("I", 7, "sequence"), name("n3")],
    "gossip": [(b"\x05", "gossip"), name("n1")] + ALIVE + SUSPECT + UNACCUSED + DEAD + LEFT,
}
# In the order in which they are sealed: frames are counted.
OPENED = {
    "hello": [(b"\x06", "hello"), name("n1"), count(1767225600000, "generation")],
    "bye": [(b"\x07", "bye")],
    "offer": [(b"\x08", "offer"), name("n1"), count(1767225600000, "generation"), (b"\x01", "it joins"),
              *[(struct.pack(">Q", hashed), f"bucket {bucket}") for bucket, hashed in enumerate(BUCKETS)]] + ALIVE,
    "rest": [(b"\x0a", "rest"), name("n1"), (b"\x01", "the last")] + UNACCUSED,
    "ping-frame": PING,
}
ACCEPTED_FRAMES = {
    "answer": [(b"\x09", "answer"), name("n2"), count(1767225600001, "generation"), (DIFFERING, "buckets that differ"),
               (b"\x00", "not the last")] + DEAD + LEFT,
    "ack-frame": ACK,
}


def sha256(data):
    return hashlib.sha256(data).digest()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def in_clear(body, flags):
    cluster = sha256(b"millrace member cluster" + LABEL)[:4]
    head = bytes([1, flags]) + cluster
    text = b"".join(field for field, _ in body)
    return [(bytes([1]), "version"), (bytes([flags]), "flags"), (cluster, "cluster"),
            (struct.pack(">I", crc32c(head + text)), "CRC32C"), *body]


def sealed(body, flags, session, stream_number, counter, binding):
    salt = struct.pack(">Q", session) + (struct.pack(">Q", stream_number) if flags & STREAM else b"")
    info = b"millrace member stream 1" if flags & STREAM else b"millrace member 1"
    subkey = HKDF(hashes.SHA256(), 32, salt, info).derive(KEY)
    key_id = sha256(b"millrace member key" + KEY)[:4]
    header = bytes([1, flags | SEALED]) + key_id + salt + struct.pack(">Q", counter)
    text = b"".join(field for field, _ in body)
    cipher = AESGCM(subkey).encrypt(bytes(4) + struct.pack(">Q", counter), text, header + binding + LABEL)
    return [(bytes([1]), "version"), (bytes([flags | SEALED]), "flags"), (key_id, "key"),
            (struct.pack(">Q", session), "session"),
            *([(struct.pack(">Q", stream_number), "stream")] if flags & STREAM else []),
            (struct.pack(">Q", counter), "counter"), (cipher[:-16], "sealed body"), (cipher[-16:], "tag")]


def write(path, head, packets):
    lines = [head]
    for title, fields in packets:
        lines.append(f"== {title}")
        for field, what in fields:
            for start in range(0, max(len(field), 1), 16):
                part = field[start:start + 16].hex(" ")
                lines.append(f"{part:<48}  # {what}" if start == 0 else part)
    path.write_text("\n".join(lines) + "\n")


def main():
    folder = pathlib.Path(__file__).parent
    opened = struct.pack(">QQ", SESSION, NUMBER)
    clear, closed = [], []
    for title, body in DATAGRAMS.items():
        clear.append((title, in_clear(body, 0)))
        closed.append((title, sealed(body, 0, SESSION, 0, len(closed), b"")))
    for counter, (title, body) in enumerate(OPENED.items()):
        clear.append((title, in_clear(body, STREAM)))
        closed.append((title, sealed(body, STREAM, SESSION, NUMBER, counter, b"")))
    for counter, (title, body) in enumerate(ACCEPTED_FRAMES.items()):
        flags = STREAM | ACCEPTED
        clear.append((title, in_clear(body, flags)))
        closed.append((title, sealed(body, flags, OTHER_SESSION, OTHER_NUMBER, counter, opened)))
    write(folder / "packets-v1-clear.txt", '# Version 1, in clear, of the cluster "golden".', clear)
    write(folder / "packets-v1-sealed.txt",
          f'# Version 1, sealed with the key 00 01 … 1f for the cluster "golden".', closed)


if __name__ == "__main__":
    main()
