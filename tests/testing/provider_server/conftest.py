"""Servers on threads of their own, and clients of them that end with the test."""

from collections.abc import Iterator
from typing import Any

import pytest
from tests.testing.provider_server import chats, protocols

from understudy.testing.provider_server import ProviderServer


@pytest.fixture(autouse=True)
def closed_clients() -> Iterator[None]:
    """No client outlives its test."""
    yield
    while chats.Client.made:
        chats.Client.made.pop().close()


@pytest.fixture
def server() -> Iterator[ProviderServer]:
    """A server on a thread of its own."""
    with ProviderServer() as running:
        yield running


@pytest.fixture
def talk() -> Iterator[Any]:
    """Starts a server and gives a client of it."""
    started: list[tuple[ProviderServer, protocols.Client]] = []

    def start(*args: Any, **options: Any) -> protocols.Client:
        server = ProviderServer(*args, **options).__enter__()
        started.append((server, protocols.Client(server)))
        return started[-1][1]

    yield start
    for server, client in started:
        client.connection.close()
        server.__exit__()
