"""Replays a trace of system calls into what a power cut would leave: of each file only what was synced.

kill -9 keeps the page cache, so it proves nothing about fdatasync. This does: `strace` records every write and sync of
the server; the replay keeps, beside what was written, what was synced. A sync covers the writes that had returned when
it was begun; a name lasts once its directory was synced. What is not certain to last is taken to be lost.
"""

import os
import re

CALLS = (
    "openat,dup,dup2,dup3,write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,syncfs,"
    "sync_file_range,ftruncate,fallocate,rename,renameat,renameat2,link,linkat,unlink,unlinkat,"
    "mkdir,mkdirat,sendto,sendmsg,copy_file_range")
# Longer strings are cut off: only zeros, which prewrite a file, are that long in the test.
STRING_BYTES_MAX = 65536

LINE = re.compile(rb"^(\d+)\s+[\d.]+ (\w+)\((.*)$", re.S)
RESUMED = re.compile(rb"^(\d+)\s+[\d.]+ <\.\.\. (\w+) resumed>(.*)$", re.S)
RESULT = re.compile(rb"\)\s+= (-?\d+)(?:<([^>]*)>)?[^\"]*$")
DESCRIPTOR = re.compile(rb"(\d+)<([^>]*)>")
STRING = re.compile(rb'"([^"]*)"')
ANSWER = re.compile(rb'"ranges":\[\{"shard":(\d+),"start":"(\d+)","end":"(\d+)"')
SENDS = (b"write", b"writev", b"sendto", b"sendmsg")
SYNCS = (b"fsync", b"fdatasync", b"syncfs")


def strace(path):
    """The command that runs what follows it and leaves its trace in `path`."""
    return (
        "strace", "-f", "--seccomp-bpf", "-ttt", "-y", "-xx", "-s", str(STRING_BYTES_MAX), "-e",
        f"trace={CALLS}", "-e", "signal=none", "-o", str(path))


class Node:
    """A file: what of it was synced, and the changes since."""

    def __init__(self):
        self.synced = None
        self.changes = []
        self.applied = 0

    def sync(self, changed):
        """Makes the first `changed` changes durable; gives the bytes of those that were not yet."""
        count = max(0, changed - self.applied)
        changes, self.changes = self.changes[:count], self.changes[count:]
        self.applied += count
        image = self.synced = self.synced if self.synced is not None else bytearray()
        for position, data, cuts in changes:
            if cuts:
                del image[position:]
            end = position + len(data)
            if len(image) < end:
                image.extend(bytes(end - len(image)))
            image[position:end] = data
        return [data for _, data, _ in changes]

    @property
    def changed(self):
        return self.applied + len(self.changes)


class Folder:
    """A directory; which names in it last is kept by the replay."""


class Replay:
    """Feeds on the trace line by line.

    `marks` holds every match of `watch` in what was synced so far. `on_answer` is called with shard, start and end of
    each append's answer when the call that sends it is begun.
    """

    def __init__(self, root, watch, on_answer):
        self.root = root
        self.watch = re.compile(watch)
        self.on_answer = on_answer
        self.marks = set()
        self.names = {}
        self.lasting = {}
        self.position = {}
        self.pending = {}
        self.syncs = 0

    def feed(self, line):
        line = line.rstrip(b"\n")
        if match := RESUMED.match(line):
            thread, name, rest = match.groups()
            if (pending := self.pending.pop((thread, name), None)) is not None:
                begun, covered = pending
                self.call(name, begun + rest, covered)
            return
        if not (match := LINE.match(line)):
            return
        thread, name, rest = match.groups()
        # An answer counts from the moment it is begun: what it acknowledges must be synced by then.
        if name in SENDS:
            self.answer(rest)
        covered = self.covered(name, rest) if name in SYNCS else None
        if rest.endswith(b"<unfinished ...>"):
            self.pending[(thread, name)] = (rest[: -len(b"<unfinished ...>")], covered)
        else:
            self.call(name, rest, covered)

    def answer(self, text):
        """Bytes to a socket: heard when they hold an append's answer."""
        if described(text)[1].startswith(("socket:", "TCP")):
            for found in ANSWER.finditer(b"".join(strings(text))):
                self.on_answer(*(int(group) for group in found.groups()))

    def covered(self, name, text):
        """What a sync that begins now will have made durable when it returns."""
        if name == b"syncfs":
            nodes = [node for node in self.names.values() if isinstance(node, Node)]
            folders = [path for path, node in self.names.items() if isinstance(node, Folder)]
            return [(node, node.changed) for node in nodes], [self.root, *folders]
        path = described(text)[1]
        node = self.names.get(path)
        if isinstance(node, Node):
            return [(node, node.changed)], []
        return [], [path] if path.startswith(self.root) else []

    def call(self, name, text, covered):
        result = RESULT.search(text)
        if result is None or int(result.group(1)) < 0:
            return
        if covered is not None:
            self.sync(*covered)
        elif handler := getattr(self, "on_" + name.decode(), None):
            handler(text, int(result.group(1)))

    def sync(self, nodes, folders):
        self.syncs += 1
        for node, changed in nodes:
            for data in node.sync(changed):
                self.marks.update(self.watch.findall(data))
        for folder in folders:
            for path in [path for path in self.lasting if os.path.dirname(path) == folder]:
                del self.lasting[path]
            for path, node in self.names.items():
                if os.path.dirname(path) == folder:
                    self.lasting[path] = node

    def survivors(self):
        """What a power cut at the end of the trace leaves: path below the root, and bytes."""
        for path, node in sorted(self.lasting.items()):
            folder = os.path.dirname(path)
            while folder != self.root and isinstance(self.lasting.get(folder), Folder):
                folder = os.path.dirname(folder)
            if folder == self.root and isinstance(node, Node):
                yield os.path.relpath(path, self.root), bytes(node.synced or b"")

    # Calls

    def node(self, text):
        node = self.names.get(described(text)[1])
        return node if isinstance(node, Node) else None

    def on_openat(self, text, result):
        found = re.search(rb"= \d+<([^>]*)>", text)
        path = unescape(found.group(1)).decode() if found else ""
        if not path.startswith(self.root) or b"O_DIRECTORY" in text:
            return
        self.position[result] = 0
        if b"O_CREAT" in text and path not in self.names:
            self.names[path] = Node()
        if b"O_TRUNC" in text and (node := self.names.get(path)):
            node.changes.append((0, b"", True))

    def on_mkdir(self, text, result):
        self.made(strings(text)[0].decode())

    def on_mkdirat(self, text, result):
        self.made(self.located(text)[0])

    def made(self, path):
        if path.startswith(self.root) and path != self.root:
            self.names[path] = Folder()

    def on_write(self, text, result):
        if node := self.node(text):
            descriptor = described(text)[0]
            position = self.position.get(descriptor, 0)
            self.position[descriptor] = position + result
            node.changes.append((position, written(text, result), False))

    on_writev = on_write

    def on_pwrite64(self, text, result):
        if node := self.node(text):
            position = int(re.search(rb"(\d+)\s*\)\s+= \d+[^\"]*$", text).group(1))
            node.changes.append((position, written(text, result), False))

    on_pwritev = on_pwrite64

    def on_pwritev2(self, text, result):
        if node := self.node(text):
            position = int(re.search(rb"(\d+), \w+\s*\)\s+= \d+[^\"]*$", text).group(1))
            node.changes.append((position, written(text, result), False))

    def on_ftruncate(self, text, result):
        if node := self.node(text):
            size = int(re.search(rb",\s*(\d+)\s*\)", text).group(1))
            node.changes.append((size, b"", True))

    def on_fallocate(self, text, result):
        if node := self.node(text):
            mode, position, size = re.search(rb">, (\w+), (\d+), (\d+)\s*\)", text).groups()
            assert mode == b"0", "only plain allocation is understood"
            node.changes.append((int(position) + int(size), b"", False))

    def unsupported(self, text, result):
        assert self.root not in described(text)[1], f"a call that the replay does not know: {text[:80]}"

    on_copy_file_range = on_sync_file_range = on_link = on_linkat = unsupported

    def located(self, text):
        """The paths of a call that names them by a directory and a string each."""
        found = re.findall(rb'(?:\w+<([^>]*)>|AT_FDCWD), "([^"]*)"', text)
        return [
            os.path.join(unescape(folder).decode(), unescape(name).decode())
            for folder, name in found]

    def on_rename(self, text, result):
        self.moved(*(name.decode() for name in strings(text)[:2]))

    def on_renameat(self, text, result):
        self.moved(*self.located(text))

    on_renameat2 = on_renameat

    def moved(self, source, target):
        if source in self.names:
            self.names[target] = self.names.pop(source)

    def on_unlink(self, text, result):
        self.names.pop(strings(text)[0].decode(), None)

    def on_unlinkat(self, text, result):
        self.names.pop(self.located(text)[0], None)


def described(text):
    """The descriptor that a call's first argument is, and what strace says it stands for."""
    found = DESCRIPTOR.match(text)
    if not found:
        return -1, ""
    return int(found.group(1)), unescape(found.group(2)).decode(errors="replace")


def written(text, count):
    data = b"".join(strings(text))[:count]
    if len(data) < count:
        assert data.count(0) == len(data), "a long write was cut off in the trace"
        data = bytes(count)
    return data


def strings(text):
    """Every string argument of a call, as bytes."""
    return [unescape(part) for part in STRING.findall(text)]


def unescape(text):
    """strace -xx writes every byte as \\xNN."""
    return bytes.fromhex(text.replace(rb"\x", b"").decode()) if text.startswith(rb"\x") else text
