import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from understudy import Runtime, ToolCall, run_tools
from understudy.testing import assert_quiet

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="worker processes need POSIX")

Call = Callable[..., ToolCall]


def test_tools_in_processes(runtime: Runtime, call: Call, functions: Any) -> None:
    """Typed arguments, a copy of the context, async functions, errors in the right words."""
    calls = [
        call("pid", city={"name": "Ulm"}),
        call("write"),
        call("later", n=1),
        call("fail", told=True),
        call("fail", told=False),
        call("strange"),
        call("pid", city={"name": 3}),
        call("leave"),
    ]
    offered = [
        functions.pid,
        functions.write,
        functions.later,
        functions.fail,
        functions.strange,
        functions.leave,
    ]
    results = run_tools(calls, offered, runtime=runtime, max_concurrent=2)
    pid, write, later, told, boom, strange, wrong, leave = results
    assert pid.content == "True Ulm SnapshotContext"
    assert str(write.error).startswith("WorkflowError: ctx['x'] cannot be written in another")
    assert later.value == 2
    assert told.error == "No such city."
    assert boom.error == "ValueError: boom"
    assert "what it returned" in str(strange.error)
    assert "city: Expected `str`, got `int` - at `$.name`" in str(wrong.error)
    assert wrong.attempts == 0
    assert leave.error == "The process of the tool 'leave' ended: exit status 3"
    assert_quiet(runtime)


def test_there_are_so_many_processes(
    call: Call, functions: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who finds none waits for one; each is used again."""
    monkeypatch.setattr("understudy.actors.tools.hands.PROCESSES", 1)
    with Runtime() as rt:
        calls = [call("later", n=n) for n in range(3)]
        results = run_tools(calls, [functions.later], runtime=rt)
        assert [r.value for r in results] == [1, 2, 3]
        assert str(rt.tree()).count("(ProcessWorker)") == 1


def test_a_process_is_killed_at_the_timeout_and_tried_again(
    runtime: Runtime, call: Call, functions: Any, tmp_path: Path
) -> None:
    """What hangs is killed; what may happen twice gets a fresh process."""
    hang, third = run_tools(
        [call("hang"), call("third_time", path=str(tmp_path / "seen"))],
        [functions.hang, functions.third_time],
        runtime=runtime,
    )
    assert hang.error == "The tool 'hang' did not return within 0.2 s."
    assert (third.value, third.attempts) == (3, 3)
    (again,) = run_tools([call("later", n=5)], [functions.later], runtime=runtime)
    assert again.value == 6
