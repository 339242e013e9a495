"""The error tree, drawn once.

    UnderstudyError
    +-- ConfigError                 a mistake in code, TOML, environment; `problems` lists them all
    +-- WorkflowError               a step failed: `step`, `cause`
    +-- WorkflowComplete            no failure: raised to end a workflow early with its `value`
    +-- ToolError                   a tool failed; its text goes to the model as data
    +-- ModelError                  a model call failed: `provider`, `model`, `status`, `request_id`
    |   +-- AuthenticationError     401, 403, no key
    |   +-- RateLimitError          429, or a permit that cannot come before the deadline
    |   +-- ServerError             5xx, 529
    |   +-- ContextWindowError      the prompt is longer than the model takes
    |   +-- BadRequestError         400, 404, 413, 422
    |   +-- ContentFilterError      the provider refused to answer
    |   +-- ConnectError            no connection: refused, DNS, TLS, proxy
    |   +-- ResponseError           what came back cannot be understood, or is too large
    |   +-- OutputError             not the `output=` type, twice
    |   +-- StreamBrokenError       the stream ended before its end marker; `partial` is what came
    +-- OverloadedError             no slot, thread, worker or place in a queue; `chain`
    |   +-- BreakerOpenError
    +-- StreamError                 `reason`: lagged | idle
    +-- CodecError                  bytes that are too large, too deep or not of the type
    +-- StorageError                a file that is damaged, locked, full, or of another kind
    +-- DeadlineExceededError       (also a TimeoutError)
    +-- RunCancelledError
    +-- MailboxFullError
    +-- UnhandledMessageError       the actor has no handler for this message
    +-- ActorDeadError
    +-- ActorRestartedError
    +-- DeadlockError               `cycle` names the actors
    +-- WouldDeadlockError          a blocking call on the loop it waits for; names the twin
    +-- RuntimeStoppedError
    +-- HookError                   a hook of an agent raised: `hook`; its error is the cause
    +-- BudgetExceededError         `partial` is the result so far
        +-- TurnsExceededError      the model still called tools after `max_turns`

Facts travel as attributes. A class attribute is the default of a fact, so an error object holds
only the facts it was given; that dictionary is also its wire form (`to_wire`, `from_wire`) and what
pickle keeps. A generated dataclass per error would repeat the same six fields thirty times.
"""

from __future__ import annotations

from typing import Any

import msgspec

from understudy.messages.words import repr_of, text_of


class UnderstudyError(Exception):
    """Root of every error that this library raises on purpose.

    Args:
        message: one sentence that names the thing and, where there is one, the remedy.
        facts: attributes of the error; only names that the class declares are taken.
    """

    retryable: bool = False
    """True when trying again may help and nobody below has given up yet."""
    retry_after: float | None = None
    """Seconds to wait before trying again, when somebody said so."""
    status: int | None = None
    """HTTP status, where there was one."""
    attempts: int = 0
    """How often the owner of this failure has tried (0: it does not count)."""
    partial: Any = None  # Any: text of a stream, or a partial Result
    """What had arrived when it failed."""
    usage: Any = None  # Any: a Usage, which is defined on top of the errors
    """Tokens that were used although it failed: of all attempts, or of the whole run."""
    actor: str | None = None
    """Path of the actor concerned."""
    run_id: str | None = None

    def __init__(self, message: str = "", /, **facts: Any) -> None:  # Any: facts differ by class
        super().__init__(message)
        for name, value in facts.items():
            if not _is_fact(type(self), name):
                msg = f"{type(self).__name__} has no fact named {name!r}"
                raise TypeError(msg)
            setattr(self, name, value)

    @property
    def message(self) -> str:
        """The sentence, without the facts."""
        return str(self.args[0]) if self.args else ""

    def __reduce__(self) -> tuple[Any, ...]:  # Any: pickle's protocol
        return _rebuild, (type(self), self.message, dict(self.__dict__))


class ConfigError(UnderstudyError):
    """A mistake in code, TOML or environment; `problems` lists them all, a line each."""

    problems: tuple[str, ...] = ()


class WorkflowError(UnderstudyError):
    """A step failed for good: `step` is its path, `cause` what it raised."""

    step: str | None = None
    cause: BaseException | None = None


class WorkflowComplete(UnderstudyError):  # noqa: N818 - it is no error: it ends a workflow well
    """Raise it in a step, in a tool of its agent or in a function: the workflow is complete.

    The innermost workflow around it ends with `value` as its output: steps that run are cancelled,
    the others are skipped, and `completed_early` of the result names the step.
    """

    value: Any = None  # Any: what the workflow gives

    def __init__(self, value: Any = None, /, **facts: Any) -> None:  # Any: facts differ by class
        told = value if isinstance(value, str) else "the workflow is complete"
        super().__init__(told, **{"value": value, **facts})


class ToolError(UnderstudyError):
    """A tool failed; the message goes to the model as data."""

    tool: str | None = None


class ModelError(UnderstudyError):
    """A model call failed; the class says how, the facts say where."""

    provider: str | None = None
    model: str | None = None
    request_id: str | None = None
    code: str | None = None


class AuthenticationError(ModelError):
    """The provider does not know the key, or there is none (401, 403)."""


class RateLimitError(ModelError):
    """Too many requests (429), or a permit that cannot come before the deadline.

    `spent` is True when the account's quota or budget is used up: waiting does not help.
    """

    spent: bool = False


class ServerError(ModelError):
    """The provider failed (5xx, 529)."""


class ContextWindowError(ModelError):
    """The prompt is longer than the model takes."""


class BadRequestError(ModelError):
    """The provider refused the request as it stands (400, 404, 413, 422)."""


class ContentFilterError(ModelError):
    """The provider refused to answer."""


class ConnectError(ModelError):
    """No connection: refused, DNS, TLS or proxy."""


class ResponseError(ModelError):
    """What came back cannot be understood, or is too large."""


class OutputError(ModelError):
    """The answer was not of the `output=` type, twice; `partial` is the text of the last one."""

    problem: str | None = None
    """What was wrong with it."""


class StreamBrokenError(ModelError):
    """The stream ended before its end marker; `partial` is the text that came."""


class OverloadedError(UnderstudyError):
    """No slot, thread, worker or place in a queue; `chain` names who holds them."""

    retryable = True
    chain: tuple[str, ...] = ()


class BreakerOpenError(OverloadedError):
    """The breaker is open: the calls before failed, so this one was not made."""


class StreamError(UnderstudyError):
    """A reader lost its stream; `reason` is `lagged` or `idle`."""

    reason: str | None = None


class CodecError(UnderstudyError):
    """A value that does not encode, or bytes that are too large, too deep or not of the type."""


class StorageError(UnderstudyError):
    """A file that cannot be used, or not now (`retryable`); says why and what helps."""


class DeadlineExceededError(UnderstudyError, TimeoutError):
    """The deadline passed before there was an answer."""


class RunCancelledError(UnderstudyError):
    """The work was cancelled."""


class MailboxFullError(UnderstudyError):
    """The receiver's mailbox is full and its policy is to refuse."""

    retryable = True


class UnhandledMessageError(UnderstudyError):
    """The actor has no handler for this message; not a failure of the actor."""


class ActorDeadError(UnderstudyError):
    """The receiver has ended and will not come back."""


class ActorRestartedError(UnderstudyError):
    """The receiver was restarted while it held this message."""

    retryable = True


class DeadlockError(UnderstudyError):
    """The request would wait for itself; `cycle` names the actors."""

    cycle: tuple[str, ...] = ()


class WouldDeadlockError(UnderstudyError):
    """A blocking call on the thread of the loop it would have to wait for."""


class RuntimeStoppedError(UnderstudyError):
    """The runtime has stopped, or is stopping and takes no new work."""


class HookError(UnderstudyError):
    """A hook of an agent raised; `hook` is its field (`before_model`), `__cause__` its error."""

    hook: str | None = None


class BudgetExceededError(UnderstudyError):
    """The budget is spent; `partial` is the result so far."""


class TurnsExceededError(BudgetExceededError):
    """The model still called tools after `max_turns`; `partial` is the result so far."""


class ErrorInfo(msgspec.Struct, frozen=True, kw_only=True):
    """An error on the wire: the public class name, its sentence, the facts that encode."""

    type: str
    message: str
    facts: dict[str, Any] = {}  # Any: whatever a fact is; only plain values are kept
    cause: ErrorInfo | None = None


def to_wire(error: BaseException) -> ErrorInfo:
    """Describe any exception as data; facts that are not plain values become text."""
    facts: dict[str, Any] = {}  # Any: see ErrorInfo.facts
    cause: ErrorInfo | None = None
    if isinstance(error, UnderstudyError):
        for name, value in error.__dict__.items():
            if name.startswith("_"):
                continue
            if isinstance(value, BaseException):
                cause = to_wire(value)
            else:
                facts[name] = _plain(value)
    return ErrorInfo(
        type=_public(type(error)).__name__, message=_sentence(error), facts=facts, cause=cause
    )


def from_wire(info: ErrorInfo) -> UnderstudyError:
    """Rebuild an error; a foreign type becomes `UnderstudyError` with its name in the sentence."""
    kind = ERRORS.get(info.type)
    if kind is None:
        return UnderstudyError(f"{info.type}: {info.message}")
    facts = {name: value for name, value in info.facts.items() if _is_fact(kind, name)}
    for name, value in facts.items():
        if isinstance(value, list):
            facts[name] = tuple(value)
    if isinstance(facts.get("usage"), dict):
        from understudy.messages.chat import Usage

        facts["usage"] = msgspec.convert(facts["usage"], Usage)
    if info.cause is not None and issubclass(kind, WorkflowError):
        facts["cause"] = from_wire(info.cause)
    return kind(info.message, **facts)


def _is_fact(kind: type[UnderstudyError], name: str) -> bool:
    """True for the data attributes that our classes declare; not for what Exception brings."""
    for base in kind.__mro__:
        if name in vars(base):
            value = vars(base)[name]
            return (
                issubclass(base, UnderstudyError)
                and not name.startswith("_")
                and not isinstance(value, property)
            )
    return False


def _plain(value: object) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return float(value)
    if isinstance(value, int):
        return int(value) if -(2**63) <= value < 2**64 else str(value)
    if isinstance(value, str):
        return _text(value)
    if isinstance(value, (tuple, list)):
        return tuple(_plain(item) for item in value)
    if isinstance(value, dict):
        return {_text(str(key)): _plain(item) for key, item in value.items()}
    if isinstance(value, msgspec.Struct) and hasattr(value, "total_tokens"):
        return msgspec.to_builtins(value)  # a Usage; others may hold what is nobody's business
    return _text(repr_of(value))


def _sentence(error: BaseException) -> str:
    return _text(error.message if isinstance(error, UnderstudyError) else text_of(error))


def _text(value: str) -> str:
    """Text that encodes: file names that are not UTF-8 reach messages as lone surrogates."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8")


def _public(kind: type[BaseException]) -> type[BaseException]:
    """The kernel raises subclasses that are also pykka's; on the wire they bear the public name."""
    for base in kind.__mro__:
        if ERRORS.get(base.__name__) is base:
            return base
    return kind


def _rebuild(kind: type[UnderstudyError], message: str, facts: dict[str, Any]) -> UnderstudyError:
    error = kind(message)
    error.__dict__.update(facts)
    return error


def _tree(kind: type[UnderstudyError]) -> dict[str, type[UnderstudyError]]:
    found = {kind.__name__: kind}
    for child in kind.__subclasses__():
        found |= _tree(child)
    return found


ERRORS: dict[str, type[UnderstudyError]] = _tree(UnderstudyError)
"""Every public error by name, as the wire form spells it."""
