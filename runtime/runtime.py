"""`Runtime`: one stage with its actors, from start to shutdown.

    with Runtime() as rt:               # a loop in a daemon thread of its own
        print(rt.run(agent, "Hello").output)

    async with Runtime() as rt:         # hosted on the caller's running loop: no thread hop
        print((await rt.arun(agent, "Hello")).output)

Several may live in one process and know nothing of each other. It takes no signals and starts no
thread before it is entered. Everything that reads time, draws random numbers or opens a socket goes
through the ports that it is given.

Its verbs are in four rooms: what has a loop (`lifecycle`), what makes actors (`casting`), what
starts runs (`submit`), what lives in a daemon (`serving`).
"""

from __future__ import annotations

import asyncio
import random
from _thread import get_ident
from collections.abc import Callable, Coroutine, Mapping
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

import msgspec

from understudy.actors.kernel.clock import Clock, SystemClock
from understudy.actors.kernel.dead_letters import DeadLetters
from understudy.actors.kernel.dispatchers.threads import ThreadsDispatcher, current_worker
from understudy.actors.kernel.system import ActorSystem
from understudy.actors.models.choice import TransportName, transport_maker
from understudy.actors.models.directory import Defaults
from understudy.messages.agents import AgentSpec
from understudy.messages.budgets import Price
from understudy.messages.caches import CacheSpec, CacheStats
from understudy.messages.control import Ledger
from understudy.messages.errors import ConfigError, WouldDeadlockError
from understudy.messages.kinds import COUNT, NOT_NEGATIVE, TEXT, WHOLE, Kind, instance
from understudy.messages.limits import Limit, LimiterStats
from understudy.messages.memories import MemorySpec
from understudy.runtime.agent_handle import AgentHandle
from understudy.runtime.blocking import result_of
from understudy.runtime.cache import as_cache, wanted_of
from understudy.runtime.casting import Casting
from understudy.runtime.config.schema import Config, RuntimeConfig
from understudy.runtime.crew import Crew
from understudy.runtime.events import EventBus
from understudy.runtime.memories import memory_of, tokenizer_of
from understudy.runtime.options import check
from understudy.runtime.serving.verbs import Serving

if TYPE_CHECKING:
    import httpx

    from understudy.actors.kernel.dispatchers.loop import LoopDispatcher
    from understudy.runtime.memory import Memory

T = TypeVar("T")


_KINDS = {
    "name": TEXT,
    "config": instance("give a Config, or use Runtime.from_toml(file)", Config),
    "limits": instance("give a dict of Limit(...) by 'provider:model'", Mapping),
    "prices": instance("give a dict of Price(...) by 'provider:model'", Mapping),
    "shutdown": NOT_NEGATIVE,
    "clock": Kind(lambda value: hasattr(value, "now"), "give a clock, such as ManualClock()"),
    "seed": WHOLE,
}


class Runtime(Serving, Casting):
    """See the module's docstring.

    Args:
        name: shown in logs, thread names and errors.
        config: what `from_toml` loads; arguments given here win.
        workers: step workers on the loop, at most.
        threads: threads for each class of blocking work, at most.
        max_runs: agent runs at a time.
        limits: what may be asked of accounts, by pattern: `{"openai:*": Limit(...)}`; the first
            that matches `provider:model` counts.
        prices: what models cost, by pattern: `{"openai:*": Price(input=1.0, output=8.0)}`; they
            win over the prices that are shipped.
        cache: of agents that do not say, for calls at temperature 0; see `Cache`.
        shutdown: seconds that leaving the block may take.
        on_failure: what an actor does to the runtime that has failed too often: it stands still
            (`park`), or the runtime stops, with `ShutdownReport.failed` (`stop`).
        debug: give users' actors copies of messages, made by msgpack, and say what does not encode:
            to find what is shared and changed. It costs time.
        memory: of the agents that have none of their own, whether or not they are given a session;
            None: as `[memory]` says, or one in the process for sessions alone.
        tokenizer: counts the tokens of a text, for `context_window`; None: tiktoken where it is
            installed and has its vocabulary, else an estimate.
        clock, seed: ports: time, the seed of random numbers.
        transport: the HTTP transport: an object, or `plain`, `fast` (the extra), `auto` (default:
            the fast one where it is installed).
    """

    def __init__(
        self,
        *,
        name: str = "rt",
        config: Config | None = None,
        workers: int | None = None,
        threads: int | None = None,
        max_runs: int | None = None,
        limits: Mapping[str, Limit] | None = None,
        prices: Mapping[str, Price] | None = None,
        cache: CacheSpec | str | float | None = None,
        shutdown: float | None = None,
        on_failure: Literal["park", "stop"] = "park",
        debug: bool = False,
        clock: Clock | None = None,
        transport: httpx.AsyncBaseTransport | TransportName | None = None,
        seed: int | None = None,
        memory: MemorySpec | None = None,
        tokenizer: Callable[[str], int] | None = None,
    ) -> None:
        for option, value in {
            "name": name, "config": config, "limits": limits, "prices": prices,
            "shutdown": shutdown, "clock": clock, "seed": seed,
        }.items():  # fmt: skip
            if value is not None:
                _KINDS[option].check("Runtime", option, value)
        self.config = config or Config()
        self.source: Path | None = None
        arguments = {
            "workers": workers,
            "threads": threads,
            "max_runs": max_runs,
            "shutdown": shutdown,
            "limits": limits,
            "prices": prices,
            "cache": None if cache is None else as_cache(cache),
            "memory": memory,
        }
        self.given = {name: value for name, value in arguments.items() if value is not None}
        sizes = self.config.runtime
        self._workers = sizes.workers if workers is None else workers
        self._threads = sizes.threads if threads is None else threads
        self._limits = {**self.config.limits, **(limits or {})}
        # In this order, because the first pattern that matches counts: code wins over the file.
        self._prices = {**(prices or {}), **self.config.prices, **(prices or {})}
        self._max_runs = sizes.max_runs if max_runs is None else max_runs
        for option in ("workers", "threads", "max_runs"):
            COUNT.check("Runtime", option, getattr(self, f"_{option}"))
        if on_failure not in ("park", "stop"):
            msg = f"Runtime(on_failure={on_failure!r}): one of 'park', 'stop'"
            raise ConfigError(msg)
        self._pools = {}
        super().__init__(
            name,
            EventBus(f"understudy-{name}-events"),
            sizes.shutdown if shutdown is None else shutdown,
        )
        self._stops_on_failure = on_failure == "stop"
        self._debug = debug
        self._clock: Clock = clock or SystemClock()
        self._transport = transport_maker(
            self.config.llm.transport if transport is None else transport
        )
        self._random = random.Random(seed)
        self._memory = memory_of(self.config.memory_spec if memory is None else memory)
        self._tokenizer = None if tokenizer is None else tokenizer_of(tokenizer)

    @classmethod
    def from_toml(cls, path: str | Path, **options: Any) -> Self:  # Any: as for __init__
        """A runtime as a file says; `options` win over it.

        Raises:
            ConfigError: everything that is wrong with the file, with lines.
        """
        import os

        from understudy.runtime.config.load import load_config
        from understudy.runtime.graph import check_workflow

        config = load_config(Path(path), os.environ, check=check_workflow)
        runtime = cls(config=config, **options)
        runtime.source = Path(path)
        return runtime

    def default_cache(self, config: Config) -> CacheSpec | None:
        """The cache of agents that do not say, where code has not given another."""
        given: CacheSpec | None = self.given.get("cache")
        return config.llm.default_cache if given is None else given

    def resize(self, sizes: RuntimeConfig) -> None:
        """Other bounds from now on, where code has not set them; what is under way goes on."""
        bounds = {**msgspec.structs.asdict(sizes), **self.given}
        self._workers, self._threads = bounds["workers"], bounds["threads"]
        self._max_runs, self._shutdown_time = bounds["max_runs"], bounds["shutdown"]
        crew = self.crew
        crew.troupe.resize(self._max_runs)
        crew.steps.resize(self._workers, self._threads)
        for threads in list(self._threads_made):
            threads.resize(self._threads)

    def limiters(self) -> dict[str, LimiterStats]:
        """What each limiter does at this instant, by its pattern (and account); blocks.

        Raises:
            WouldDeadlockError: on the loop of this runtime; use `await rt.alimiters()`.
        """
        return self.complete(self.alimiters(), "rt.alimiters")

    async def alimiters(self) -> dict[str, LimiterStats]:
        """The twin of `limiters`."""
        return await self.crew.limiters.stats()

    def caches(self) -> dict[str, CacheStats]:
        """How each cache is doing that was needed so far, by its name; blocks.

        Raises:
            WouldDeadlockError: on the loop of this runtime; use `await rt.acaches()`.
        """
        return self.complete(self.acaches(), "rt.acaches")

    async def acaches(self) -> dict[str, CacheStats]:
        """The twin of `caches`."""
        return await self.on_loop(self.crew.caches.stats())

    def invalidate(
        self, *, tool: str | None = None, tag: str | None = None, tenant: str | None = None
    ) -> int:
        """Forget what matches all that is given, in every cache; gives how many entries. Blocks.

        Raises:
            ConfigError: nothing is given.
            WouldDeadlockError: on the loop of this runtime; use `await rt.ainvalidate(...)`.
        """
        work = self.ainvalidate(tool=tool, tag=tag, tenant=tenant)
        return self.complete(work, "rt.ainvalidate")

    async def ainvalidate(
        self, *, tool: str | None = None, tag: str | None = None, tenant: str | None = None
    ) -> int:
        """The twin of `invalidate`."""
        wanted = wanted_of(tool, tag, tenant)
        return await self.on_loop(self.crew.caches.invalidate(wanted))

    @property
    def memory(self) -> Memory:
        """The memory of the agents that have none of their own."""
        return self.crew.memories.default

    @property
    def dead_letters(self) -> DeadLetters:
        """What was sent and not handled."""
        return self.stage.dead_letters

    @property
    def ledger(self) -> Ledger:
        """The sum over all actors that ever lived here."""
        return self.stage.ledger()

    def agent(self, spec: AgentSpec) -> AgentHandle[Any]:  # Any: the output's type
        """An agent with an explicit end, for `with` and `async with`; see `AgentHandle`."""
        check(spec, AgentSpec, f"{spec!r} is no agent; pass an Agent")
        return AgentHandle(self, spec)

    aagent = agent

    def complete(self, work: Coroutine[Any, Any, T], twin: str) -> T:  # Any: what coroutines yield
        """Run a coroutine on this runtime's loop and block this thread for it.

        Raises:
            WouldDeadlockError: on that loop; names the `twin` to await instead.
        """
        system = self._system_for(work)
        if get_ident() == system.loop_thread:
            work.close()
            msg = f"this would block the loop that has to do the work: use `await {twin}(...)`"
            raise WouldDeadlockError(msg)
        worker = current_worker()
        future = asyncio.run_coroutine_threadsafe(work, system.loop)
        try:
            with nullcontext() if worker is None else worker.dispatcher.spare():
                return result_of(future)
        except BaseException:
            future.cancel()  # Ctrl-C, or no thread to spare: nobody waits any more
            raise

    async def on_loop(self, work: Coroutine[Any, Any, T]) -> T:  # Any: what coroutines yield
        """Await a coroutine that has to run on this runtime's loop, from any loop."""
        system = self._system_for(work)
        if get_ident() == system.loop_thread:
            return await work
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, system.loop))

    def _system_for(self, work: Coroutine[Any, Any, Any]) -> ActorSystem:
        """The stage to do `work` on; where there is none, it is let go of."""
        try:
            return self.system
        except BaseException:
            work.close()  # else it complains that nobody has awaited it
            raise

    # -- private: see `Lifecycle` ------------------------------------------------------------------

    def _itself(self) -> Runtime:
        return self

    def _timer(self) -> Callable[[], float]:
        return self._clock.now

    def _make_system(
        self, loop: asyncio.AbstractEventLoop, thread: int, dispatcher: LoopDispatcher
    ) -> ActorSystem:
        return ActorSystem(
            loop=loop,
            loop_thread=thread,
            dispatchers={"loop": dispatcher},
            make_threads=self._make_threads,
            clock=self._clock,
            rng=self._random,
            events=self.events,
        )

    def _make_crew(self, system: ActorSystem) -> Crew:
        llm, streaming = self.config.llm, self.config.streaming
        return Crew(
            system,
            defaults=Defaults(
                llm.model, llm.base_url, llm.api_key, llm.temperature, llm.max_tokens
            ),
            transport=self._transport,
            workers=self._workers,
            threads=self._threads,
            max_runs=self._max_runs,
            limits=self._limits,
            tools=self.config.tools.defaults,
            caches=(self.default_cache(self.config), self.config.tools.cache.spec),
            streaming=streaming.options,
            stream_timeout=streaming.timeout,
            prices=self._prices,
            memory=self._memory,
            tokenizer=self._tokenizer,
        )

    def _make_threads(self, bulkhead: str) -> ThreadsDispatcher:
        threads = ThreadsDispatcher(f"understudy-{self.name}-{bulkhead}", self._threads)
        self._threads_made.append(threads)
        return threads
