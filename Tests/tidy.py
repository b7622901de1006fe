#!/usr/bin/env python3
"""The tidy test: what the house's own sources promise beside compiling. `make tidy` runs it.

Each rule is a function from a House to offences. Tests/test_tidy.py plants one of each kind and checks that it is
caught.
"""
import os
import pathlib
import re
import subprocess
import sys
from dataclasses import dataclass, field

FILE_LINES_MAX = 550  # "up to about 500"
FUNCTION_LINES_MAX = 80  # "up to about 70"
LINE_COLUMNS_MAX = 100  # of Swift, as `swift format` breaks them
COLUMNS_MAX = 120  # of comments, scripts and C, which no formatter here looks after

# Who may import whom among the house's own modules (docs/architecture.md).
ROOMS = {
    "Wire": set(),
    "Membership": {"Wire"},
    "Engine": {"Wire"},
    "Gateway": {"Wire", "Engine"},
    "millrace": {"Wire", "Membership", "Engine", "Gateway"},
}

# The folders that may import a C library.
C_MODULES = {
    "CJansson": ["Sources/Wire/"],
    "CZlib": ["Sources/Wire/"],
    "COpenSSL": ["Sources/Wire/", "Sources/Gateway/Transport/"],
    # Checksums; the calls that glibc hides.
    "CPlatform": [
        "Sources/Wire/", "Sources/Engine/Embedded/", "Sources/Gateway/Webhooks/", "Sources/millrace/Member/"],
    "CCurl": ["Sources/Gateway/Webhooks/"],
    "CNghttp2": ["Sources/Gateway/Transport/"],
    "CSQLite": ["Sources/Engine/Embedded/"],
}

# Made from other files by a script; not for reading.
GENERATED = ["Sources/Gateway/OpenAPIDocument.swift"]

# Files where the compiler's check of concurrency is off, and what holds in its place.
UNCHECKED_SENDABLE = {
    "Sources/Engine/Embedded/SQLiteDatabase.swift": "owns a C pointer; its store's one thread calls it",
    "Sources/Engine/Embedded/ThreadExecutor.swift": "owns a pthread mutex that guards all that changes",
    "Sources/Engine/Seams/Executor.swift": "Confined checks at run time",
    "Sources/Gateway/Transport/TrustStore.swift": "owns an X509_STORE, counted and locked by OpenSSL",
    "Sources/Gateway/Webhooks/OutboundTransfer.swift": "two C strings, immutable, never freed",
    "Sources/Wire/MessageAuthentication.swift": "owns an EVP_MAC_CTX, immutable once made",
    "Sources/Gateway/Transport/TLSContext.swift": "owns an SSL_CTX, immutable and counted by OpenSSL",
    "Sources/Gateway/Transport/TLSSession.swift": "owns a BIO_METHOD, immutable once made",
    "Sources/Wire/AuthenticatedEncryption.swift": "an EVP_CIPHER, fetched once, immutable; a Mutex guards contexts",
    "Sources/Wire/Digest.swift": "an EVP_MD, fetched once, immutable",
    "Sources/Wire/KeyDerivation.swift": "an EVP_KDF, fetched once, immutable",
}

# Patterns that source code may not hold, why, and what to write instead.
BANNED = [
    (r"\bTask\.sleep\b", "time is injected", "use Executor.schedule(after:)"),
    (r"\.random\(|\.randomElement\(|\.shuffled\(\)", "chance is injected", "use Wire's Random"),
    (r"\btry!", "it traps without saying why", "handle the error, or preconditionFailure with a reason"),
    (r"\bDate\(\)", "the clock is injected", "use TimeSource"),
    (r"\b(fatalError|preconditionFailure)\(\s*\)", "it traps without saying why", "give the reason"),
    (r"\bimport Foundation\b", "it is slow and large", "use Wire, NIOCore or the C library"),
    (r"\.shared\b", "singletons hide what a part depends on", "pass it in"),
]
BANNED_IN_LIBRARIES = [
    (r"(?<![\w.])print\(", "a library has no console", "use the Logger that was passed in"),
]
UNFINISHED = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")


@dataclass
class House:
    """The files of a source tree, by path relative to its root."""

    files: dict = field(default_factory=dict)
    """Paths that exist, for links: the files' and all directories'."""
    paths: set = field(default_factory=set)
    unchecked_sendable: dict = field(default_factory=lambda: dict(UNCHECKED_SENDABLE))

    @classmethod
    def at(cls, root):
        listed = subprocess.run(
            ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
            cwd=root, check=True, capture_output=True).stdout.decode().split("\0")
        house = cls()
        for name in filter(None, listed):
            path = root / name
            if not path.is_file():
                continue
            house.add(name, None)
            try:
                house.files[name] = path.read_text(encoding="utf-8")
            except UnicodeDecodeError:
                pass  # a golden file
        return house

    def add(self, name, text):
        self.paths.add(name)
        for parent in pathlib.PurePosixPath(name).parents:
            self.paths.add(str(parent))
        if text is not None:
            self.files[name] = text

    def swift(self):
        return {n: t for n, t in self.files.items() if n.endswith(".swift")}

    def sources(self):
        return {n: t for n, t in self.swift().items() if n.startswith("Sources/")}


def code_only(text):
    """The text with comments and the insides of string literals blanked; line breaks stay."""
    pattern = re.compile(
        r'//[^\n]*|/\*.*?\*/|#"""(?:.*?)"""#|"""(?:.*?)"""|#"(?:[^\n]*?)"#|"(?:\\.|[^"\\\n])*"',
        re.S)

    def blank(match):
        kept = '""' if match.group(0)[0] in '"#' else ""
        return kept + "\n" * match.group(0).count("\n")

    return pattern.sub(blank, text)


def lines_matching(text, pattern):
    for number, line in enumerate(text.split("\n"), 1):
        if re.search(pattern, line):
            yield number


def imports(text):
    for number, line in enumerate(code_only(text).split("\n"), 1):
        found = re.match(
            r"\s*(?:@\w+(?:\([^)]*\))?\s+)*(?:public |package |internal |private |fileprivate )?"
            r"import\s+(?:(?:struct|class|enum|protocol|func|var|let|typealias)\s+)?(\w+)", line)
        if found:
            yield number, found.group(1)


def check_imports(house):
    for name, text in house.sources().items():
        room = name.split("/")[1]
        if room not in ROOMS:
            continue
        for number, module in imports(text):
            if module in ROOMS and module not in ROOMS[room]:
                allowed = ", ".join(sorted(ROOMS[room])) or "none of the others"
                yield f"{name}:{number}: {room} imports {module}; it may import {allowed}"
            homes = C_MODULES.get(module)
            if homes is not None and not any(name.startswith(home) for home in homes):
                yield f"{name}:{number}: {module} belongs to {', '.join(homes)}; wrap it there"


def check_rooms(house):
    for name in house.sources():
        room = name.split("/")[1]
        if room not in ROOMS and room not in C_MODULES:
            yield f"{name}: Sources/{room} is no room of the house; list it in Tests/tidy.py"


def check_first_line(house):
    for name, text in house.swift().items():
        lines = text.split("\n")
        first = lines[1] if lines[0].startswith("// swift-tools-version") else lines[0]
        if not re.match(r"// \S", first):
            yield f"{name}:1: the first line says the file's one job, as a // comment"


def check_sizes(house):
    for name, text in house.files.items():
        if not name.endswith((".swift", ".py", ".sh", ".c", ".h")) or name in GENERATED:
            continue
        lines = text.split("\n")
        if len(lines) > FILE_LINES_MAX:
            yield f"{name}: {len(lines)} lines; split it below {FILE_LINES_MAX}"
        for number, line in enumerate(lines, 1):
            is_code = name.endswith(".swift") and not line.lstrip().startswith("//")
            columns_max = LINE_COLUMNS_MAX if is_code else COLUMNS_MAX
            if len(line) > columns_max:
                yield f"{name}:{number}: {len(line)} columns; at most {columns_max}"


def function_end(lines, start, indent):
    """The line on which the function that starts there ends; its own for one without a body."""
    depth = parentheses = 0
    for number in range(start, len(lines)):
        line = lines[number]
        at_border = number > start and len(line) - len(line.lstrip()) <= len(indent)
        if depth == 0 and line.strip() and at_border and not re.match(r"\s*(\)|->|where\b)", line):
            return start  # a protocol's requirement
        for character in line:
            if character in "()":
                parentheses += 1 if character == "(" else -1
            elif character == "{" and parentheses == 0 or character in "{}" and depth > 0:
                depth += 1 if character == "{" else -1
                if depth == 0:
                    return number
    return start


def check_functions(house):
    for name, text in house.swift().items():
        lines = code_only(text).split("\n")
        for start, line in enumerate(lines):
            found = re.match(r"( *)(?:[\w@()]+ )*(?:func \S|init[?!]?[(<]|deinit\b)", line)
            if not found:
                continue
            length = function_end(lines, start, found.group(1)) - start + 1
            if length > FUNCTION_LINES_MAX:
                yield f"{name}:{start + 1}: a function of {length} lines; at most {FUNCTION_LINES_MAX}"


def check_banned(house):
    for name, text in house.sources().items():
        code = code_only(text)
        rules = list(BANNED)
        if not name.startswith("Sources/millrace/"):
            rules += BANNED_IN_LIBRARIES
        for pattern, why, instead in rules:
            for number in lines_matching(code, pattern):
                found = re.search(pattern, code.split("\n")[number - 1]).group(0)
                yield f"{name}:{number}: {found} is banned: {why}; {instead}"
        if name not in house.unchecked_sendable:
            for number in lines_matching(code, r"@unchecked\s+Sendable|nonisolated\(unsafe\)"):
                yield (f"{name}:{number}: unchecked concurrency outside the files listed in Tests/tidy.py; "
                       "use Confined, Mutex or Atomic")


def check_tests_sleep(house):
    for name, text in house.swift().items():
        if not name.startswith("Tests/"):
            continue
        for number in lines_matching(code_only(text), r"\bTask\.sleep\b|(?<![\w.])u?sleep\("):
            yield f"{name}:{number}: a test that sleeps; wait for the event itself"


def check_unfinished(house):
    for name, text in house.files.items():
        if name in ("Tests/tidy.py", "Tests/test_tidy.py"):
            continue
        for number, line in enumerate(text.split("\n"), 1):
            if UNFINISHED.search(line):
                word = UNFINISHED.search(line).group(0)
                yield f"{name}:{number}: {word}: finish it, or open an issue"


def anchors(text):
    """GitHub's anchors of a page's headings."""
    found = set()
    for line in re.sub(r"```.*?```", "", text, flags=re.S).split("\n"):
        heading = re.match(r"#{1,6}\s+(.*?)\s*#*$", line)
        if not heading:
            continue
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading.group(1))
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        unique, count = slug, 0
        while unique in found:
            count += 1
            unique = f"{slug}-{count}"
        found.add(unique)
    return found


def check_links(house):
    for name, text in house.files.items():
        if not name.endswith(".md"):
            continue
        prose = re.sub(r"```.*?```|`[^`\n]*`", lambda m: "\n" * m.group(0).count("\n"), text, flags=re.S)
        for number, line in enumerate(prose.split("\n"), 1):
            for target in re.findall(r"\]\(([^)\s]+)(?:\s+\"[^\"]*\")?\)", line):
                if re.match(r"[a-z]+:", target):
                    continue
                path, _, anchor = target.partition("#")
                parts = []
                base = pathlib.PurePosixPath(name).parent / path if path else pathlib.PurePosixPath(name)
                for part in base.parts:
                    if part == "..":
                        if parts:
                            parts.pop()
                    elif part != ".":
                        parts.append(part)
                joined = "/".join(parts) or "."
                if joined not in house.paths:
                    yield f"{name}:{number}: a dead link to {target}"
                elif anchor and joined.endswith(".md") and anchor not in anchors(house.files[joined]):
                    yield f"{name}:{number}: {joined} has no heading #{anchor}"


def check_orphans(house):
    """Every page of docs/ is reached from another one."""
    linked = set()
    for name, text in house.files.items():
        if name.endswith(".md"):
            for target in re.findall(r"\]\(([^)\s#]+)", text):
                linked.add(os.path.normpath(os.path.join(os.path.dirname(name), target)))
    for name in house.files:
        if name.startswith("docs/") and name.endswith(".md") and name not in linked:
            yield f"{name}: no page links to it; list it in docs/README.md or docs/decisions/README.md"


RULES = [
    check_rooms, check_imports, check_first_line, check_sizes, check_functions, check_banned,
    check_tests_sleep, check_unfinished, check_links, check_orphans,
]


def offences(house):
    for rule in RULES:
        yield from rule(house)


def main():
    root = pathlib.Path(__file__).resolve().parent.parent
    house = House.at(root)
    found = list(offences(house))
    for offence in found:
        print(offence)
    print(f"tidy: {len(house.files)} files, {len(RULES)} rules, {len(found)} offences")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
