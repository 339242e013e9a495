"""Calls that come back: values, errors, what does not encode, what is printed and inherited."""

from __future__ import annotations

import logging
import os
import threading
from typing import TYPE_CHECKING, Any

import pytest

from understudy import (
    CodecError,
    ConfigError,
    RateLimitError,
    Ref,
    Runtime,
    ToolError,
    UnderstudyError,
    child,
)
from understudy.actors.processes.worker import ProcessWorker
from understudy.messages.functions import function_path
from understudy.messages.processes import CallFunction

if TYPE_CHECKING:
    from tests.actors.processes.conftest import To


def test_a_function_runs_in_another_process_which_stays_warm(worker: Ref[Any], to: To) -> None:
    """Two calls are answered by one process, which is not ours."""
    first = worker.ask(to("pid"))
    assert first != os.getpid()
    assert worker.ask(to("pid")) == first


@pytest.mark.parametrize(
    "value", [None, True, 7, 2.5, "text", b"bytes", [1, [2]], {"a": {"b": None}}, "ü\n" * 100]
)
def test_plain_data_comes_back_as_it_went(worker: Ref[Any], to: To, value: object) -> None:
    """Whatever msgpack knows survives both ways."""
    assert worker.ask(to("echo", value=value)) == value


@pytest.mark.parametrize("size", [300_000, 1_000_000])
def test_large_messages_pass_in_both_directions(worker: Ref[Any], to: To, size: int) -> None:
    """Up to 1 MiB, which no socket takes at once."""
    data = os.urandom(size)
    assert worker.ask(to("echo", value=data)) == data


def test_arguments_arrive_as_the_declared_types(worker: Ref[Any], to: To) -> None:
    """Structs, tuples and dates are built again from the parameters' annotations."""
    call = to("describe", city={"name": "Ulm", "at": [48, 10]}, when="2024-01-02T00:00:00")
    assert worker.ask(call) == "Ulm (48, 10) 2024"
    with pytest.raises(CodecError, match=r"describe: argument 'city': .*missing.*`at`"):
        worker.ask(to("describe", city={"name": "Ulm"}))


def test_async_functions_and_builtins_can_be_called(worker: Ref[Any], to: To) -> None:
    """A coroutine is run to its end; a function without a signature is called all the same."""
    assert worker.ask(to("twice", n=4)) == 8
    assert worker.ask(CallFunction(function="builtins:dict", arguments={"a": 1})) == {"a": 1}


def test_the_path_of_a_function_leads_there(worker: Ref[Any]) -> None:
    """`function_path` gives what `CallFunction` takes."""
    assert worker.ask(CallFunction(function=function_path(os.getpid))) != os.getpid()


def test_a_foreign_error_becomes_a_tool_error_that_names_it(worker: Ref[Any], to: To) -> None:
    """Type and words in the sentence, the traceback as a note, the process goes on."""
    pid = worker.ask(to("pid"))
    with pytest.raises(ToolError) as caught:
        worker.ask(to("fail", kind="value"))
    assert caught.value.message == "ValueError: boom"
    assert caught.value.tool == "process_functions:fail"
    assert "process_functions.py" in caught.value.__notes__[0]
    assert worker.ask(to("pid")) == pid


def test_an_error_of_ours_comes_back_as_itself(worker: Ref[Any], to: To) -> None:
    """With its facts; a subclass that we do not know comes back as the one that we do."""
    with pytest.raises(RateLimitError, match="slow down") as caught:
        worker.ask(to("fail", kind="rate"))
    assert (caught.value.retry_after, caught.value.provider) == (2.5, "p")
    with pytest.raises(ToolError) as known:
        worker.ask(to("fail", kind="own"))
    assert known.value.message == "own words"


def test_a_stranger_that_is_called_like_one_of_ours_stays_a_stranger(
    worker: Ref[Any], to: To
) -> None:
    """httpx, too, has a ConnectError."""
    with pytest.raises(ToolError) as caught:
        worker.ask(to("fail", kind="stranger"))
    assert caught.value.message == "ConnectError: no route"


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        ("exit", "SystemExit: 3"),
        ("interrupt", "KeyboardInterrupt: "),
        ("mute", "MuteError: <MuteError>"),
        ("large", "x" * 16 * 1024),
        ("foreign", "ValueError: " + "x" * 16 * 1024),
    ],
)
def test_whatever_a_function_raises_is_its_answer(
    worker: Ref[Any], to: To, kind: str, sentence: str
) -> None:
    """Also what would end the process, has no words or too many; the process goes on."""
    pid = worker.ask(to("pid"))
    with pytest.raises(ToolError) as caught:
        worker.ask(to("fail", kind=kind))
    assert caught.value.message == sentence
    assert worker.ask(to("pid")) == pid


def _nested(levels: int) -> object:
    value: object = 0
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (object(), "argument 'value': .*object cannot be encoded"),
        (lambda: 1, "argument 'value': .*is a lambda"),
        (b"x" * 2_000_000, "argument 'value': .*the limit is 1048576"),
        (_nested(63), "argument 'value' nests deeper than 62 levels"),
        (_nested(2_000), "argument 'value'"),
    ],
)
def test_an_argument_that_does_not_encode_is_named(
    worker: Ref[Any], to: To, value: object, reason: str
) -> None:
    """Before any process hears of it."""
    with pytest.raises(CodecError, match=f"process_functions:echo: {reason}"):
        worker.ask(to("echo", value=value))
    assert worker.ask(to("echo", value=_nested(62))) == _nested(62)


def test_arguments_that_are_too_large_together_are_refused(worker: Ref[Any]) -> None:
    """None of them is to blame alone."""
    arguments = {"a": b"x" * 600_000, "b": b"x" * 600_000}
    with pytest.raises(CodecError, match=r"the arguments together: .*the limit is 1048576"):
        worker.ask(CallFunction(function="builtins:dict", arguments=arguments))


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("object", "what it returned: .*object cannot be encoded"),
        ("large", "what it returned: .*the limit is 1048576"),
        ("deep", "what it returned nests deeper than 63 levels"),
    ],
)
def test_a_result_that_does_not_encode_is_an_error(
    worker: Ref[Any], to: To, kind: str, reason: str
) -> None:
    """It is said so, and the process goes on."""
    pid = worker.ask(to("pid"))
    with pytest.raises(CodecError, match=f"process_functions:result: {reason}"):
        worker.ask(to("result", kind=kind))
    assert worker.ask(to("pid")) == pid


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("process_functions:ehco", "did you mean 'echo'"),
        ("no_such_module:f", "ModuleNotFoundError"),
        ("__main__:f", "names __main__"),
        ("os.getpid", "not of the form"),
        ("os:sep", "not a function"),
    ],
)
def test_a_function_that_cannot_be_found_is_named(worker: Ref[Any], path: str, reason: str) -> None:
    """The other process says why."""
    with pytest.raises(ConfigError, match=reason):
        worker.ask(CallFunction(function=path))


def test_wrong_arguments_are_the_functions_error(worker: Ref[Any], to: To) -> None:
    """As Python words it."""
    with pytest.raises(ToolError, match=r"TypeError: echo\(\) got an unexpected keyword"):
        worker.ask(to("echo", valeu=1))


def test_what_a_function_prints_goes_to_the_log(
    worker: Ref[Any], to: To, caplog: pytest.LogCaptureFixture
) -> None:
    """By whatever means, and never into the answers; its standard input is empty."""
    caplog.set_level(logging.INFO, logger="understudy.processes")
    assert worker.ask(to("speak")) == ""
    assert worker.ask(to("echo", value=1)) == 1
    pid = worker.ask(to("pid"))
    worker.stop().get()
    said = [record.getMessage() for record in caplog.records]
    assert said == [
        f"{worker.path} (process {pid}): {line}"
        for line in ("printed", "complained", "written", "echoed", "unfinished")
    ]


def test_the_environment_carries_no_secrets(
    runtime: Runtime, to: To, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few harmless variables are inherited, and what the caller gives."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    monkeypatch.setenv("LC_TIME", "C")
    worker = runtime.spawn(child(ProcessWorker, env={"REGION": "eu", "LANG": "C.UTF-8"}))
    seen = worker.ask(to("environment"))
    assert "sk-secret" not in str(seen)
    assert (seen["REGION"], seen["LANG"], seen["LC_TIME"]) == ("eu", "C.UTF-8", "C")
    assert seen["PATH"] == os.environ["PATH"]
    allowed = {"PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "REGION"}
    assert {n for n in seen if not n.startswith(("LC_", "PYTHON"))} <= allowed


def test_what_a_function_starts_inherits_nothing_of_ours(worker: Ref[Any], to: To) -> None:
    """Neither the socket nor the lifeline, also without `close_fds`."""
    assert worker.ask(to("inheritable")) == []


def test_workers_bring_no_threads(runtime: Runtime, to: To) -> None:
    """Sockets and pidfds on the loop, however many there are."""
    before = set(threading.enumerate())
    workers = [runtime.spawn(child(ProcessWorker)) for _ in range(3)]
    assert len({worker.ask(to("pid")) for worker in workers}) == 3
    assert set(threading.enumerate()) == before


def test_a_pool_of_workers_spreads_its_jobs(runtime: Runtime, to: To) -> None:
    """A worker is an actor like any other."""
    pool = runtime.pool("cpu", child(ProcessWorker), size=2)
    pids = [reply.get() for reply in [pool.submit(to("pid")) for _ in range(8)]]
    assert len(set(pids)) == 2


@pytest.mark.parametrize(
    ("options", "reason"),
    [({"max_calls": 0}, "at least 1"), ({"env": {"PORT": 80}}, "'PORT' is a int")],
)
def test_wrong_options_are_refused_when_it_is_made(
    runtime: Runtime, options: dict[str, Any], reason: str
) -> None:
    """In the spawner."""
    with pytest.raises(ConfigError, match=reason):
        runtime.spawn(child(ProcessWorker, **options))


def test_a_program_without_an_interpreter_is_told_so(
    runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A frozen program would start itself, again and again."""
    monkeypatch.setattr("sys.frozen", True, raising=False)
    with pytest.raises(ConfigError, match="no Python interpreter"):
        runtime.spawn(child(ProcessWorker))


def test_a_process_that_cannot_start_is_the_spawners_error(runtime: Runtime) -> None:
    """With what it said last."""
    with pytest.raises(ToolError, match="ended in its start: exit status") as caught:
        runtime.spawn(child(ProcessWorker, env={"PYTHONHOME": "/nowhere"}))
    assert "Its last words" in caught.value.__notes__[0]


def test_an_operating_system_without_processes_is_an_error_to_retry(
    worker: Ref[Any], to: To, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The next start may find one; the worker lives on."""

    def refuse(*args: object, **options: object) -> None:
        raise BlockingIOError(11, "Resource temporarily unavailable")

    with monkeypatch.context() as broken:
        with pytest.raises(ToolError):
            worker.ask(to("die", how="exit"))
        broken.setattr("understudy.actors.processes.process.subprocess.Popen", refuse)
        with pytest.raises(UnderstudyError, match="cannot start a process") as caught:
            worker.ask(to("pid"))
        assert caught.value.retryable
    assert worker.ask(to("echo", value=1)) == 1
