"""The tidy test is tested: each kind of offence, planted, is caught; what is fine is not."""
import unittest

import tidy

GOOD = "// One job.\nimport Wire\n\nstruct Thing {\n  func act() { work() }\n}\n"


def found(rule, files, **settings):
    house = tidy.House(**settings)
    for name, text in files.items():
        house.add(name, text)
    return list(rule(house))


class TidyTests(unittest.TestCase):
    def assert_caught(self, rule, files, needle, **settings):
        offences = found(rule, files, **settings)
        self.assertEqual(len(offences), 1, offences)
        self.assertIn(needle, offences[0])

    def assert_fine(self, rule, files, **settings):
        self.assertEqual(found(rule, files, **settings), [])

    def test_a_tidy_file_passes_every_rule(self):
        for rule in tidy.RULES:
            self.assert_fine(rule, {"Sources/Engine/Thing.swift": GOOD})

    def test_a_room_may_not_import_upwards(self):
        for line in ("import Engine", "@testable import Engine", "public import struct Engine.Shard"):
            self.assert_caught(
                tidy.check_imports, {"Sources/Wire/A.swift": f"// A.\n{line}\n"}, "Wire imports Engine")
        self.assert_fine(tidy.check_imports, {"Sources/Gateway/A.swift": "// A.\nimport Engine\n"})
        self.assert_fine(tidy.check_imports, {"Sources/Wire/A.swift": "// import Engine\n"})

    def test_a_c_library_stays_in_its_folder(self):
        text = "// A.\nimport COpenSSL\n"
        self.assert_caught(tidy.check_imports, {"Sources/Gateway/Handlers/A.swift": text}, "COpenSSL")
        self.assert_fine(tidy.check_imports, {"Sources/Gateway/Transport/A.swift": text})

    def test_an_unknown_room_is_caught(self):
        self.assert_caught(tidy.check_rooms, {"Sources/Utils/A.swift": GOOD}, "no room")

    def test_the_first_line_names_the_job(self):
        self.assert_caught(tidy.check_first_line, {"Sources/Wire/A.swift": "import Wire\n"}, "one job")
        self.assert_fine(
            tidy.check_first_line, {"Package.swift": "// swift-tools-version: 6.2\n// The package.\n"})

    def test_long_files_lines_and_functions_are_caught(self):
        long_file = "// A.\n" + "let a = 1\n" * tidy.FILE_LINES_MAX
        self.assert_caught(tidy.check_sizes, {"Sources/Wire/A.swift": long_file}, "split it")
        long_line = "// A.\nlet a = " + "1" * 100 + "\n"
        self.assert_caught(tidy.check_sizes, {"Sources/Wire/A.swift": long_line}, "columns")
        self.assert_fine(tidy.check_sizes, {"Tests/a.py": long_line})
        self.assert_caught(tidy.check_sizes, {"Tests/a.py": "#" * 121 + "\n"}, "columns")
        body = "    work()\n" * tidy.FUNCTION_LINES_MAX
        for head in ("func act(\n    a: Int\n  ) -> Int {", "init() {", "private static func x<T>() {"):
            text = f"// A.\nstruct A {{\n  {head}\n{body}  }}\n}}\n"
            self.assert_caught(tidy.check_functions, {"Sources/Wire/A.swift": text}, "a function of")

    def test_many_short_functions_and_requirements_are_fine(self):
        requirements = "// A.\nprotocol P {\n" + "  func act(\n    a: Int\n  )\n" * 50 + "}\n"
        functions = "// A.\nstruct A {\n" + "  func act() {\n    work()\n  }\n" * 50 + "}\n"
        self.assert_fine(tidy.check_functions, {"Sources/Wire/A.swift": requirements})
        self.assert_fine(tidy.check_functions, {"Sources/Wire/A.swift": functions})

    def test_banned_calls_are_caught_with_their_replacement(self):
        planted = {
            "try await Task.sleep(for: .seconds(1))": "Executor.schedule",
            "let a = Int.random(in: 0..<2)": "Wire's Random",
            "let a = try! work()": "preconditionFailure",
            "let a = Date()": "TimeSource",
            "fatalError()": "reason",
            "import Foundation": "slow",
            "let a = Engine.shared": "pass it in",
            'print("a")': "Logger",
        }
        for line, needle in planted.items():
            self.assert_caught(
                tidy.check_banned, {"Sources/Wire/A.swift": f"// A.\n{line}\n"}, needle)

    def test_what_only_looks_banned_is_fine(self):
        fine = [
            '// Task.sleep(…) is not used', 'let a = "try! it"', 'fatalError("the ring is empty")',
            "fingerprint(a)", "stream.sharedBytes",
        ]
        for line in fine:
            self.assert_fine(tidy.check_banned, {"Sources/Wire/A.swift": f"// A.\n{line}\n"})
        self.assert_fine(tidy.check_banned, {"Sources/millrace/A.swift": "// A.\nprint(1)\n"})

    def test_unchecked_sendable_needs_a_place_on_the_list(self):
        text = "// A.\nfinal class A: @unchecked Sendable {}\n"
        files = {"Sources/Wire/A.swift": text}
        self.assert_caught(tidy.check_banned, files, "unchecked")
        self.assert_fine(tidy.check_banned, files, unchecked_sendable={"Sources/Wire/A.swift": "owns a pointer"})

    def test_a_sleeping_test_is_caught(self):
        text = "// A.\nfunc f() { usleep(100) }\n"
        self.assert_caught(tidy.check_tests_sleep, {"Tests/WireTests/A.swift": text}, "sleeps")

    def test_unfinished_work_is_caught(self):
        for word in ("TODO", "FIXME"):
            self.assert_caught(tidy.check_unfinished, {"docs/a.md": f"{word}: more\n"}, word)

    def test_dead_links_are_caught(self):
        pages = {"docs/a.md": "# Here\n\n[b](b.md) [up](../README.md)\n", "docs/b.md": "# The top\n"}
        self.assert_caught(tidy.check_links, pages, "../README.md")
        self.assert_fine(tidy.check_links, pages | {"README.md": "# Home\n"})

    def test_links_to_missing_headings_are_caught(self):
        target = {"b.md": "# The top, `code` & more\n"}
        self.assert_fine(
            tidy.check_links, target | {"a.md": "[b](b.md#the-top-code--more)\n[x](https://x.org/#y)\n"})
        self.assert_caught(tidy.check_links, target | {"a.md": "[b](b.md#the-end)\n"}, "no heading")

    def test_a_page_that_nobody_links_to_is_caught(self):
        pages = {"README.md": "[a](docs/a.md#top)\n", "docs/a.md": "# Top\n[b](sub/b.md)\n"}
        self.assert_fine(tidy.check_orphans, pages | {"docs/sub/b.md": "# B\n"})
        self.assert_caught(tidy.check_orphans, pages | {"docs/sub/c.md": "# C\n"}, "docs/sub/c.md")

    def test_links_in_code_are_left_alone(self):
        self.assert_fine(tidy.check_links, {"a.md": "```\n[b](gone.md)\n```\n`[b](gone.md)`\n"})


if __name__ == "__main__":
    unittest.main()
