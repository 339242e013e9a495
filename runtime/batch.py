"""`agent.batch`: several prompts in one request, and each answer checked to be whose it is.

One request for many short prompts saves the instructions, the tools and a round trip for all but
one of them. What cannot be told apart for certain (an id that is missing, unknown or there twice,
an answer that is not of the agent's type) is asked again by itself, so a batch gives what the
prompts one by one would give.

The usage and the cost of the shared request are shared out, so those of the results add up to what
was used. Its tool calls are in each of the results: nobody can say for whom they were.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from understudy.actors.agents.output import output_plan
from understudy.actors.agents.output_batch import Answer, BatchPlan
from understudy.messages.agents import AgentSpec, Result
from understudy.messages.chat import AssistantMessage, Usage, UserMessage
from understudy.messages.errors import ConfigError, ContextWindowError
from understudy.runtime.fan_out import fan_out
from understudy.runtime.options import with_changes
from understudy.runtime.overriding import changes_for

if TYPE_CHECKING:
    from understudy.runtime.runtime import Runtime

_OF_THE_CALL = ("timeout", "budget")
"""Options of a run that are fields of an agent too."""


async def batch(
    rt: Runtime,
    agent: AgentSpec,
    prompts: Sequence[str],
    *,
    size: int,
    max_concurrent: int,
    options: dict[str, Any],  # Any: as for a run
) -> list[Result[Any]]:  # Any: the output's type
    """The results, in the order of the prompts.

    Args:
        rt: runs it.
        agent: what is asked.
        prompts: what for.
        size: prompts in one request, at most.
        max_concurrent: requests at a time.
        options: as for a run.

    Raises:
        ConfigError: `size` is below 1, a prompt is no text, or there is a `resume=`.
        UnderstudyError: the first failure of a request; the others are cancelled.
    """
    if size < 1:
        msg = f"size={size}: at least 1 prompt in a request is needed"
        raise ConfigError(msg)
    if options.get("resume") is not None:
        raise ConfigError("resume= goes on with one run: pass it to run(), not to batch()")
    given: Sequence[object] = prompts
    for each in given:
        if not isinstance(each, str):
            msg = f"an agent takes a text, not a {type(each).__name__}"
            raise ConfigError(msg)
    changes = changes_for(agent)
    if changes:
        agent = with_changes(agent, changes)
        options = {name: value for name, value in options.items() if name not in changes}
    groups = [prompts[at : at + size] for at in range(0, len(prompts), size)]
    found = await fan_out(groups, lambda group: _group(rt, agent, group, options), max_concurrent)
    return [result for group in found for result in group]


async def _group(
    rt: Runtime,
    agent: AgentSpec,
    prompts: Sequence[str],
    options: dict[str, Any],  # Any: as for a run
) -> list[Result[Any]]:  # Any: the output's type
    async def single(prompt: str) -> Result[Any]:  # Any: the output's type
        alone: Result[Any] = await rt.arun(agent, prompt, **options)
        return alone

    if len(prompts) == 1:
        return [await single(prompts[0])]
    fields = set(agent.__struct_fields__) - set(_OF_THE_CALL)
    changes = {name: value for name, value in options.items() if name in fields}
    call = {name: value for name, value in options.items() if name not in fields}
    spec: AgentSpec = with_changes(agent, changes)
    inner = None if spec.output is None or spec.output is str else output_plan(spec.output)
    plan = BatchPlan(prompts, inner)
    longer = None if spec.max_tokens is None else spec.max_tokens * len(prompts)
    asked = replace(spec, output=plan, max_tokens=longer)
    try:
        shared: Result[dict[str, Answer]] = await rt.arun(asked, plan.prompt, **call)
    except ContextWindowError:  # together they are too long
        return await fan_out(prompts, single, len(prompts))
    shares = _shares(shared.usage, len(prompts))
    price = None if shared.cost is None else shared.cost / len(prompts)
    answers = {} if shared.pending is not None else shared.output

    async def one(number: int) -> Result[Any]:  # Any: the output's type
        answer = answers.get(plan.ids[number])
        if answer is not None:
            whole = _split(shared, prompts[number], answer, call)
            return replace(whole, usage=shares[number], cost=price)
        result = await single(prompts[number])
        return replace(
            result,
            usage=result.usage + shares[number],
            cost=None if result.cost is None or price is None else result.cost + price,
            attempts=result.attempts + shared.attempts,
        )

    return await fan_out(range(len(prompts)), one, len(prompts))


def _split(
    shared: Result[Any],  # Any: the answers to all
    prompt: str,
    answer: Answer,
    call: dict[str, Any],  # Any: options of the run
) -> Result[Any]:  # Any: the output's type
    """The result of one prompt, as if it had been alone."""
    said = (UserMessage(content=prompt), AssistantMessage(content=answer.text))
    return replace(
        shared,
        output=answer.value,
        text=answer.text,
        messages=(*call.get("history", ()), *said),
        new_messages=said,
    )


def _shares(usage: Usage, count: int) -> list[Usage]:
    """The usage in parts that add up to it; estimates, since nobody counts by prompt."""

    def part(total: int, number: int) -> int:
        return total * (number + 1) // count - total * number // count

    return [
        Usage(
            input_tokens=part(usage.input_tokens, number),
            output_tokens=part(usage.output_tokens, number),
            cached_tokens=part(usage.cached_tokens, number),
            reasoning_tokens=part(usage.reasoning_tokens, number),
            measured=False,
        )
        for number in range(count)
    ]
