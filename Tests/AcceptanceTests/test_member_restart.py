"""A member that comes back: over its state, without it, with a slow clock, elsewhere, twice at once, ever again."""

import pathlib
import shutil
import subprocess
import time

import pytest

from members import PATIENCE, Crowd
from networks import anywhere

N = 5


@pytest.fixture(scope="module")
def crowd():
    crowd = Crowd(anywhere(), N)
    try:
        crowd.start()
        crowd.wait_agreed(10 * PATIENCE)
        yield crowd
        crowd.check()
    finally:
        crowd.close()


@pytest.fixture
def five(crowd):
    crowd.wait_agreed(10)
    return crowd


@pytest.fixture(scope="module")
def an_hour_back(tmp_path_factory):
    """The environment of a process whose wall clock is an hour late; its monotonic clock is right."""
    source = pathlib.Path(__file__).with_name("slow_clock.c")
    library = tmp_path_factory.mktemp("slow-clock") / "slow_clock.so"
    subprocess.run(["clang", "-O2", "-shared", "-fPIC", "-o", str(library), str(source)], check=True)
    return {"LD_PRELOAD": str(library), "SLOW_CLOCK_SECONDS": "3600"}


def generation_of(crowd, member):
    """What one of the others said last."""
    other = crowd.others(member)[0]
    return next(event["generation"] for event in reversed(other.events) if event.get("member") == member.id)


def comes_back(crowd, member, between=lambda: None):
    """Kills it, starts it again after `between`, and sees that all have it as a new one at once."""
    before = generation_of(crowd, member)
    killed = member.kill()
    between()
    began = member.start().started
    crowd.wait_told("joined", member, 2 * PATIENCE, since=began)
    crowd.wait_agreed(5 * PATIENCE)
    assert generation_of(crowd, member) > before
    # Whoever was killed may have been seen dead, and nobody else.
    assert not [event for _, event in crowd.accusations(killed) if event["member"] != member.id]
    told = crowd.others(member)[0].told("joined", member.id, since=began)
    assert told[-1]["address"] == member.address
    return told[-1]


def test_a_restart_over_its_state_is_a_new_generation(five):
    comes_back(five, five[2])


def test_a_restart_after_its_death_is_a_new_generation(five):
    member = five[3]
    comes_back(five, member, lambda: five.wait_told("died", member, 10, since=time.monotonic() - 1))


def test_a_restart_with_a_wiped_state(five):
    comes_back(five, five[1], lambda: shutil.rmtree(five[1].state))


def test_a_restart_with_a_clock_an_hour_back(five, an_hour_back):
    five[2].environment = an_hour_back
    try:
        joined = comes_back(five, five[2])
        # Its own lines show the hour that it thinks it is.
        own = five[2].events[0]["at"]
        assert own < joined["at"]
    finally:
        five[2].environment = {}


def test_a_restart_with_a_wiped_state_and_a_clock_an_hour_back(five, an_hour_back):
    five[4].environment = an_hour_back
    try:
        joined = comes_back(five, five[4], lambda: shutil.rmtree(five[4].state))
        assert joined["generation"] > time.time() * 1000 - 1_800_000, "the hour was not made up for"
    finally:
        five[4].environment = {}
    comes_back(five, five[4])


def test_a_restart_of_the_first_that_all_others_joined_through(five):
    comes_back(five, five[0])


def test_a_restart_of_the_first_with_a_wiped_state_that_joins_another(five):
    five[0].joins = [five[1].address]
    comes_back(five, five[0], lambda: shutil.rmtree(five[0].state))


def test_a_restart_at_another_address(five):
    member = five[3]
    home = member.host

    def move():
        member.host = five.network.host(40)

    comes_back(five, member, move)
    member.host = home
    comes_back(five, member)


def test_the_same_id_started_twice_supersedes_the_older(five):
    older = five[2]
    before = time.monotonic()
    newer = five.add(older.id, host=five.network.host(50))
    five.members.remove(newer)
    try:
        newer.start()
        assert older.process.wait(10 * PATIENCE) == 3, older.log_text()
        five.members[2] = newer
        five.wait_agreed(10 * PATIENCE)
        ended = five.wait(lambda: older.told("superseded"), 5, "the line that says so")
        print(f"superseded after {ended - newer.started:.2f} s")
        assert older.events[-1]["event"] == "superseded", older.events[-1]
        assert older.log_text().strip(), "nothing says what to do"
        assert newer.running
        told = five[0].told("joined", newer.id, since=before)
        assert told and told[-1]["address"] == newer.address
        assert not [event for _, event in five.accusations(before) if event["member"] != newer.id]
        # The older comes back in its own place: a person decided so.
        newer.stop()
        five.members[2] = older
        older.start()
        five.wait_agreed(10 * PATIENCE)
    finally:
        five.members[2] = older
        newer.close()


def test_the_same_id_started_twice_with_a_slow_clock_yields_to_the_one_that_lives(five, an_hour_back):
    first = five[1]
    began = time.monotonic()
    second = five.add(first.id, host=five.network.host(60))
    five.members.remove(second)
    second.environment = an_hour_back
    try:
        second.start()
        assert second.process.wait(10 * PATIENCE) == 3, second.log_text()
        five.hold(2)
        assert first.running
        assert not [event for _, event in five.accusations(began)]
        five.wait_agreed(5)
        assert first.id in five[0].view
        assert first.members()[first.id]["address"] == first.address
    finally:
        second.close()


def test_one_that_flaps_harms_nobody_else(five):
    member = five[4]
    others = five.others(member)
    began = time.monotonic()
    flaps = 10
    for _ in range(flaps):
        member.kill()
        five.hold(0.3)
        member.start()
        five.hold(0.7)
    five.wait_agreed(5 * PATIENCE)
    assert not [event for _, event in five.accusations(began) if event["member"] != member.id]
    for other in others:
        generations = [event["generation"] for event in other.told("joined", member.id, since=began)]
        assert generations == sorted(generations)
        views = len(other.told("view", since=began))
        assert views <= 2 * flaps + 2, f"{views} views"
    print(f"{flaps} flaps: {len(others[0].told('view', since=began))} views")
