"""Short-Lived Agents: one agent for each request, or one for all of them."""

import gc
import tracemalloc
from collections.abc import Callable, Iterator

from claim import Claim, Switches, cpu_seconds, in_turns, judged, main

from understudy import Agent, Runtime, presets
from understudy.testing import FakeModel


def held(work: Callable[[], object]) -> float:
    """KiB that are still there when the work is done."""
    gc.collect()
    before = tracemalloc.get_traced_memory()[0]
    work()
    gc.collect()
    return (tracemalloc.get_traced_memory()[0] - before) / 1024


def claims(switches: Switches) -> Iterator[Claim]:
    """The same requests in both ways."""
    requests = switches.size(500, 10)
    model = switches.model_or(FakeModel.echo())
    shared = presets.chat(model)

    def short() -> None:
        for _ in range(requests):
            presets.chat(model).run("Hello")

    def long() -> None:
        for _ in range(requests):
            shared.run("Hello")

    with Runtime():
        long()
        short()
        best = in_turns({work: work for work in (short, long)}, switches.size(5, 1), cpu_seconds)
        cpu = {work: taken / requests * 1e6 for work, taken in best.items()}
        if isinstance(model, FakeModel):
            model.requests.clear()
        tracemalloc.start()
        kept = {}
        for work in (short, long):
            kept[work] = held(work)
            if isinstance(model, FakeModel):
                model.requests.clear()  # the fake remembers what it was asked; that is no agent
        agents: list[Agent[str]] = []
        each = held(lambda: agents.extend(presets.chat(model) for _ in range(1000))) * 1.024
        tracemalloc.stop()
    yield Claim(
        claimed="an agent per request is memory efficient; a long-lived one needs more memory",
        measured=f"after {requests} requests {kept[short]:.0f} KiB more are held with one each, "
        f"{kept[long]:.0f} KiB with one for all; an agent is {each:.0f} bytes of description and "
        f"holds no state, so make it where it reads best ({cpu[short]:.0f} and {cpu[long]:.0f} us "
        "of CPU a request)",
        verdict=judged(kept[long] > kept[short] + 100),
        how="memory that Python holds after the requests (tracemalloc, collected before)",
    )


if __name__ == "__main__":
    main("Short-Lived Agents", claims)
