"""Making actors: the verbs of a Runtime that put somebody on the stage.

Each returns when what it makes has started, or raises what kept it from starting. Where one blocks
the calling thread, its twin with an `a` in front does not.
"""

from __future__ import annotations

from _thread import get_ident
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from understudy.actors.kernel.actor import Actor, as_child
from understudy.actors.kernel.options import ChildSpec, MailboxOptions, RestartType, child
from understudy.actors.kernel.ref import Ref
from understudy.messages.control import ActorNode, ActorState, MailboxStats
from understudy.messages.errors import WouldDeadlockError
from understudy.messages.workflows import Effects
from understudy.runtime.pool.handle import PoolHandle, check_key
from understudy.runtime.pool.keyed import KeyedPool
from understudy.runtime.pool.options import PoolOptions, size_of
from understudy.runtime.pool.pool import Pool
from understudy.runtime.strategy import Strategy
from understudy.runtime.supervisor import Supervisor

if TYPE_CHECKING:
    from understudy.actors.kernel.system import ActorSystem
    from understudy.runtime.crew import Crew


class Casting(ABC):
    """The part of a Runtime that makes actors, groups and pools, and shows who is there."""

    name: str
    _pools: dict[str, PoolHandle]

    @property
    @abstractmethod
    def system(self) -> ActorSystem:
        """The actors' stage."""

    @property
    @abstractmethod
    def crew(self) -> Crew:
        """What runs share."""

    def spawn(
        self,
        spec: ChildSpec | type[Actor],
        *,
        name: str | None = None,
        restart: RestartType | None = None,
        mailbox: MailboxOptions | None = None,
        directives: dict[type[BaseException], Any] | None = None,  # Any: Directive or its name
    ) -> Ref[Any]:  # Any: Ref of the actor's class
        """Make an actor under `/user`; returns after its `on_start` has succeeded.

        Raises:
            ConfigError: the name is taken, or the specification is wrong.
            WouldDeadlockError: on the loop of this runtime, for an actor with an `on_start`.
            Exception: whatever `__init__` or `on_start` raises.
        """
        spec = as_child(spec, name=name, restart=restart, mailbox=mailbox, directives=directives)
        self._check_can_wait(spec, "aspawn")
        return self.system.spawn(spec).get()

    async def aspawn(
        self,
        spec: ChildSpec | type[Actor],
        *,
        name: str | None = None,
        restart: RestartType | None = None,
        mailbox: MailboxOptions | None = None,
        directives: dict[type[BaseException], Any] | None = None,  # Any: Directive or its name
    ) -> Ref[Any]:  # Any: Ref of the actor's class
        """The twin of `spawn`."""
        spec = as_child(spec, name=name, restart=restart, mailbox=mailbox, directives=directives)
        return await self.system.spawn(spec)

    def supervise(
        self,
        name: str,
        children: Sequence[ChildSpec | type[Actor]],
        *,
        strategy: Strategy = "one_for_one",
        intensity: int = 5,
        period: float = 30.0,
        total_intensity: int | None = None,
    ) -> Ref[Any]:  # Any: Ref of Supervisor
        """Start a group of children that is kept alive together; see `Supervisor`.

        Returns after all children have started; ask the Ref for `WhichChildren`.
        """
        self._check_can_wait(child(Supervisor), "asupervise")
        return self.spawn(
            child(
                Supervisor,
                children,
                strategy=strategy,
                intensity=intensity,
                period=period,
                total_intensity=total_intensity,
            ),
            name=name,
        )

    async def asupervise(
        self,
        name: str,
        children: Sequence[ChildSpec | type[Actor]],
        **options: Any,  # Any: as for supervise
    ) -> Ref[Any]:  # Any: Ref of Supervisor
        """The twin of `supervise`."""
        return await self.aspawn(child(Supervisor, children, **options), name=name)

    def pool(
        self,
        name: str,
        worker: ChildSpec | type[Actor],
        *,
        size: int | tuple[int, int] = 4,
        queue: int = 1000,
        key: Callable[[Any], Any] | None = None,  # Any: the user's jobs and keys
        retries: int = 0,
        effects: Effects | None = None,
        timeout: float | None = None,
    ) -> PoolHandle:
        """A pool of workers; returns when the workers that the minimum asks for have started.

        Args:
            name: its place in the tree, `/user/name`.
            worker: a class or `child(...)`; its messages are the jobs.
            size: workers, or (at least, at most).
            queue: jobs that may wait; more are refused with `MailboxFullError`.
            key: a function of the job: jobs of one key go to one worker, in order.
            retries: how often a job that has failed, or lost its worker, is done again.
            effects: what jobs do outside; see `PoolOptions`.
            timeout: seconds for a job, its time in the queue included.
        """
        self._check_can_wait(as_child(worker), "apool")
        handle, started = self._pool(name, worker, size, queue, key, retries, effects, timeout)
        for reply in started:
            reply.get()
        return handle

    async def apool(
        self,
        name: str,
        worker: ChildSpec | type[Actor],
        *,
        size: int | tuple[int, int] = 4,
        queue: int = 1000,
        key: Callable[[Any], Any] | None = None,  # Any: the user's jobs and keys
        retries: int = 0,
        effects: Effects | None = None,
        timeout: float | None = None,
    ) -> PoolHandle:
        """The twin of `pool`."""
        handle, started = self._pool(name, worker, size, queue, key, retries, effects, timeout)
        for reply in started:
            await reply
        return handle

    def _check_can_wait(self, spec: ChildSpec, twin: str) -> None:
        """An actor starts on its dispatcher: a thread that has to serve it cannot wait for it."""
        if spec.cls.traits.has_on_start and get_ident() == self.system.loop_thread:
            msg = (
                f"waiting for {spec.cls.__name__}.on_start would block the loop it runs on: "
                f"use `await rt.{twin}(...)`"
            )
            raise WouldDeadlockError(msg)

    def _pool(  # noqa: PLR0917 - the two spellings share it
        self,
        name: str,
        worker: ChildSpec | type[Actor],
        size: int | tuple[int, int],
        queue: int,
        key: Callable[[Any], Any] | None,  # Any: the user's jobs and keys
        retries: int,
        effects: Effects | None,
        timeout: float | None,
    ) -> tuple[PoolHandle, list[Any]]:  # Any: Replies with Refs
        check_key(key)
        options = PoolOptions(
            size=size_of(size), queue=queue, retries=retries, effects=effects, timeout=timeout
        )
        spec = as_child(worker)
        pool: Pool | KeyedPool
        if key is None:
            pool = Pool(self.system, name, spec, options)
        else:
            pool = KeyedPool(self.system, name, spec, options, key)
        handle = self._pools[name] = PoolHandle(pool, queue)
        self.crew.pools[name] = handle
        return handle, pool.fill()

    @property
    def pools(self) -> dict[str, PoolHandle]:
        """The pools that were made here and have not ended, by name. Any thread."""
        return {name: it for name, it in list(self._pools.items()) if it.ref.is_alive()}

    def tree(self) -> ActorNode:
        """All actors as one struct: states, mailboxes, what each is doing; `print` draws it."""
        system = self.system
        roots = (system.user.node(), system.infrastructure.node())
        return ActorNode(
            path="/",
            kind=self.name,
            state=ActorState.RUNNING,
            restarts=0,
            mailbox=MailboxStats(depth=0, peak=0, oldest=0.0, accepted=0, refused=0, dropped=0),
            current=None,
            current_age=0.0,
            owed=0,
            background=0,
            abandoned=0,
            last_error=None,
            children=roots,
        )
