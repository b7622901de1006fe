"""Ten members in two halves, whose cable is cut: both ways, one way, for datagrams only; and then it is mended.

The three cuts run beside one another, each in networks of its own.
"""

import time

import pytest

from members import PATIENCE, WHOLE, Crowd
from networks import Halves, isolated

EACH = 5
KINDS = ["both ways", "one way", "UDP only"]
CUT_SECONDS = 60 if WHOLE else 14


class Cut:
    """One pair of halves with what was seen there."""

    def __init__(self, kind, key_arguments=()):
        self.kind = kind
        self.network = Halves(EACH)
        self.crowd = Crowd(self.network, arguments=key_arguments)
        for number in range(2 * EACH):
            half = self.network.halves[number // EACH]
            self.crowd.add(network=half, host=half.host(number % EACH))
        self.left, self.right = self.crowd.members[:EACH], self.crowd.members[EACH:]

    def close(self):
        self.crowd.close()
        self.network.close()


@pytest.fixture(scope="module")
def cuts():
    """Each kind of cut, made, held and mended, with when that was."""
    made = {}
    try:
        for kind in KINDS:
            made[kind] = isolated(lambda: Cut(kind))
        for cut in made.values():
            cut.crowd.start()
        for cut in made.values():
            cut.crowd.wait_agreed(20)
        for cut in made.values():
            try:
                cut.network.cut(cut.kind)
            except OSError as error:
                pytest.skip(f"cutting by nftables is not possible here: {error}")
            cut.cut_at = time.monotonic()
        time.sleep(CUT_SECONDS)
        for cut in made.values():
            cut.apart = {member.id: (member.view, member.view_id) for member in cut.crowd}
            cut.mended_at = time.monotonic()
            cut.lost = cut.network.heal()
        yield made
        for cut in made.values():
            cut.crowd.check()
    finally:
        for cut in made.values():
            cut.close()


def healed(cut):
    """How long after the cable was mended the views of all ten were equal and complete."""
    crowd = cut.crowd
    assert len(cut.lost) == (1 if cut.kind == "one way" else 2) and min(cut.lost) > 20, f"no trouble: {cut.lost}"
    crowd.wait_agreed(60)
    last = max(member.told("view")[-1].when for member in crowd)
    seconds = max(0, last - cut.mended_at)
    print(f"cut {cut.kind} for {CUT_SECONDS} s: whole again {seconds:.2f} s after")
    return seconds


def test_a_cut_both_ways_makes_two_clusters_and_heals_within_five_seconds(cuts):
    cut = cuts["both ways"]
    for half in (cut.left, cut.right):
        ids = [member.id for member in half]
        assert [cut.apart[id][0] for id in ids] == [sorted(ids)] * EACH
        assert len({cut.apart[id][1] for id in ids}) == 1
        # Nobody accused one of its own half.
        for member in half:
            assert not [
                event for event in member.told({"suspected", "died"}, since=cut.cut_at) if event["member"] in ids]
    assert healed(cut) <= 5 * PATIENCE


def test_a_cut_one_way_keeps_each_half_and_heals_within_five_seconds(cuts):
    cut = cuts["one way"]
    for half in (cut.left, cut.right):
        ids = {member.id for member in half}
        for member in half:
            died = [event for event in member.told("died", since=cut.cut_at) if event["member"] in ids]
            assert not died, died
    assert healed(cut) <= 5 * PATIENCE


def test_a_cut_for_datagrams_only_kills_nobody(cuts):
    """The probe beside over TCP answers for those whose datagrams are lost."""
    cut = cuts["UDP only"]
    assert not cut.crowd.deaths(cut.cut_at)
    assert healed(cut) <= 5 * PATIENCE
