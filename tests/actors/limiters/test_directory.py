import asyncio

import pytest

from understudy import Limit, Runtime
from understudy.messages.errors import ConfigError, OverloadedError
from understudy.messages.limits import Acquire, AskStats, Permit
from understudy.testing import SimRuntime


def test_models_of_one_pattern_share_a_limiter() -> None:
    """The first pattern that matches counts; accounts are apart."""

    async def main(rt: Runtime) -> None:
        of = rt.crew.limiters.of
        first = of("openai", "", remote=True)
        assert first("gpt-5") is first("gpt-5-mini")
        assert first("o3") is not first("gpt-5")
        assert of("openai", "account 2", remote=True)("gpt-5") is not first("gpt-5")
        assert of("openai", "", remote=True)("gpt-5") is first("gpt-5")

    limits = {"openai:gpt-*": Limit(max_concurrent=3), "openai:*": Limit()}
    SimRuntime(1, limits=limits).run(main)


def test_only_the_network_has_a_limiter_by_itself() -> None:
    """A provider over the network has one for its gate and breaker; a model in the process none."""

    async def main(rt: Runtime) -> None:
        remote = rt.crew.limiters.of("openai", "", remote=True)
        assert remote("a") is remote("b") is not None
        assert rt.crew.limiters.of("fake", "", remote=False)("fake") is None

    SimRuntime(1).run(main)


def test_a_pattern_limits_a_model_in_the_process() -> None:
    """Where it is named, it is kept."""

    async def main(rt: Runtime) -> bool:
        limiter = rt.crew.limiters.of("fake", "", remote=False)("fake")
        assert limiter is not None
        permit: Permit = await limiter.request(Acquire(ticket="1"))
        second = limiter.request(Acquire(ticket="2"))
        await asyncio.sleep(1)
        assert (permit.ticket, second.done) == ("1", False)
        second.cancel()
        return bool((await limiter.request(AskStats())).in_flight)

    assert SimRuntime(1, limits={"fake:*": Limit(max_concurrent=1)}).run(main)


@pytest.mark.parametrize(
    ("limits", "said"),
    [
        ({"openai": Limit()}, r"limits=\{'openai': \.\.\.\}: write it as 'provider:model'"),
        ({"openai:*": 5}, r"limits=\{'openai:\*': 5\}: give a Limit"),
    ],
)
def test_patterns_that_are_none(limits: dict[str, Limit], said: str) -> None:
    """A mistake is named when the runtime starts."""
    with pytest.raises(ConfigError, match=said):
        Runtime(limits=limits).__enter__()


def test_a_limiter_that_has_ended_is_made_anew() -> None:
    """A parked one does not leave its models without."""

    async def main(rt: Runtime) -> None:
        limiter_for = rt.crew.limiters.of("openai", "", remote=True)
        first = limiter_for("gpt-5")
        assert first is not None
        await first.kill()
        second = limiter_for("gpt-5")
        assert second is not None
        assert second.is_alive()

    SimRuntime(1).run(main)


def test_a_crowd_at_one_instant_is_told_by_the_limiter_who_is_too_many() -> None:
    """However small its queue: its mailbox refuses nobody, so each error names the limit."""

    async def main(rt: Runtime) -> None:
        limiter = rt.crew.limiters.of("fake", "", remote=False)("fake")
        assert limiter is not None
        crowd = [limiter.request(Acquire(ticket=f"t{i}")) for i in range(3_000)]
        await asyncio.sleep(1)
        refused = [type(reply.outcome().error) for reply in crowd if reply.done]
        assert refused.count(OverloadedError) == 2_998
        for reply in crowd:
            reply.cancel()

    SimRuntime(1, limits={"fake:*": Limit(max_concurrent=1, queue=1)}).run(main)
