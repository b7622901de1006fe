#!/usr/bin/env python3
"""Writes openapi.yaml into Sources/Gateway/OpenAPIDocument.swift, so that one binary carries its contract.

SwiftPM's .embedInCode makes an array literal of the file, which takes the compiler 20 s; a string takes none.
`scripts/embed-openapi.py check` only says whether the two are in step.
"""
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
SOURCE = ROOT / "openapi.yaml"
TARGET = ROOT / "Sources/Gateway/OpenAPIDocument.swift"
QUOTES = '"""'


def swift(document):
    """The Swift source that carries `document`."""
    if f"{QUOTES}##" in document:
        raise SystemExit("openapi.yaml holds the end of a Swift string")
    lines = "\n".join("    " + line if line else "" for line in document.split("\n"))
    return f"""\
// The contract in OpenAPI, as `GET /openapi.yaml` gives it: made from openapi.yaml by scripts/embed-openapi.py.
// swift-format-ignore-file
import NIOCore

enum OpenAPIDocument {{
  static let bytes = ByteBuffer(string: text)

  static let text = ##{QUOTES}
{lines}
    {QUOTES}##
}}
"""


def main():
    made = swift(SOURCE.read_text(encoding="utf-8"))
    if sys.argv[1:] == ["check"]:
        if TARGET.read_text(encoding="utf-8") != made:
            raise SystemExit(f"{TARGET.relative_to(ROOT)} is not what openapi.yaml says: run scripts/embed-openapi.py")
        print("openapi: embedded as written")
    else:
        TARGET.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
