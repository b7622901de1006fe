"""Replays a trace of system calls into what a power cut would leave: per file, only what was synced.

kill -9 keeps the page cache, so it proves nothing about fdatasync. This does: `strace` records every write and sync of
the server, the replay keeps two images of each file, what was written and what was synced, and the times of both.
"""

import re

LINE = re.compile(r"^(\d+)\s+([\d.]+) (\w+)\((.*)$")
RESUMED = re.compile(r"^(\d+)\s+([\d.]+) <\.\.\. (\w+) resumed>(.*)$")
CALLS = (
    "openat,close,dup,dup2,dup3,write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,syncfs,"
    "sync_file_range,ftruncate,fallocate,rename,renameat,renameat2,unlink,unlinkat,mkdir,mkdirat,"
    "rmdir,sendto,sendmsg,mmap,copy_file_range")


class Node:
    """A file: what of it was synced, and the changes since."""

    def __init__(self):
        self.synced = None
        self.changes = []

    def write(self, position, data):
        self.changes.append((position, data))

    def resize(self, size):
        self.changes.append((size, None))

    def grow(self, size):
        self.changes.append((size, b""))

    def sync(self):
        """Gives the bytes that became durable by this."""
        image = self.synced if self.synced is not None else bytearray()
        changes, self.changes, self.synced = self.changes, [], image
        for position, data in changes:
            if data is None:
                del image[position:]
            end = position + len(data or b"")
            if len(image) < end:
                image.extend(bytes(end - len(image)))
            if data:
                image[position:end] = data
        return [data for _, data in changes if data]


class Replay:
    """Feeds on the trace line by line; `nodes` maps paths below `root` to files.

    `marks` holds every match of `watch` in what was synced so far. `on_answer` is called with shard, start and end of
    each append's answer when the call that sends it is begun.
    """

    def __init__(self, root, watch, on_answer):
        self.root = root
        self.watch = re.compile(watch)
        self.on_answer = on_answer
        self.marks = set()
        self.nodes = {}
        self.open = {}
        self.position = {}
        self.pending = {}
        self.syncs = 0
        self.calls = 0

    def feed(self, line):
        line = line.rstrip("\n")
        if match := RESUMED.match(line):
            thread, _, name, rest = match.groups()
            start, begun = self.pending.pop((thread, name), (None, None))
            if begun is not None:
                self.call(name, begun + rest, start)
            return
        if not (match := LINE.match(line)):
            return
        thread, when, name, rest = match.groups()
        if rest.endswith("<unfinished ...>"):
            begun = rest[: -len("<unfinished ...>")]
            # An answer counts from the moment it is begun: what it acknowledges must be synced by then.
            if name in ("write", "writev", "sendto", "sendmsg"):
                self.answer(begun)
            self.pending[(thread, name)] = (float(when), begun)
            return
        if name in ("write", "writev", "sendto", "sendmsg"):
            self.answer(rest)
        self.call(name, rest, float(when))

    def answer(self, text):
        """Bytes to a socket: remembered when they hold an append's answer."""
        if re.match(r"\d+<(socket|TCP)", text):
            data = b"".join(strings(text))
            for found in re.finditer(rb'"ranges":\[\{"shard":(\d+),"start":"(\d+)","end":"(\d+)"', data):
                self.on_answer(*(int(group) for group in found.groups()))

    def call(self, name, text, when):
        result = re.search(r"\)\s+= (-?\d+)", text)
        if result is None or int(result.group(1)) < 0:
            return
        self.calls += 1
        result = int(result.group(1))
        handler = getattr(self, "on_" + name, None)
        if handler:
            handler(text, result)

    def path(self, text):
        match = re.match(r"\d+<([^>]*)>", text)
        if not match:
            return None
        path = unescape(match.group(1).encode()).decode(errors="replace").replace(" (deleted)", "")
        return path if path.startswith(self.root) else None

    def node(self, text):
        path = self.path(text)
        return self.nodes.setdefault(path, Node()) if path else None

    def on_openat(self, text, result):
        match = re.search(r'= \d+<([^>]*)>', text)
        path = unescape(match.group(1).encode()).decode() if match else None
        if not path or not path.startswith(self.root) or "O_DIRECTORY" in text:
            return
        if "O_CREAT" in text or path in self.nodes:
            node = self.nodes.setdefault(path, Node())
            if "O_TRUNC" in text:
                node.resize(0)
        self.position[result] = 0

    def on_pwrite64(self, text, result):
        node = self.node(text)
        if node is not None:
            position = int(re.search(r",\s*(\d+)\s*\)\s+=", text).group(1))
            node.write(position, written(text, result))

    def on_pwritev(self, text, result):
        node = self.node(text)
        if node is not None:
            position = int(re.search(r"\],\s*\d+,\s*(\d+)", text).group(1))
            node.write(position, written(text, result))

    on_pwritev2 = on_pwritev

    def on_write(self, text, result):
        node = self.node(text)
        if node is not None:
            descriptor = int(re.match(r"\d+", text).group())
            position = self.position.get(descriptor, 0)
            node.write(position, written(text, result))
            self.position[descriptor] = position + result

    def on_ftruncate(self, text, result):
        node = self.node(text)
        if node is not None:
            size = int(re.search(r",\s*(\d+)\s*\)", text).group(1))
            node.resize(size)

    def on_fallocate(self, text, result):
        node = self.node(text)
        if node is not None:
            mode, position, size = re.search(r">, (\w+), (\d+), (\d+)\s*\)", text).groups()
            if mode == "0":
                node.grow(int(position) + int(size))

    def on_fdatasync(self, text, result):
        node = self.node(text)
        if node is not None:
            self.sync(node)

    on_fsync = on_fdatasync

    def on_syncfs(self, text, result):
        for node in self.nodes.values():
            self.sync(node)

    def sync(self, node):
        self.syncs += 1
        for data in node.sync():
            self.marks.update(self.watch.findall(data))

    def on_rename(self, text, result):
        names = [unescape(part).decode() for part in re.findall(rb'"((?:[^"\\]|\\.)*)"', text.encode())]
        self.move(names[0], names[1])

    def on_renameat(self, text, result):
        parts = re.findall(r'<([^>]*)>, "((?:[^"\\]|\\.)*)"', text)
        if len(parts) == 2:
            source, target = (
                name if name.startswith("/") else f"{folder}/{name}"
                for folder, name in ((f, unescape(n.encode()).decode()) for f, n in parts))
            self.move(source, target)

    on_renameat2 = on_renameat

    def move(self, source, target):
        if source in self.nodes:
            self.nodes[target] = self.nodes.pop(source)

    def on_unlink(self, text, result):
        names = re.findall(rb'"((?:[^"\\]|\\.)*)"', text.encode())
        self.nodes.pop(unescape(names[0]).decode(), None)

    def on_unlinkat(self, text, result):
        if match := re.search(r'<([^>]*)>, "((?:[^"\\]|\\.)*)"', text):
            name = unescape(match.group(2).encode()).decode()
            self.nodes.pop(name if name.startswith("/") else f"{match.group(1)}/{name}", None)


def written(text, count):
    """The bytes of a write. strace cuts long strings off; only zeros, which prewrite a file, are that long."""
    data = b"".join(strings(text))[:count]
    if len(data) < count:
        assert not any(data), "a long write was cut off in the trace"
        data = bytes(count)
    return data


def strings(text):
    """Every string argument of a call that strace printed with -xx, as bytes."""
    return [unescape(part) for part in re.findall(rb'"((?:[^"\\]|\\.)*)"', text.encode())]


def unescape(data):
    return re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes([int(match.group(1), 16)]), data)
