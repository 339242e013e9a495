"""`ProcessWorker`: calls functions in a process of its own, which is killed when it must end.

    ref = rt.spawn(child(ProcessWorker))
    ref.ask(CallFunction(function="math:factorial", arguments={...}, timeout=5.0))

A thread cannot be interrupted in a blocking call, a process can: when the message is cancelled, or
its deadline or `timeout` passes, the process and everything it started get SIGKILL within
milliseconds, whatever they are doing, and the next call gets a fresh one.

Guarantees
- The process is warm: it serves one call after the other until it is killed, dies or has served
  `max_calls`. What a function leaves in it (modules, globals, threads) is there for the next.
- A process that dies (`os._exit`, a segmentation fault, the memory killer) is an error that names
  the exit status or the signal, never a hang. It is the function's failure, not the actor's.
- It ends with this life of the actor: closed and then killed at a stop or a restart, killed at once
  by a kill. It does not outlive our process.
- No thread: sockets and a pidfd on the runtime's loop.

Assumptions: POSIX; functions are importable there as they are here; arguments and results encode.
It keeps a hung or crashing function away from us. It is no sandbox: same user, same files.

Why own code: see docs/adr/003-process-workers.md. In short, what there is sends pickles, hands down
the whole environment, kills only by ending a whole pool, or brings three threads.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.body import KILL
from understudy.actors.kernel.cell import Cell
from understudy.actors.kernel.context import in_hand
from understudy.actors.kernel.errors import DeadlineExceededError
from understudy.actors.processes.process import WorkerProcess
from understudy.actors.processes.requests import decode_answer, encode_call, error_of
from understudy.actors.processes.starting import start_gate
from understudy.messages.errors import CodecError, ConfigError, UnderstudyError
from understudy.messages.processes import CallFunction, Raised


class ProcessWorker(Actor):
    """See the module's docstring.

    Args:
        env: variables for the process on top of the few it inherits (PATH, HOME, LANG, LC_*,
            PYTHON*, TMPDIR, VIRTUAL_ENV, SYSTEMROOT).
        max_calls: a fresh process after so many; None keeps it.
        warm: start the process with the actor, so that the spawner hears when that fails; False
            starts it with the first call.

    Raises:
        ConfigError: an argument is wrong, or this is not a POSIX system.
    """

    expects = (UnderstudyError,)

    def __init__(
        self,
        *,
        env: Mapping[str, str] | None = None,
        max_calls: int | None = None,
        warm: bool = True,
    ) -> None:
        if sys.platform == "win32":
            raise ConfigError(
                "ProcessWorker needs process groups, which Windows has not; "
                "use isolation='thread' there"
            )
        if max_calls is not None and max_calls < 1:
            raise ConfigError(f"ProcessWorker(max_calls={max_calls}): at least 1 is needed")
        given: Mapping[str, object] = env or {}
        for name, value in given.items():
            if not isinstance(value, str):
                kind = type(value).__name__
                raise ConfigError(f"ProcessWorker(env=...): {name!r} is a {kind}, not a text")
        self._env = dict(env or {})
        self._max_calls = max_calls
        self._warm = warm
        self._number = 0
        self._process: WorkerProcess | None = None

    async def on_start(self) -> None:
        """Start the process, if it is to be warm."""
        if self._warm:
            await self._usable()

    async def on_receive(self, message: CallFunction) -> Any:  # Any: what the function returns
        """Call the function; its errors are answers."""
        self._number += 1
        request = encode_call(self._number, message)
        try:
            async with asyncio.timeout(self._limit(message)):
                process = await self._usable()
                data = await process.call(request, message.function)
        except TimeoutError:
            msg = f"{message.function} did not return in time; its process was killed"
            raise DeadlineExceededError(msg, actor=self._cell.path) from None
        try:
            answer = decode_answer(data, self._number, message.function)
        except CodecError:
            process.kill()
            raise
        if isinstance(answer, Raised):
            raise error_of(answer, message.function)
        return answer.value

    async def on_stop(self) -> None:
        """Its process was told to end when this life ended: wait until it has."""
        if self._process is not None:
            await asyncio.shield(self._process.ended)

    async def _usable(self) -> WorkerProcess:
        """The process, a fresh one if there is none or it has served its time."""
        process = self._process
        if process is not None and process.usable:
            if self._max_calls is None or process.calls < self._max_calls:
                return process
            process.close()
        cell = self._cell
        async with start_gate(cell.system):
            process = self._process = WorkerProcess(cell.system, cell.path, self._env)
            _Tie(cell, process).bind()
            await process.ready()
        return process

    def _limit(self, message: CallFunction) -> float | None:
        """Seconds for the call.

        The deadline of a request cancels this handler anyway. A message nobody waits for has a
        deadline that nobody watches.
        """
        hand = in_hand.get()
        if hand is None or hand.deadline is None or hand.reply is not None:
            return message.timeout
        left = max(0.0, hand.deadline - self._cell.system.now())
        return left if message.timeout is None else min(left, message.timeout)


class _Tie:
    """Ties a process to one life of the actor, as timers are: the kernel cancels it at the end.

    `on_stop` alone would not do: it is not called when the actor crashes or is killed.
    """

    __slots__ = ("_cell", "_process")

    def __init__(self, cell: Cell, process: WorkerProcess) -> None:
        self._cell = cell
        self._process = process

    def bind(self) -> None:
        """From now until the process has ended."""
        timers = self._cell.timers
        if timers is None:
            timers = self._cell.timers = {}
        timers[id(self)] = self
        self._process.ended.add_done_callback(lambda _: timers.pop(id(self), None))

    def cancel(self) -> None:
        """This life is over."""
        if self._cell.stopping == KILL:
            self._process.end()
        else:
            self._process.close()
