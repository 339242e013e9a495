"""The loop of an agent: model, tools, model, tools ... until there is an answer.

    history and prompt -> model -> tool calls, all at once -> model -> ... -> Result

It ends with a text, with a tool call that waits for approval (`Result.pending`), or with an error
that says what there was so far: the turns are used up, a budget is spent, a hook or the last model
failed. Only a model's own function calls count as calls; prose that looks like one is prose.

A feature that a run does not use costs it nothing: without tools, hooks and budget it is one
request and its answer.
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any

from understudy.actors.agents.asking import Asking
from understudy.actors.agents.calling import Calling
from understudy.actors.agents.ports import Company
from understudy.actors.agents.progress import Progress
from understudy.actors.agents.spending import check_spent
from understudy.messages.agents import AgentSpec, Pending, Result
from understudy.messages.chat import AssistantMessage, Message, UserMessage
from understudy.messages.chunks import AgentFinished, AgentStarted
from understudy.messages.errors import ConfigError, ResponseError, TurnsExceededError
from understudy.messages.models import Complete, Completion

if TYPE_CHECKING:
    from understudy.actors.agents.output import OutputPlan


def converse(company: Company, run: Progress) -> Awaitable[Result[Any]]:  # Any: the output's type
    """The conversation of a run, to be awaited to its end.

    Each coroutine that only awaits another one is one more for every run that waits, so this one
    and `Asking.ask` only choose.

    Raises:
        UnderstudyError: what went wrong; see `Progress.blame` for what it says about the run.
    """
    message = run.message
    spec = message.spec
    calling = Calling(company, run) if spec.tools else None
    declared = () if calling is None else calling.declarations
    if message.resume is None:
        run.added = (UserMessage(content=message.prompt),)
    else:
        run.turns = message.resume.pending.turns
    plan = None if spec.output is None or spec.output is str else _plan(spec)
    before = run.before
    messages = (*before, *run.added) if before else run.added
    answers = company.answers_of(spec)
    asking = Asking(company, run, messages, declared, plan, answers=answers)
    if message.sink is None and message.resume is None:
        return _turns(asking, calling, run, plan)
    return _told(asking, calling, run, plan)


async def _told(
    asking: Asking, calling: Calling | None, run: Progress, plan: OutputPlan | None
) -> Result[Any]:  # Any: the output's type
    """The turns of a run that is streamed, or that goes on with one which waited."""
    message = run.message
    if message.sink is not None:
        await _started(run)
    if message.resume is not None:
        await _resume(asking, calling, run)
    result = await _turns(asking, calling, run, plan)
    if message.sink is not None:
        await _finished(run)
    return result


async def _turns(
    asking: Asking, calling: Calling | None, run: Progress, plan: OutputPlan | None
) -> Result[Any]:  # Any: the output's type
    """Ask and call until the model has no more to call."""
    accounts = run.origin.accounts
    while True:
        run.turns += 1
        completion = await asking.ask()
        turn = completion.message
        if not turn.tool_calls:
            if plan is not None:
                return await _shaped(asking, run, plan, completion)
            run.added += (turn,)
            if accounts:
                check_spent(run)
            return run.result()
        if accounts:
            check_spent(run)
        answers = await _call(calling, run, completion)
        if isinstance(answers, Pending):
            return run.result(pending=answers)
        _add(asking, run, (turn, *answers))


async def _shaped(
    asking: Asking, run: Progress, plan: OutputPlan, completion: Completion
) -> Result[Any]:  # Any: the output's type
    """The answer as the agent's `output=` type; the model is asked once more where it is none."""
    from understudy.actors.agents.output import shaped

    async def again(request: Complete) -> Completion:
        run.turns += 1
        return await asking.ask(request, streamed=False)

    made = await shaped(plan, asking.request, completion, again)
    run.added += made.said
    if run.origin.accounts:
        check_spent(run)
    return run.result(output=made.value)


async def _call(
    calling: Calling | None, run: Progress, completion: Completion
) -> tuple[Message, ...] | Pending:
    turn = completion.message
    if calling is None:
        raise _uncalled(run, completion)
    if run.turns >= run.message.spec.max_turns:
        names = ", ".join(dict.fromkeys(call.name for call in turn.tool_calls))
        msg = (
            f"after {run.turns} turns (max_turns) the model still wants to call {names}; the "
            "result so far is in .partial"
        )
        raise TurnsExceededError(msg, partial=run.result(), usage=run.usage)
    run.calling = turn
    answers = await calling.answer(turn)
    run.calling = None
    return answers


async def _resume(asking: Asking, calling: Calling | None, run: Progress) -> None:
    """Make the calls that were approved, and tell the model about the others."""
    resume = run.message.resume
    if resume is None or calling is None:
        names = "" if resume is None else ", ".join(each.name for each in resume.pending.calls)
        msg = f"resume=: this agent has no tools, and {names} waits to be called"
        raise ConfigError(msg)
    messages = resume.pending.messages
    last = messages[-1] if messages else None
    run.calling = last if isinstance(last, AssistantMessage) else None
    answers = await calling.resume(resume)
    run.calling = None
    _add(asking, run, answers)


def _add(asking: Asking, run: Progress, messages: tuple[Message, ...]) -> None:
    run.added += messages
    asking.more(messages)


def _uncalled(run: Progress, completion: Completion) -> ResponseError:
    """A model that calls what nobody has declared."""
    names = ", ".join(call.name for call in completion.message.tool_calls)
    served = run.served
    whose = completion.provider if served is None else f"{served.provider}:{served.model}"
    return ResponseError(
        f"{whose} calls {names}, but this agent has no tools",
        provider=completion.provider,
        model=completion.model if served is None else served.model,
        request_id=completion.request_id,
        partial=completion.message.content or None,
    )


def _plan(spec: AgentSpec) -> OutputPlan:
    from understudy.actors.agents.output import output_plan

    return output_plan(spec.output, spec.name)


def _name(run: Progress) -> str:
    served = run.served
    return run.message.spec.name or ("agent" if served is None else served.model)


async def _started(run: Progress) -> None:
    sink, name, run_id = run.message.sink, _name(run), run.origin.run_id or ""
    await sink.put(lambda i: AgentStarted(name=name, run_id=run_id, index=i, at=sink.at))


async def _finished(run: Progress) -> None:
    sink, name, run_id = run.message.sink, _name(run), run.origin.run_id or ""
    usage = run.total
    await sink.put(
        lambda i: AgentFinished(name=name, run_id=run_id, usage=usage, index=i, at=sink.at)
    )
