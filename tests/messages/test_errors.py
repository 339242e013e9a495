"""The error tree: complete, with facts, picklable, and the same after a trip over the wire."""

import pickle

import msgspec
import pytest

from understudy.messages import errors
from understudy.messages.errors import ERRORS, ErrorInfo, UnderstudyError, from_wire, to_wire

PUBLIC = {
    "ConfigError": "UnderstudyError",
    "WorkflowError": "UnderstudyError",
    "ToolError": "UnderstudyError",
    "ModelError": "UnderstudyError",
    "AuthenticationError": "ModelError",
    "RateLimitError": "ModelError",
    "ServerError": "ModelError",
    "ContextWindowError": "ModelError",
    "BadRequestError": "ModelError",
    "ContentFilterError": "ModelError",
    "ConnectError": "ModelError",
    "ResponseError": "ModelError",
    "OutputError": "ModelError",
    "StreamBrokenError": "ModelError",
    "OverloadedError": "UnderstudyError",
    "BreakerOpenError": "OverloadedError",
    "StreamError": "UnderstudyError",
    "CodecError": "UnderstudyError",
    "DeadlineExceededError": "UnderstudyError",
    "RunCancelledError": "UnderstudyError",
    "MailboxFullError": "UnderstudyError",
    "ActorDeadError": "UnderstudyError",
    "ActorRestartedError": "UnderstudyError",
    "DeadlockError": "UnderstudyError",
    "WouldDeadlockError": "UnderstudyError",
    "RuntimeStoppedError": "UnderstudyError",
    "BudgetExceededError": "UnderstudyError",
}


@pytest.mark.parametrize(("name", "parent"), PUBLIC.items())
def test_every_public_error_stands_in_its_place_of_the_tree(name: str, parent: str) -> None:
    """Each error that users catch exists, under the parent that the documents promise."""
    assert ERRORS[name].__bases__[0] is ERRORS[parent]
    assert getattr(errors, name) is ERRORS[name]
    assert name in (errors.__doc__ or "")


def test_a_deadline_is_also_a_timeout() -> None:
    """Who catches the built-in TimeoutError catches ours."""
    assert issubclass(errors.DeadlineExceededError, TimeoutError)


def test_facts_are_attributes_with_defaults() -> None:
    """A fact reads as given, or as the class's default."""
    error = errors.RateLimitError("slow down", status=429, retry_after=2.5, retryable=True)
    assert (error.status, error.retry_after, error.retryable) == (429, 2.5, True)
    assert (error.attempts, error.provider, error.partial) == (0, None, None)
    assert errors.MailboxFullError().retryable
    assert str(error) == error.message == "slow down"
    assert error.__dict__ == {"status": 429, "retry_after": 2.5, "retryable": True}


@pytest.mark.parametrize("name", ["colour", "args", "message", "add_note", "_hidden", "__dict__"])
def test_what_is_no_fact_is_refused(name: str) -> None:
    """A misspelt fact, or a name that Exception owns, is a TypeError and not a silent attribute."""
    with pytest.raises(TypeError, match=name):
        UnderstudyError("x", **{name: 1})


@pytest.mark.parametrize("kind", ERRORS.values())
def test_every_error_survives_pickle(kind: type[UnderstudyError]) -> None:
    """Class, sentence and facts come back from pickle."""
    back = pickle.loads(pickle.dumps(kind("gone", run_id="r1", partial="half")))
    assert type(back) is kind
    assert (back.message, back.run_id, back.partial) == ("gone", "r1", "half")


@pytest.mark.parametrize("kind", ERRORS.values())
def test_every_error_survives_the_wire(kind: type[UnderstudyError]) -> None:
    """Class, sentence and plain facts come back from msgpack."""
    data = msgspec.msgpack.encode(to_wire(kind("gone", run_id="r1", attempts=3)))
    back = from_wire(msgspec.msgpack.decode(data, type=ErrorInfo))
    assert type(back) is kind
    assert (back.message, back.run_id, back.attempts) == ("gone", "r1", 3)


def test_a_cause_and_a_tuple_survive_the_wire() -> None:
    """The cause of a failed step is rebuilt as an error, sequences as tuples."""
    cause = errors.DeadlockError("round", cycle=("A", "B", "A"))
    info = to_wire(errors.WorkflowError("failed", step="plan", cause=cause))
    back = from_wire(msgspec.msgpack.decode(msgspec.msgpack.encode(info), type=ErrorInfo))
    assert isinstance(back, errors.WorkflowError)
    assert isinstance(back.cause, errors.DeadlockError)
    assert (back.step, back.cause.cycle) == ("plan", ("A", "B", "A"))


def test_a_foreign_error_keeps_its_name_in_the_sentence() -> None:
    """An exception that is not ours comes back as the root, saying what it was."""
    back = from_wire(to_wire(KeyError("port")))
    assert type(back) is UnderstudyError
    assert back.message == "KeyError: 'port'"


def test_a_subclass_of_the_kernel_bears_the_public_name() -> None:
    """What is raised as a subclass arrives as the public class it belongs to."""

    class TwinError(errors.ActorDeadError, LookupError):
        pass

    assert to_wire(TwinError("gone", actor="/a")).type == "ActorDeadError"


@pytest.mark.parametrize(
    "fact",
    [object(), {"a": 1}, 2**70, float("inf"), "\udcff", errors.UnderstudyError, [object()]],
)
def test_facts_that_are_not_plain_still_encode(fact: object) -> None:
    """Whatever a fact is, describing the failure does not fail."""
    msgspec.msgpack.encode(to_wire(UnderstudyError("broken: \udcff", partial=fact)))


def test_facts_from_outside_cannot_touch_the_exception_itself() -> None:
    """Names from the wire that are no facts are ignored."""
    facts = {"args": 1, "__class__": 2, "add_note": 3, "message": 4, "status": 503}
    back = from_wire(ErrorInfo(type="ServerError", message="down", facts=facts))
    assert isinstance(back, errors.ServerError)
    assert back.__dict__ == {"status": 503}
    assert back.args == ("down",)
