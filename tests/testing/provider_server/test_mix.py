"""Faults and latencies that are drawn, and what a server counts."""

import json
from typing import Any

import pytest
from tests.testing.provider_server.protocols import SAID, Client

from understudy import ConfigError
from understudy.testing.provider_server import NAMED, FaultMix, ProviderServer, Reset
from understudy.testing.provider_server.faults import name_of
from understudy.testing.provider_server.mix import parse_rates


def test_a_mix_is_the_same_for_the_same_seed() -> None:
    """And as often as its rates say."""

    def drawn(seed: int) -> list[str]:
        mix = FaultMix({"reset": 0.1, "status-503": 0.2}, seed=seed)
        return [name_of(fault) if fault else "" for fault in (mix.draw() for _ in range(5000))]

    assert drawn(1) == drawn(1) != drawn(2)
    assert drawn(1).count("reset") / 5000 == pytest.approx(0.1, abs=0.02)
    assert drawn(1).count("status-503") / 5000 == pytest.approx(0.2, abs=0.02)
    assert set(drawn(1)) == {"", "reset", "status-503"}


def test_a_mix_of_all() -> None:
    """`all` is each that is not named; own faults come in pairs."""
    mix = FaultMix({"all": 0.05, "refuse": 0.0})
    drawn = {name_of(fault) for fault in (mix.draw() for _ in range(3000)) if fault}
    assert drawn == set(NAMED) - {"refuse"}
    own = FaultMix([(Reset(after=3), 1.0)])
    assert own.draw() == Reset(after=3)


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ({"rest": 0.1}, "did you mean 'reset'"),
        ({"reset": 1.5}, "from 0 to 1"),
        ({"reset": 0.6, "drip": 0.6}, "over 1"),
    ],
)
def test_mixes_that_make_no_sense(rates: dict[str, float], said: str) -> None:
    """They name what is wrong."""
    with pytest.raises(ConfigError, match=said):
        FaultMix(rates)


def test_rates_as_the_command_line_spells_them() -> None:
    """Names and shares, or an error that shows how."""
    assert parse_rates("reset=0.01, drip=0.5") == {"reset": 0.01, "drip": 0.5}
    assert parse_rates("") == {}
    with pytest.raises(ConfigError, match=r"write drip=0\.01"):
        parse_rates("drip")


def test_a_mix_befalls_requests(talk: Any) -> None:
    """With rate 1, all of them; and the server says how many."""
    client = talk(faults=FaultMix({"status-500": 1.0}))
    assert [client.send("/v1/messages")[0] for _ in range(3)] == [500] * 3


@pytest.mark.parametrize("latency", [0.01, lambda draw: draw.uniform(0.01, 0.02)])
def test_latency_may_be_drawn(latency: Any) -> None:
    """Every answer waits at least the least of it."""
    with ProviderServer(latency=latency) as server:
        client = Client(server)
        client.send("/v1/messages")
        client.send("/v1/messages", model="fault-status-500")
        server.until(lambda seen: seen.stats.answered == 2)
        for request in server.requests:
            assert request.ended is not None
            assert request.ended - request.arrived >= 0.01
        client.connection.close()


def test_the_counts() -> None:
    """Requests by outcome, connections with their peak; also over HTTP, without recording."""
    with ProviderServer(record=False) as server:
        clients = [Client(server) for _ in range(3)]
        for client in clients:
            client.send("/v1/messages")
        clients[0].connection.request("GET", "/understudy/stats")
        told = json.loads(clients[0].connection.getresponse().read())
        assert told["connections"] == {"open": 3, "total": 3, "peak": 3}
        assert (told["requests"], told["answered"]) == (4, 3)
        body = {"model": "fault-blackhole", "max_tokens": 1, "messages": SAID}
        clients[1].connection.request("POST", "/v1/messages", json.dumps(body))
        server.until(lambda seen: seen.stats.requests == 5)
        for client in clients:
            client.connection.close()
        server.until(lambda seen: seen.stats.disconnected == 1)
        server.until(lambda seen: seen.connections.closed == 3)
        stats = server.stats
        assert (stats.disconnected, len(stats.disconnects), stats.connections.peak) == (1, 1, 3)
        assert server.requests == []
