"""The Agent actor: one run at a time, from prompt to result.

It asks the Model actor and awaits it, because one actor serves one conversation. What it says about
usage, attempts and time is what the model reported. A run that fails is the caller's answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from understudy.actors.agents.ports import Models, Sampling, ServedModel, Sink
from understudy.actors.kernel.actor import Actor
from understudy.actors.kernel.context import in_hand
from understudy.actors.kernel.ref import Ref
from understudy.messages.agents import AgentSpec, Result, RunAgent
from understudy.messages.chat import Message, SystemMessage, UserMessage
from understudy.messages.chunks import AgentFinished, AgentStarted
from understudy.messages.envelope import Origin
from understudy.messages.errors import ContentFilterError, ResponseError, UnderstudyError
from understudy.messages.models import Complete, CompleteStream, Completion

if TYPE_CHECKING:
    from understudy.actors.agents.output import OutputPlan, Shaped


class AgentActor(Actor):
    """Runs agents; after each run it is free again (`release`), unless it has failed."""

    expects = (UnderstudyError,)

    def __init__(self, models: Models, release: Callable[[Ref[Any]], None]) -> None:
        self._models = models
        self._release = release

    async def on_receive(self, message: RunAgent) -> Result[Any]:  # Any: the output's type
        """Run once."""
        try:
            result = await self._run(message)
        except (UnderstudyError, asyncio.CancelledError):
            self._release(self.ref)
            raise
        self._release(self.ref)
        return result

    async def _run(self, message: RunAgent) -> Result[Any]:  # Any: the output's type
        now = self._cell.system.now
        begin = now()
        spec = message.spec
        served = self._models.find(spec)
        prompt = UserMessage(content=message.prompt)
        plan = None if spec.output is None or spec.output is str else _plan(spec)
        request = _request(spec, self._models.defaults, served.model, message.history, prompt)
        if plan is not None:
            request = replace(request, output=plan.request)
        if message.sink is None:
            completion: Completion = await served.ref.request(request)
        else:
            completion = await self._streamed(message, served, request)
        _check(completion, served.provider, served.model)
        if plan is None:
            answer = completion.message
            return _result(message, (prompt, answer), answer.content, completion, now() - begin)
        made = await self._shaped(plan, served, request, completion)
        said = (prompt, *made.said)
        return _result(message, said, made.value, made.completion, now() - begin)

    async def _shaped(
        self, plan: OutputPlan, served: ServedModel, request: Complete, completion: Completion
    ) -> Shaped:
        from understudy.actors.agents.output import shaped

        async def ask(again: Complete) -> Completion:
            second: Completion = await served.ref.request(again)
            _check(second, served.provider, served.model)
            return second

        return await shaped(plan, request, completion, ask)

    async def _streamed(
        self, message: RunAgent, served: ServedModel, request: Complete
    ) -> Completion:
        sink: Sink = message.sink
        name = message.spec.name or served.model
        run_id = _origin().run_id or ""
        await sink.put(lambda i: AgentStarted(name=name, run_id=run_id, index=i, at=sink.at))
        completion: Completion = await served.ref.request(
            CompleteStream(request=request, sink=sink)
        )
        usage = completion.usage
        await sink.put(
            lambda i: AgentFinished(name=name, run_id=run_id, usage=usage, index=i, at=sink.at)
        )
        return completion


def _origin() -> Origin:
    hand = in_hand.get()
    return Origin() if hand is None or hand.origin is None else hand.origin


def _request(
    spec: AgentSpec,
    defaults: Sampling,
    model: str,
    history: tuple[Message, ...],
    prompt: UserMessage,
) -> Complete:
    messages: tuple[Message, ...] = (*history, prompt)
    if spec.instructions is not None and not any(isinstance(m, SystemMessage) for m in history):
        messages = (SystemMessage(content=spec.instructions), *messages)
    return Complete(
        model=model,
        messages=messages,
        temperature=defaults.temperature if spec.temperature is None else spec.temperature,
        max_tokens=spec.max_tokens or defaults.max_tokens,
        stop=spec.stop,
        seed=spec.seed,
        extra=spec.extra,
    )


def _check(completion: Completion, provider: str, model: str) -> None:
    facts: dict[str, Any] = {  # Any: facts of errors
        "provider": provider,
        "model": model,
        "request_id": completion.request_id,
        "partial": completion.message.content or None,
    }
    if completion.finish_reason == "content_filter":
        msg = (
            f"{provider}:{model} refused to answer (content filter); word the prompt otherwise, "
            "or use another model"
        )
        raise ContentFilterError(msg, **facts)
    if completion.message.tool_calls:
        names = ", ".join(call.name for call in completion.message.tool_calls)
        msg = f"{provider}:{model} calls {names}, but this agent has no tools"
        raise ResponseError(msg, **facts)


def _plan(spec: AgentSpec) -> OutputPlan:
    from understudy.actors.agents.output import output_plan

    return output_plan(spec.output, spec.name)


def _result(
    message: RunAgent,
    said: tuple[Message, ...],
    output: Any,  # Any: the output's type
    completion: Completion,
    duration: float,
) -> Result[Any]:  # Any: the output's type
    origin = _origin()
    first = None if message.sink is None else message.sink.first_at
    return Result(
        output=output,
        text=completion.message.content,
        messages=(*message.history, *said),
        new_messages=said,
        usage=completion.usage,
        duration=duration,
        time_to_first_token=first,
        finish_reason=completion.finish_reason,
        model=completion.model,
        provider=completion.provider,
        attempts=completion.attempts,
        run_id=origin.run_id or "",
        trace_id=origin.trace_id or "",
    )
