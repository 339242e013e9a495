"""Load Testing: a hundred workers, ten requests each."""

import threading
from collections.abc import Iterator

from claim import Claim, Switches, main, seconds

from understudy import Agent, Runtime
from understudy.testing import FakeModel, ProviderServer


def load(agent: Agent[str], workers: int, requests: int) -> float:
    """Seconds for all of them, from threads as in the guide; every failure counts."""
    failed: list[BaseException] = []

    def work() -> None:
        try:
            for _ in range(requests):
                agent.run("Load test query")
        except Exception as error:  # noqa: BLE001 - in a thread, where nobody would see it
            failed.append(error)

    threads = [threading.Thread(target=work) for _ in range(workers)]

    def all_of_them() -> None:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    taken = seconds(all_of_them)
    if failed:
        raise failed[0]
    return taken


def claims(switches: Switches) -> Iterator[Claim]:
    """Against a model in this process, and against a server on loopback."""
    workers, requests = switches.size(100, 5), switches.size(10, 2)
    total = workers * requests
    latency = switches.seconds(0.05, 0.0)
    with ProviderServer("Fine.", latency=latency, record=False) as server, Runtime():
        instant = Agent(switches.model_or(FakeModel(lambda _: "Fine.")))
        remote = Agent(switches.model_or("openai-compatible:m"), base_url=server.base_url)
        if switches.model:
            remote = instant
        instant.run("warm up")
        here = load(instant, workers, requests)
        there = load(remote, workers, requests)
        async_ = seconds(lambda: remote.map(["Load test query"] * total, max_concurrent=workers))
    yield Claim(
        claimed=f"{workers} workers x {requests} requests; the guide prints RPS, no figure",
        measured=f"{total} requests in {here:.2f} s, {total / here:,.0f}/s, with an instant model; "
        f"over HTTP to a server that takes {latency * 1000:.0f} ms {there:.2f} s, "
        f"{total / there:,.0f}/s (at most {workers / latency if latency else 0:,.0f}), and "
        f"{async_:.2f} s without threads (agent.map); none failed",
        verdict="no figure",
        how=f"{workers} threads that call agent.run; server, client and threads share one process",
    )


if __name__ == "__main__":
    main("Load Testing", claims)
