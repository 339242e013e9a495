"""The hands: Tool actors and worker processes that are free, and calls handed to them.

A call takes a free actor, or a new one, and gives it back; so a call costs a message, not a spawn.
One that did not end in time is told to end when it can, and does not come back. Runs on the loop's
thread alone.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import msgspec

from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.options import ChildSpec, MailboxOptions
from understudy.actors.kernel.origins import origin_in_hand, under
from understudy.actors.kernel.ref import Ref
from understudy.actors.kernel.reply import Reply
from understudy.actors.kernel.run_context import RunContext
from understudy.actors.kernel.system import ActorSystem, Guardian
from understudy.actors.tools import remote
from understudy.actors.tools.actor import InlineToolActor, thread_tool
from understudy.actors.tools.gate import Gate, Lease
from understudy.actors.tools.rendering import Tried, render
from understudy.actors.tools.signature import Signature
from understudy.messages.control import ActorState
from understudy.messages.envelope import Origin
from understudy.messages.errors import (
    DeadlineExceededError,
    ToolError,
    UnderstudyError,
)
from understudy.messages.functions import FunctionRef, function_path
from understudy.messages.processes import CallFunction
from understudy.messages.tools import CallTool, LoadTool, ToolSpec

MAX_NESTING = 16
"""Tool calls inside tool calls."""
PROCESSES = 8
"""Worker processes of one runtime."""
LOAD_TIMEOUT = 60.0
"""Seconds that the import of a lazy tool may take."""


class Hands:
    """See the module's docstring.

    Args:
        system: where the actors live.
        process_worker: makes a worker process's actor.
    """

    def __init__(self, system: ActorSystem, process_worker: ChildSpec) -> None:
        self._system = system
        branch = ChildSpec(cls=Guardian, name="tools")
        self._branch: Ref[Guardian] = system.spawn(branch, parent=system.infrastructure).get()
        self._free: dict[type[Actor], list[Ref[Any]]] = defaultdict(list)
        self._process_worker = process_worker.options(restart="permanent")
        self._processes = Gate(system, PROCESSES)

    async def call(self, message: CallTool, seconds: float, lease: Lease | None) -> Tried:
        """Make a call on the loop or on a thread.

        Args:
            message: the call.
            seconds: until it is given up.
            lease: the slot that it holds, which calls inside it are lent.
        """
        around = origin_in_hand() or _NOWHERE
        if around.depth >= MAX_NESTING:
            return Tried(error=ToolError(f"Tool calls nest more than {MAX_NESTING} deep."))
        inline = message.tool.isolation == "inline"
        kind = InlineToolActor if inline else thread_tool(around.depth)
        origin = msgspec.structs.replace(
            around,
            depth=around.depth + 1,
            held=around.held if lease is None else (*around.held, lease),
        )
        ref = self._take(kind)
        with under(origin):
            reply = ref.request(message, timeout=seconds)
        return await self._end(kind, ref, reply)

    async def load(self, spec: ToolSpec) -> tuple[ToolSpec, Signature]:
        """Import the function of a lazy tool.

        Raises:
            UnderstudyError: it cannot be imported, or is no tool.
        """
        kind = thread_tool(0)
        ref = self._take(kind)
        reply = ref.request(LoadTool(tool=spec), timeout=LOAD_TIMEOUT)
        tried = await self._end(kind, ref, reply)
        if not tried.in_time:
            raise ToolError(f"its import took longer than {LOAD_TIMEOUT:g} s")
        if tried.error is not None:
            raise tried.error
        loaded: tuple[ToolSpec, Signature] = reply.outcome().value
        return loaded

    async def call_in_process(
        self, message: CallTool, seconds: float, context: RunContext | None
    ) -> Tried:
        """Make a call in a process of its own, which is killed when it does not end in time."""
        begin = self._system.now()
        lease = await self._processes.enter((), seconds)
        if lease is None:
            return Tried(error=ToolError(f"All {PROCESSES} worker processes are busy."))
        try:
            left = seconds - (self._system.now() - begin)
            return await self._remotely(message, max(0.0, left), context)
        finally:
            lease.gate.leave()

    async def _remotely(
        self, message: CallTool, seconds: float, context: RunContext | None
    ) -> Tried:
        tool, kind = message.tool, self._process_worker.cls
        path = tool.function
        request = CallFunction(
            function=remote.PATH,
            arguments={
                "path": path.path if isinstance(path, FunctionRef) else function_path(path),
                "name": tool.name,
                "arguments": message.call.arguments,
                "context": None if context is None else context.snapshot(),
                "run_id": "" if context is None else context.run_id,
            },
        )
        ref = self._found(kind) or await self._system.spawn(
            self._process_worker, parent=self._branch.cell
        )
        reply = ref.request(request, timeout=seconds)
        try:
            return Tried(rendered=render(await reply))
        except DeadlineExceededError as error:
            return Tried(error=error, in_time=not reply.cancelled)
        except UnderstudyError as error:
            return Tried(error=remote.as_here(error, tool.name))
        finally:
            self._free[kind].append(ref)  # it serves one after the other, and survives a kill

    async def _end(self, kind: type[Actor], ref: Ref[Any], reply: Reply[Any]) -> Tried:
        """The answer of an actor, which is free again then, or told to end.

        Raises:
            BaseException: this task was cancelled, or the work around it.
        """
        try:
            value = await reply
        except BaseException as error:
            if reply.cancelled:
                ref.stop()
                if isinstance(error, DeadlineExceededError):
                    return Tried(error=error, in_time=False)
                raise
            self._free[kind].append(ref)
            if reply.outcome().error is not error:
                raise  # ours, in the very turn in which it was answered
            return Tried(error=error)
        self._free[kind].append(ref)
        return Tried(rendered=value)

    def _take(self, kind: type[Actor]) -> Ref[Any]:
        """A free actor, or a new one; these have nothing to do when they start."""
        ref = self._found(kind)
        if ref is None:
            spec = ChildSpec(cls=kind, restart="temporary", mailbox=MailboxOptions(capacity=2))
            ref = self._system.spawn(spec, parent=self._branch.cell).get()
        return ref

    def _found(self, kind: type[Actor]) -> Ref[Any] | None:
        free = self._free[kind]
        while free:
            ref = free.pop()
            if ref.state == ActorState.RUNNING:
                return ref
        return None


_NOWHERE = Origin()


def held() -> tuple[Any, ...]:  # Any: leases
    """The slots that the calls around this one hold."""
    return (origin_in_hand() or _NOWHERE).held
