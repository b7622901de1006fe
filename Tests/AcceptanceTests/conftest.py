"""One server for the tests that leave it as they found it, and fresh ones for those that do not."""

import contextlib
import itertools

import pytest

from chromium import Chromium
from receiver import Hook
from server import Server

_numbers = itertools.count()


@pytest.fixture(scope="session")
def server():
    with Server() as running:
        yield running
        assert running.alive, running.log_text()


@pytest.fixture(scope="session")
def hook_server():
    """A server whose webhooks may reach this machine."""
    with Server(arguments=("--webhook-allow", "127.0.0.0/8")) as running:
        yield running
        assert running.alive, running.log_text()


@pytest.fixture
def hook(hook_server):
    """Makes webhooks, each with a stream and a receiver of its own."""
    made = []

    def make(respond=lambda post: 204, **options):
        made.append(Hook(hook_server, f"hook-{next(_numbers)}", respond, **options))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture(scope="module")
def chromium():
    with contextlib.closing(Chromium()) as browser:
        yield browser


@pytest.fixture
def page(chromium):
    """A page of a real browser."""
    with contextlib.closing(chromium.page()) as one:
        yield one


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
