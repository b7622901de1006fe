"""How a member starts and ends: names, IPv6, seeds that are not there yet, signals, closed pipes, refused flags."""

import contextlib
import datetime
import fcntl
import signal
import socket
import subprocess
import time

import pytest
from prometheus_client.parser import text_string_to_metric_families

from members import LISTENER, PATIENCE, crowd_of
from networks import anywhere, isolated
from server import BINARY, free_port


def test_it_joins_a_seed_that_is_not_there_yet():
    with crowd_of(anywhere(), 3, started=False) as crowd:
        early, also_early, seed = crowd[1], crowd[2], crowd[0]
        early.start()
        also_early.start()
        crowd.hold(2)
        assert not early.told("joined", also_early.id), "how?"
        began = seed.start().started
        crowd.wait_agreed(5 * PATIENCE)
        print(f"joined {time.monotonic() - began:.2f} s after its seed came")
        assert not crowd.accusations()


def test_alone_it_has_a_view_of_itself_at_once():
    with crowd_of(anywhere(), 1, started=False) as crowd:
        began = crowd[0].start().started
        when = crowd.wait_agreed(2 * PATIENCE)
        assert when - began <= 1 * PATIENCE


def test_without_its_seed_it_has_a_view_of_itself_after_the_hold():
    with crowd_of(anywhere(), 2, started=False) as crowd:
        began = crowd[1].start().started
        crowd.wait_agreed(11 * PATIENCE)
        print(f"a view of itself alone after {time.monotonic() - began:.2f} s")


def test_it_finds_those_that_it_knew_when_no_seed_is_named_any_more():
    with crowd_of(anywhere(), 4) as crowd:
        crowd.hold(1)
        member = crowd[2]
        member.kill()
        member.joins = []
        member.start()
        crowd.wait_agreed(5 * PATIENCE)


def test_ipv6_works_as_ipv4_does():
    network = anywhere()
    with crowd_of(network, started=False) as crowd:
        try:
            with contextlib.closing(network.socket(socket.AF_INET6)) as one:
                one.bind(("::1", 0))
        except OSError as error:
            pytest.skip(f"there is no IPv6 here: {error}")
        for _ in range(5):
            crowd.add(host="::1", port=free_port_of_two(network))
        last = crowd.start()
        seconds = crowd.wait_agreed(10) - last
        assert seconds <= 2 * PATIENCE
        assert crowd[0].members()["n3"]["address"] == crowd[3].address
        killed = crowd[4].kill()
        told = crowd.wait_told("died", crowd[4], 10, since=killed)
        print(f"killed: known to all after {max(told) - killed:.2f} s")
        assert max(told) - killed <= 2 * PATIENCE
        left = crowd[3].signal(signal.SIGTERM)
        assert crowd[3].process.wait(10) == 0
        crowd.wait_told("left", crowd[3], 5, since=left)


def free_port_of_two(network):
    """A port of ::1 whose neighbour is free as well, for --http."""
    while True:
        with network.socket(socket.AF_INET6) as one, network.socket(socket.AF_INET6) as other:
            one.bind(("::1", 0))
            port = one.getsockname()[1]
            if port == 65535:
                continue
            with contextlib.suppress(OSError):
                other.bind(("::1", port + 1))
                return port


def test_names_are_resolved():
    with crowd_of(anywhere(), started=False) as crowd:
        port = free_port()
        crowd.add(host="127.0.0.1", port=port)
        named = crowd.add()
        named.joins = [f"localhost:{port}"]
        crowd.start()
        crowd.wait_agreed(5 * PATIENCE)


def test_a_name_that_is_not_known_yet_is_looked_up_again(tmp_path):
    """As a service's name in an orchestrator, which is there once the service is. The member has a hosts file of its
    own, by a mount namespace."""
    hosts = tmp_path / "hosts"
    hosts.write_text("127.0.0.1 localhost\n")
    inside = ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /etc/hosts && exec "$@"', str(hosts)]
    tried = subprocess.run([*inside, "true"], capture_output=True, text=True)
    if tried.returncode != 0:
        pytest.skip(f"a hosts file of its own is not permitted here: {tried.stderr.strip()}")
    with crowd_of(isolated(), 2, started=False) as crowd:
        seed, member = crowd
        seed.start()
        member.joins = [f"first.orchard:{seed.port}"]
        member.start(wrap=inside)
        crowd.hold(1.5)
        assert not seed.told("joined", member.id)
        hosts.write_text(f"127.0.0.1 localhost\n{seed.host} first.orchard\n")
        crowd.wait_agreed(6 * PATIENCE)


def test_sigterm_in_the_middle_of_joining_ends_it():
    """Whatever it waits for: a seed that takes connections and is mute, one that is not there, or its own start."""
    network = anywhere()
    with crowd_of(network, 2) as crowd, network.socket(kind=socket.SOCK_STREAM) as mute:
        mute.bind((network.host(90), 7000))
        mute.listen()
        began = time.monotonic()
        for seed in (f"{network.host(90)}:7000", f"{network.host(91)}:7000"):
            member = crowd.add()
            member.joins = [seed]
            member.start()
            crowd.hold(1)
            asked = member.signal(signal.SIGTERM)
            assert member.process.wait(10) == 0
            assert time.monotonic() - asked <= 2 * PATIENCE
        # At any moment of a start by a seed that is there: what the others saw of it, they see leave.
        member = crowd.add()
        for step in range(12):
            member.start()
            crowd.hold(step * 0.02)
            member.signal(signal.SIGTERM)
            code = member.process.wait(10)
            # Before it heeds the signal it has told nobody of itself.
            assert code == 0 or code == -signal.SIGTERM and not member.events
        crowd.wait_agreed(5 * PATIENCE)
        assert not crowd.accusations(began)
        for other in crowd.members[:2]:
            assert len(other.told("joined", member.id, began)) == len(other.told("left", member.id, began))


def test_it_leaves_when_nobody_reads_its_lines_any_more():
    with crowd_of(anywhere(), 3) as crowd:
        member = crowd[1]
        began = time.monotonic()
        LISTENER.forget(member.process.stdout)
        member.process.stdout.close()
        crowd.add().start()  # there is something to say
        assert member.process.wait(10) == 0
        crowd.wait_told("left", member, 5, [crowd[0], crowd[2]], since=began)
        assert not crowd.accusations(began)


def test_a_reader_that_stalls_does_not_stall_the_membership():
    with crowd_of(anywhere(), 3) as crowd:
        member = crowd[1]
        LISTENER.forget(member.process.stdout)
        began = time.monotonic()
        other = crowd.add()
        fcntl.fcntl(member.process.stdout, fcntl.F_SETPIPE_SZ, 4096)
        # Each of these turns makes some 600 bytes of lines.
        for _ in range(15):
            other.start()
            crowd.wait_told("joined", other, 5, [crowd[0], crowd[2]], since=other.started)
            other.kill()
        assert not [event for _, event in crowd.accusations(began) if event["member"] != other.id]
        # It has heard of the last of them as well.
        deadline = time.monotonic() + 2 * PATIENCE
        while member.members()[other.id]["generation"] != crowd[0].members()[other.id]["generation"]:
            assert time.monotonic() < deadline
            crowd.hold(0.1)


def test_what_its_lines_say():
    with crowd_of(anywhere(), 3) as crowd:
        first, second, third = crowd
        killed = third.kill()
        crowd.wait_told("died", third, 10)
        crowd.wait_agreed(5)
        joined = first.told("joined", second.id)[0]
        assert joined["address"] == second.address and joined["metadata"] == {}
        assert isinstance(joined["generation"], int) and isinstance(joined["incarnation"], int)
        when = datetime.datetime.fromisoformat(joined["at"].replace("Z", "+00:00"))
        assert abs(time.time() - when.timestamp()) < 60
        died = first.told("died", third.id, killed)[0]
        assert died["generation"] == first.told("joined", third.id)[0]["generation"]
        for event in first.told("suspected", third.id):
            assert event["by"] in {first.id, second.id}
        views = first.told("view")
        assert views[-1]["members"] == [first.id, second.id]
        assert len(views[-1]["id"]) == 16 and int(views[-1]["id"], 16) >= 0


def test_members_and_metrics_are_answered():
    with crowd_of(anywhere(), 3, ["--metadata", "zone=a", "--metadata", "load=0.25"]) as crowd:
        first, second, third = crowd
        crowd.hold(1.5)
        answer = first.get("/members")
        assert answer.status == 200 and answer.headers["content-type"].startswith("application/json")
        body = answer.json
        assert body["self"] == first.id
        assert body["view"] == {"id": first.view_id, "members": first.view}
        rows = {row["id"]: row for row in body["members"]}
        assert sorted(rows) == ["n0", "n1", "n2"]
        for member in crowd:
            row = rows[member.id]
            assert row["status"] == "alive" and row["address"] == member.address and row["keys"] == []
            assert row["metadata"] == {"zone": "a", "load": "0.25"}
            assert row["generation"] > 1_600_000_000_000 and row["incarnation"] >= 0 and row["since"]
        answer = first.get("/metrics")
        assert answer.status == 200
        families = list(text_string_to_metric_families(answer.body.decode()))
        assert families and all(family.documentation and family.type != "unknown" for family in families)
        assert all(family.name.startswith(("millrace_", "process_")) for family in families)
        assert first.metric("millrace_member_refused_packets_total") == 0
        assert first.get("/nothing").status == 404

        third.kill()
        crowd.wait_told("died", third, 10)
        assert first.members()[third.id]["status"] == "dead"
        assert second.stop() == 0
        crowd.wait_told("left", second, 5)
        assert first.members()[second.id]["status"] == "left"


@pytest.mark.parametrize("arguments, word", [
    (["--bind", "127.0.0.1:7000"], "--id"),
    (["--id", "a b", "--bind", "127.0.0.1:7000"], "id"),
    (["--id", "a", "--bind", "127.0.0.1"], "bind"),
    (["--id", "a", "--bind", "127.0.0.1:70000"], "bind"),
    (["--id", "a", "--join", "nowhere"], "join"),
    (["--id", "a", "--metadata", "zone"], "metadata"),
    (["--id", "a", "--what"], "--what"),
    (["--id", "x" * 65], "id"),
])
def test_wrong_flags_are_refused_in_words(arguments, word):
    done = subprocess.run([str(BINARY), "member", *arguments], capture_output=True, text=True, timeout=10)
    assert done.returncode == 64
    assert word in done.stderr and not done.stdout


def test_what_hinders_a_start_is_said():
    with crowd_of(anywhere(), 1) as crowd:
        taken = crowd[0]
        same_address = crowd.add(host=taken.host)
        same_address.answers_http = False
        same_address.start()
        assert same_address.process.wait(10) == 1
        assert taken.address in same_address.log_text()
        same_state = crowd.add()
        same_state.state = taken.state
        same_state.start()
        assert same_state.process.wait(10) == 1
        assert str(taken.state) in same_state.log_text()
        missing_key = crowd.add()
        missing_key.arguments = ["--key-file", "/nowhere/key"]
        missing_key.start()
        assert missing_key.process.wait(10) == 1
        assert "/nowhere/key" in missing_key.log_text()
        assert taken.running and taken.view == [taken.id]


def test_a_second_signal_ends_it_at_once():
    network = anywhere()
    with crowd_of(network, 2) as crowd:
        member, other = crowd
        other.pause()  # who would hear of the leave does not answer
        try:
            asked = member.signal(signal.SIGINT)
            crowd.hold(0.1)
            member.signal(signal.SIGINT)
            assert member.process.wait(5) in (0, 130)
            assert time.monotonic() - asked <= 1 * PATIENCE
        finally:
            other.wake()
