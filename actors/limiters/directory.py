"""Which limiter keeps which model.

A runtime's limits are given by pattern (`"openai:*"`, `"anthropic:claude-*"`); the first that
matches counts, and everything that matches it on one account shares one limiter. An account on a
provider of the network always has one, if only for its gate and its breaker; a model in this
process has none unless a pattern names it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from fnmatch import fnmatchcase
from typing import Any

from understudy.actors.kernel.options import ChildSpec, MailboxOptions, child
from understudy.actors.kernel.ref import Ref
from understudy.actors.kernel.system import ActorSystem, Guardian
from understudy.actors.limiters.limiter import LimiterActor
from understudy.messages.control import Overflow
from understudy.messages.errors import ConfigError
from understudy.messages.limits import Adjust, AskStats, Limit, LimiterStats

_MAILBOX = MailboxOptions(overflow=Overflow.WAIT)
"""Who finds it full waits: only the limiter itself, which answers at once, says who is too many."""


class LimiterDirectory:
    """Finds, and makes when first needed, the limiter of a model.

    Args:
        system: where the limiters live, under `/system/limiters`.
        limits: by pattern of `provider:model`.

    Raises:
        ConfigError: a pattern without a colon, or a limit that is none.
    """

    def __init__(self, system: ActorSystem, limits: Mapping[str, Limit]) -> None:
        self.check(limits)
        self._system = system
        self._limits = dict(limits)
        self._version = 0
        self._made: dict[tuple[str, str], Ref[Any]] = {}  # Any: Ref of LimiterActor
        self._agents: dict[str, tuple[Limit, Ref[Any]]] = {}  # Any: Ref of LimiterActor
        branch = ChildSpec(cls=Guardian, name="limiters")
        self._branch = system.spawn(branch, parent=system.infrastructure).get().cell

    def of(
        self, provider: str, account: str, *, remote: bool
    ) -> Callable[[str], Ref[Any] | None]:  # Any: Ref of LimiterActor
        """A function from a model's name to its limiter.

        Args:
            provider: the name before the colon.
            account: tells apart the accounts at one provider; never a key.
            remote: whether it is called over the network.
        """
        known: dict[str, Ref[Any] | None] = {}  # Any: Ref of LimiterActor
        version = self._version

        def limiter_for(model: str) -> Ref[Any] | None:  # Any: Ref of LimiterActor
            nonlocal version
            if version != self._version:  # other patterns may match now
                version = self._version
                known.clear()
            ref = known.get(model)
            if model not in known or (ref is not None and not ref.is_alive()):
                ref = known[model] = self._find(f"{provider}:{model}", account, remote=remote)
            return ref

        return limiter_for

    def of_agent(
        self, name: str, rate: float | None, max_concurrent: int | None
    ) -> Ref[Any]:  # Any: Ref of LimiterActor
        """The limiter of the runs of all agents with this name.

        Raises:
            ConfigError: agents of one name have different bounds.
        """
        limit = Limit(requests_per_second=rate, max_concurrent=max_concurrent)
        known, ref = self._agents.get(name, (limit, None))
        if known != limit:
            msg = (
                f"agent {name!r} runs with rate_limit={known.requests_per_second} and "
                f"max_concurrent={known.max_concurrent} here, which bound all agents of that name: "
                f"give this one the same, or another name (not rate_limit={rate}, "
                f"max_concurrent={max_concurrent})"
            )
            raise ConfigError(msg)
        if ref is None or not ref.is_alive():
            spec = child(LimiterActor, f"agent {name}", limit).options(mailbox=_MAILBOX)
            ref = self._system.spawn(spec, parent=self._branch).get()
            self._agents[name] = (limit, ref)
        return ref

    @staticmethod
    def check(limits: Mapping[str, Limit]) -> None:
        """Raise ConfigError for a pattern without a colon, or a limit that is none."""
        for pattern, limit in limits.items():
            if ":" not in pattern:
                msg = (
                    f"limits={{{pattern!r}: ...}}: write it as 'provider:model', such as 'openai:*'"
                )
                raise ConfigError(msg)
            given: object = limit
            if not isinstance(given, Limit):
                msg = f"limits={{{pattern!r}: {given!r}}}: give a Limit(...)"
                raise ConfigError(msg)

    def reconfigure(self, limits: Mapping[str, Limit]) -> None:
        """Other limits from now on. Any thread; permits that are out stay out.

        Raises:
            ConfigError: as for a new directory; nothing is changed then.
        """
        self.check(limits)
        self._limits = dict(limits)
        self._version += 1
        for (pattern, _), ref in list(self._made.items()):
            ref.tell(Adjust(limit=limits.get(pattern, Limit())))

    def open_breakers(self) -> list[str]:
        """Which limiters refuse calls at this instant. Any thread, without asking them."""
        return [
            _label(*key)
            for key, ref in list(self._made.items())
            if ref.cell.actor is not None and ref.cell.actor.breaker_state == "open"
        ]

    async def stats(self) -> dict[str, LimiterStats]:
        """Every limiter that was needed so far, by its pattern (and account)."""
        found = {_label(*key): ref for key, ref in self._made.items()}
        found |= {f"agent {name}": ref for name, (_, ref) in self._agents.items()}
        return {
            name: await ref.request(AskStats()) for name, ref in found.items() if ref.is_alive()
        }

    def _find(
        self, name: str, account: str, *, remote: bool
    ) -> Ref[Any] | None:  # Any: Ref of LimiterActor
        pattern = next((each for each in self._limits if fnmatchcase(name, each)), None)
        if pattern is None:
            if not remote:
                return None
            pattern = f"{name.partition(':')[0]}:*"
        ref = self._made.get((pattern, account))
        if ref is None or not ref.is_alive():
            limit = self._limits.get(pattern, Limit())
            spec = child(LimiterActor, _label(pattern, account), limit).options(mailbox=_MAILBOX)
            ref = self._system.spawn(spec, parent=self._branch).get()
            self._made[pattern, account] = ref
        return ref


def _label(pattern: str, account: str) -> str:
    return pattern if not account else f"{pattern} ({account})"
