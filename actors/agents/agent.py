"""The Agent actor: one run at a time, from prompt to result.

It asks the Model actor and awaits it, because one actor serves one conversation; the loop itself is
`loop.converse`. Around it are the things that a run has as a whole: its place among the runs of its
name, its budget, and what it still says when it fails. A run that fails is the caller's answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from understudy.actors.agents.loop import converse
from understudy.actors.agents.ports import Company
from understudy.actors.agents.progress import Progress
from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.context import in_hand
from understudy.actors.kernel.ref import Ref
from understudy.messages.agents import AgentSpec, Result, RunAgent
from understudy.messages.budgets import Account
from understudy.messages.envelope import Envelope, Lane, Origin
from understudy.messages.errors import OverloadedError, UnderstudyError
from understudy.messages.limits import Acquire, Permit, Settle

MAX_DEPTH = 8
"""Agents that call agents that call agents."""

_NOWHERE = Origin()


class AgentActor(Actor):
    """Runs agents; after each run it is free again (`release`), unless it has failed."""

    expects = (UnderstudyError,)

    def __init__(self, company: Company, release: Callable[[Ref[Any]], None]) -> None:
        self._company = company
        self._release = release
        self.run: Progress | None = None
        """The run in hand: what it has so far, for whoever ends it from outside."""
        self._tickets = 0

    async def on_receive(self, message: RunAgent) -> Result[Any]:  # Any: the output's type
        """Run once."""
        try:
            result = await self._begin(message)
        except UnderstudyError as error:
            if self.run is not None:
                self.run.blame(error)
            self.run = None
            self._release(self._cell.ref)
            raise
        except asyncio.CancelledError:
            self.run = None
            self._release(self._cell.ref)
            raise
        self.run = None
        self._release(self._cell.ref)
        return result

    def _begin(self, message: RunAgent) -> Awaitable[Result[Any]]:  # Any: the output's type
        """The run that is to be awaited.

        Raises:
            OverloadedError: see `_around`.
        """
        system, spec = self._cell.system, message.spec
        hand = in_hand.get()
        origin = _NOWHERE if hand is None or hand.origin is None else hand.origin
        bounded = spec.rate_limit is not None or spec.max_concurrent is not None
        plain = not (spec.tools or spec.hooks or spec.budget or bounded)
        if not plain:
            origin = _around(spec, origin)
            if hand is not None:
                hand.origin = origin  # what the tools of this run begin is inside of it
        self.run = run = Progress(message, origin, system.now, self._company.price_of)
        if message.memory is not None:
            return self._remembering(run, bounded=bounded or spec.budget is not None)
        if spec.budget is None and not bounded:
            return converse(self._company, run)
        return self._bounded(run)

    async def _remembering(
        self, run: Progress, *, bounded: bool
    ) -> Result[Any]:  # Any: the output's type
        """The run between what its memory has for it and what it leaves there."""
        from understudy.actors.agents.remembering import keep, keep_failed, recollect

        company = self._company
        try:
            await recollect(run, company.tokenizer)
            result = await (self._bounded(run) if bounded else converse(company, run))
        except (UnderstudyError, asyncio.CancelledError) as error:
            keep_failed(run, error)
            raise
        await keep(run, result)
        return result

    async def _bounded(self, run: Progress) -> Result[Any]:  # Any: the output's type
        """The run with its own budget, in its turn among the runs of its name."""
        spec, now, origin = run.message.spec, self._cell.system.now, run.origin
        account: Account | None = None if spec.budget is None else origin.accounts[-1]
        limiter = self._company.limiter_of(spec, origin.agents[:-1])
        self._tickets += 1
        ticket = f"{self._cell.path}/{self._cell.incarnation}#{self._tickets}"
        try:
            if limiter is not None:
                tenant, session = origin.tenant, origin.session or origin.trace_id or ""
                permit: Permit = await limiter.request(
                    Acquire(ticket=ticket, tenant=tenant, session=session)
                )
                run.waited = permit.waited
            if account is not None:
                account.begin(now())
            try:
                return await converse(self._company, run)
            finally:
                if account is not None:
                    account.end(now())
        finally:
            if limiter is not None:
                # On its own behalf: the run may have been cancelled, and this has to arrive.
                cell = limiter.cell
                cell.post(Envelope(Settle(ticket=ticket), cell=cell, lane=Lane.ANSWER))


def _around(spec: AgentSpec, origin: Origin) -> Origin:
    """The origin of what a run begins: it knows the agent, and charges its budget.

    Raises:
        OverloadedError: agents call each other too deep.
    """
    bounded = spec.rate_limit is not None or spec.max_concurrent is not None
    name = spec.name or (spec.identity if bounded else "agent")
    chain = (*origin.agents, name)
    if len(chain) > MAX_DEPTH + 1:
        msg = f"agents call each other more than {MAX_DEPTH} deep: {' -> '.join(chain)}"
        raise OverloadedError(msg, retryable=False, chain=chain)
    accounts = origin.accounts
    if spec.budget is not None:
        accounts = (*accounts, Account(spec.budget))
    return msgspec.structs.replace(origin, agents=chain, accounts=accounts)
