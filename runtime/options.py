"""What is given to a call: fields to change for it, and whether it is what it should be."""

from __future__ import annotations

from collections.abc import Iterable
from types import UnionType
from typing import Any

import msgspec

from understudy.actors.kernel.origins import is_named
from understudy.messages.agents import Resume
from understudy.messages.budgets import Account, Budget
from understudy.messages.chat import Message
from understudy.messages.errors import ConfigError
from understudy.messages.kinds import SECONDS


def check(given: object, kind: type | UnionType, problem: str) -> None:
    """Raise ConfigError for what users pass who run no type checker."""
    if not isinstance(given, kind):
        raise ConfigError(problem)


def account_of(budget: Budget) -> Account:
    """The account of what was given as `budget=`."""
    check(budget, Budget, f"budget={budget!r}: give a Budget(...)")
    return budget.account


def messages_of(history: Iterable[Message]) -> tuple[Message, ...]:
    """What was given as `history=`."""
    given: object = history
    remedy = "pass result.messages, or a list of UserMessage, AssistantMessage, ..."
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ConfigError(f"history={type(given).__name__}(...): {remedy}")
    messages = tuple(given)
    for each in messages:
        check(each, Message, f"history=: a {type(each).__name__} is no message; {remedy}")
    return messages


def prompts_of(prompts: Iterable[str]) -> list[str]:
    """What was given as `prompts`: a text is none, though it can be iterated."""
    given: object = prompts
    if isinstance(given, str) or not isinstance(given, Iterable):
        raise ConfigError(f"prompts={given!r}: a list of texts is needed")
    return list(given)


def check_call(
    prompt: str, timeout: float | None, resume: Resume | None, history: tuple[Message, ...]
) -> None:
    """Raise ConfigError for a call of an agent that cannot be."""
    given: object = prompt
    if not isinstance(given, str):
        raise ConfigError(f"an agent takes a text, not a {type(given).__name__}")
    if resume is not None:
        check_resume(resume, prompt, history)
    if timeout is not None and not SECONDS.fits(timeout):
        raise ConfigError(f"timeout={timeout!r}: {SECONDS.needed}")


def check_resume(resume: Resume, prompt: str, history: tuple[Message, ...]) -> None:
    """A run that goes on brings its conversation with it."""
    remedy = "pass result.pending.approve() or result.pending.reject(reason)"
    check(resume, Resume, f"resume={type(resume).__name__}(...): {remedy}")
    if prompt or history:
        msg = "resume= goes on with the conversation that waited: give no prompt and no history="
        raise ConfigError(msg)


def is_turn(session: str, history: tuple[Message, ...]) -> bool:
    """Whether what begins here is a turn of the session in hand; that has a history of its own."""
    named = is_named()
    if named and history:
        msg = (
            f"session={session!r} with history=: the session has its own; give one of them, or "
            "put messages into it with memory.append(...)"
        )
        raise ConfigError(msg)
    return named


def with_changes(spec: Any, changes: dict[str, Any]) -> Any:  # Any: a spec and its fields
    """A copy of `spec` with other fields; a call never changes the spec itself."""
    if not changes:
        return spec
    unknown = sorted(set(changes) - set(spec.__struct_fields__))
    if unknown:
        import difflib

        near = difflib.get_close_matches(unknown[0], spec.__struct_fields__, n=1)
        hint = f"; did you mean {near[0]}=?" if near else ""
        msg = f"{type(spec).__name__} has no option {unknown[0]}={hint}"
        raise ConfigError(msg)
    return msgspec.structs.replace(spec, **changes)
