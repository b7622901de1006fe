"""A server that does not start: it names the setting or the file, in words, and says what to do."""

import subprocess

import pytest

from server import BINARY, free_port


def refusal(data, listen):
    ended = subprocess.run(
        [BINARY, "serve", "--data", str(data), "--listen", listen],
        capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    assert ended.returncode not in (0, -6, -11), ended
    # Swift's own way of printing a value is for nobody but its programmers.
    assert "Error(" not in ended.stderr and "errno" not in ended.stderr, ended.stderr
    return ended.stderr


def test_a_port_that_is_taken(server, tmp_path):
    listen = f"127.0.0.1:{server.port}"
    said = refusal(tmp_path / "data", listen)
    assert f"--listen: cannot listen on {listen}: Address already in use\n" in said, said


def test_an_address_that_is_not_here(tmp_path):
    # 192.0.2.0/24 is for documentation: no machine has it.
    ended = subprocess.run(
        [BINARY, "serve", "--data", str(tmp_path / "data"), "--listen", f"192.0.2.1:{free_port()}", "--insecure"],
        capture_output=True, text=True, timeout=30, stdin=subprocess.DEVNULL)
    assert "Cannot assign requested address\nNo interface of this machine has this address" in ended.stderr, ended


def test_a_data_directory_that_is_a_file(tmp_path):
    (tmp_path / "data").write_text("not a directory")
    said = refusal(tmp_path / "data", f"127.0.0.1:{free_port()}")
    assert f"--data: {tmp_path}/data cannot be used: " in said and "Not a directory\n" in said, said


@pytest.mark.parametrize("file", ["catalog.db", "lanes/0/checkpoint.db"])
def test_a_database_that_is_none(fresh, file):
    server = fresh().start()
    server.create("one")
    server.append("one", {"a": 1})
    assert server.stop() == 0
    data = server.directory / "data"
    for beside in ("-wal", "-shm"):
        data.joinpath(file + beside).unlink(missing_ok=True)
    data.joinpath(file).write_bytes(b"no database at all" * 100)
    said = refusal(data, f"127.0.0.1:{free_port()}")
    assert f"{data}/{file} cannot be " in said and 'failed("' not in said, said
    assert "from a backup" in said, said
