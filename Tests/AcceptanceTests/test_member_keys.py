"""Keys and labels: who has the wrong one changes nothing on either side, and keys are changed without a gap."""

import signal
import subprocess
import time

import pytest

from members import PATIENCE, crowd_of
from networks import anywhere
from server import BINARY

LABEL = "orchard"


def keys(*arguments, wanted=0):
    """`millrace member keys …`; gives what it printed."""
    done = subprocess.run(
        [str(BINARY), "member", "keys", *map(str, arguments)], capture_output=True, text=True, timeout=20)
    assert done.returncode == wanted if wanted == 0 else done.returncode != 0, (arguments, done)
    return done.stdout + done.stderr


def ids_in(file):
    """The ids of a file's keys; the first is the one in use."""
    lines = keys("list", "--key-file", file).splitlines()
    return [next(word.strip(",:") for word in line.split() if len(word.strip(",:")) == 8) for line in lines]


@pytest.fixture
def new_key(tmp_path):
    """Makes key files."""
    made = []

    def make():
        file = tmp_path / f"key-{len(made)}"
        made.append(file)
        keys("generate", "--key-file", file)
        assert file.stat().st_mode & 0o777 == 0o600
        return file

    return make


def sealed(file, label=LABEL):
    return ["--key-file", str(file), "--label", label]


@pytest.mark.parametrize("in_clear", [False, True], ids=["sealed", "clear"])
def test_a_wrong_key_or_label_changes_nothing_on_either_side(new_key, in_clear):
    right, wrong = new_key(), new_key()
    own = ["--label", LABEL] if in_clear else sealed(right)
    kinds = {
        "another label": ["--label", "apples"] if in_clear else sealed(right, "apples"),
        "no label": [] if in_clear else ["--key-file", str(right)],
        "another key": sealed(wrong),
        "another key, another label": sealed(wrong, "apples"),
        "no key": ["--label", "apples"] if in_clear else ["--label", LABEL],
    }
    with crowd_of(anywhere(), 3, own) as crowd:
        began = time.monotonic()
        insiders = list(crowd)
        strangers = []
        for number, (kind, arguments) in enumerate(kinds.items()):
            # One with a name of its own, and one that calls itself as an insider does.
            for id in (f"stranger-{number}", "n1"):
                stranger = crowd.add(id, host=crowd.network.host(20 + len(strangers)))
                stranger.arguments = arguments
                stranger.joins = [insider.address for insider in insiders]
                strangers.append(stranger.start())
        crowd.hold(3)
        for insider in insiders:
            assert not insider.told(since=began), insider.told(since=began)
        for stranger in strangers:
            assert stranger.running
            assert not [event for event in stranger.events if event.get("member", stranger.id) != stranger.id]
            assert stranger.view in (None, [stranger.id])
        for insider in insiders:
            assert insider.metric("millrace_member_refused_packets_total") > 0
        # Some end and some are killed: nobody inside hears of either.
        for number, stranger in enumerate(strangers):
            if number % 2:
                assert stranger.stop() == 0
            else:
                stranger.kill()
        crowd.hold(1)
        for insider in insiders:
            assert not insider.told(since=began), insider.told(since=began)


def test_keys_are_changed_without_a_gap(new_key, tmp_path):
    """Some members are told of each change by SIGHUP, the others look at their file by themselves."""
    old, new = new_key(), new_key()
    [old_id], [new_id] = ids_in(old), ids_in(new)
    assert old_id != new_id
    with crowd_of(anywhere(), started=False) as crowd:
        files = []
        for number in range(5):
            member = crowd.add()
            file = tmp_path / f"keys-of-{number}"
            keys("install", "--key-file", file, "--from", old)
            files.append(file)
            member.arguments = sealed(file)
        crowd.start()
        crowd.wait_agreed(10 * PATIENCE)
        began = time.monotonic()
        refused = [member.metric("millrace_member_refused_packets_total") for member in crowd]

        def turn(*words, members):
            for number, (member, file) in enumerate(members):
                keys(*words, "--key-file", file)
                if number % 2:
                    member.signal(signal.SIGHUP)

        def turn_first(*words):
            """Of the first member, which asks the cluster whether it may be."""
            with crowd.network.entered():
                turn(*words, "--http", url, members=[(first, files[0])])

        def everybody_has(wanted):
            """Waits until each knows of each that it has these keys, the first in use."""
            deadline = time.monotonic() + 5 * PATIENCE
            while True:
                seen = [[one["keys"] for one in member.members().values()] for member in crowd]
                if all(one == wanted for each in seen for one in each):
                    return
                assert time.monotonic() < deadline, seen
                crowd.hold(0.2)

        def refuses(*words):
            before = ids_in(files[0])
            with crowd.network.entered():
                keys(*words, "--key-file", files[0], "--http", url, wanted=1)
            assert ids_in(files[0]) == before

        first, rest = crowd[0], list(zip(crowd, files))[1:]
        url = f"http://{first.http[0]}:{first.http[1]}"
        turn("install", "--from", new, members=[(first, files[0])])
        refuses("use", new_id)  # not all have it yet
        turn("install", "--from", new, members=rest)
        everybody_has([old_id, new_id])
        refuses("remove", old_id)  # all use it
        turn_first("use", new_id)
        crowd.hold(1.5)  # one seals with the new key, the others with the old one
        refuses("remove", old_id)
        turn("use", new_id, members=rest)
        everybody_has([new_id, old_id])
        turn_first("remove", old_id)
        turn("remove", old_id, members=rest)
        everybody_has([new_id])
        crowd.hold(2)

        assert not crowd.accusations(began)
        now = [member.metric("millrace_member_refused_packets_total") for member in crowd]
        assert now == refused, "packets were refused"
        # One with the new key joins, one with the old one does not.
        newcomer, late = crowd.add(), crowd.add()
        newcomer.arguments, late.arguments = sealed(new), sealed(old)
        newcomer.start()
        late.start()
        crowd.wait_agreed(5 * PATIENCE, crowd.members[:6], crowd.members[:6])
        crowd.hold(1)
        assert late.view in (None, [late.id])
        assert late.id not in first.view


def test_secrets_are_shown_nowhere(new_key):
    file = new_key()
    secret = file.read_text().strip()
    with crowd_of(anywhere(), 2, sealed(file)) as crowd:
        assert secret not in keys("list", "--key-file", file)
        for path in ("/members", "/metrics"):
            assert secret.encode() not in crowd[0].get(path).body
        for member in crowd:
            assert secret not in member.log.read_text()
            for kept in member.state.rglob("*"):
                assert not kept.is_file() or secret.encode() not in kept.read_bytes()


def test_a_key_file_that_others_may_read_is_refused(new_key):
    file = new_key()
    file.chmod(0o640)
    with crowd_of(anywhere(), 1, sealed(file), started=False) as crowd:
        crowd[0].start()
        assert crowd[0].process.wait(10) == 1
        assert file.name in crowd[0].log_text()
