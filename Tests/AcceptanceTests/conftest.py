"""One server for the tests that leave it as they found it, and fresh ones for those that do not."""

import itertools

import pytest

from server import Server

_numbers = itertools.count()


@pytest.fixture(scope="session")
def server():
    with Server() as running:
        yield running
        assert running.alive, running.log_text()


@pytest.fixture
def stream(server):
    """A new stream of one shard."""
    name = f"stream-{next(_numbers)}"
    server.create(name)
    return name


@pytest.fixture
def name():
    """A name that no stream has yet."""
    return f"name-{next(_numbers)}"


@pytest.fixture
def fresh(tmp_path):
    """Makes servers over directories of their own; they are killed at the end."""
    made = []

    def make(*arguments, **options):
        made.append(Server(tmp_path / f"server-{len(made)}", arguments, **options))
        made[-1].directory.mkdir()
        return made[-1]

    yield make
    for one in made:
        one.close()
