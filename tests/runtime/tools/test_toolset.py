import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from understudy import ConfigError, Runtime, ToolCall, Toolset, arun_tools, run_tools, tool
from understudy.messages.codec import decode, encode
from understudy.messages.functions import FunctionRef
from understudy.messages.tools import ToolsetSpec

pytestmark = pytest.mark.anyio

Call = Callable[..., ToolCall]

LAZY = {"search": "tool_functions:search", "find": "tool_functions:find"}


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that counts its imports in a file, and fails while there is one called `broken`."""
    (tmp_path / "counted_tool.py").write_text(
        "from pathlib import Path\n"
        "here = Path(__file__).parent\n"
        "with (here / 'imports').open('a') as file:\n"
        "    file.write('x')\n"
        "if (here / 'broken').exists():\n"
        "    raise RuntimeError('not yet')\n"
        "def count(n: int) -> int:\n"
        "    '''Count.'''\n"
        "    return n + 1\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "counted_tool", raising=False)
    return tmp_path


async def test_a_lazy_tool_is_loaded_once_under_concurrency(call: Call, counted: Path) -> None:
    """Nothing is imported before the first call; then once, and the model learns the schema."""
    toolset = Toolset.lazy({"count": "counted_tool:count"})
    async with Runtime() as rt:
        table = rt.crew.tools.table((toolset,))
        (before,) = table.declarations
        assert (before.name, before.description, before.strict) == ("count", "", True)
        assert before.parameters["additionalProperties"] is True
        assert not (counted / "imports").exists()
        calls = [call("count", n=n) for n in range(20)]
        results = await arun_tools(calls, (toolset,), runtime=rt)
        assert [r.value for r in results] == list(range(1, 21))
        assert (counted / "imports").read_text() == "x"
        (after,) = table.declarations
        assert after.description == "Count."
        assert list(after.parameters["properties"]) == ["n"]


async def test_a_failed_load_is_tried_again_at_the_next_call(call: Call, counted: Path) -> None:
    """Everybody who waited is told why; later it may work."""
    (counted / "broken").touch()
    toolset = Toolset.lazy({"count": "counted_tool:count"})
    async with Runtime() as rt:
        failed = await arun_tools([call("count", n=1)] * 3, (toolset,), runtime=rt)
        why = "'counted_tool:count' cannot be imported: RuntimeError: not yet"
        assert {r.error for r in failed} == {f"The tool 'count' cannot be loaded: {why}"}
        assert all(r.attempts == 0 for r in failed)
        (counted / "broken").unlink()
        (result,) = await arun_tools([call("count", n=1)], (toolset,), runtime=rt)
        assert result.value == 2


async def test_who_gives_up_does_not_take_the_load_along(call: Call, counted: Path) -> None:
    """The first caller is cancelled in the middle; the second one still gets its tool."""
    toolset = Toolset.lazy({"count": "counted_tool:count"})
    async with Runtime() as rt:
        first = asyncio.create_task(arun_tools([call("count", n=1)], (toolset,), runtime=rt))
        second = asyncio.create_task(arun_tools([call("count", n=2)], (toolset,), runtime=rt))
        await asyncio.sleep(0)
        first.cancel()
        assert (await second)[0].value == 3
        await asyncio.wait([first])
        assert first.cancelled()


async def test_nor_does_a_tool_that_is_cancelled_around_it(
    call: Call, counted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The import belongs to nobody's run: it goes on when the first who wanted it is cancelled."""
    gate = threading.Event()
    monkeypatch.setattr(sys, "import_gate", gate, raising=False)
    code = (counted / "counted_tool.py").read_text()
    (counted / "counted_tool.py").write_text(f"import sys\nsys.import_gate.wait(20)\n{code}")
    toolset = Toolset.lazy({"count": "counted_tool:count"})

    @tool(timeout=60)
    async def around() -> str:
        return (await arun_tools([call("count", n=1)], (toolset,)))[0].content

    async with Runtime() as rt:
        first = asyncio.create_task(arun_tools([call("around")], [around], runtime=rt))
        for _ in range(5):
            await asyncio.sleep(0)
        second = asyncio.create_task(arun_tools([call("count", n=2)], (toolset,), runtime=rt))
        await asyncio.sleep(0)
        first.cancel()
        await asyncio.wait([first])
        gate.set()
        assert (await second)[0].value == 3
        assert (counted / "imports").read_text() == "x"


def test_a_lazy_tool_keeps_the_name_and_the_options_it_was_made_with(
    runtime: Runtime, call: Call
) -> None:
    """The set says what it is called, the decorator how."""
    toolset = Toolset.lazy(LAZY)
    results = run_tools(
        [call("find", query="x"), call("search", query="y", limit=1)], [toolset], runtime=runtime
    )
    assert [r.value for r in results] == ["found x", "y:1"]


def test_a_lazy_tool_has_its_own_bounds_once_it_is_loaded(runtime: Runtime, call: Call) -> None:
    """Also for the calls that waited for the load."""
    toolset = Toolset.lazy({"narrow": "tool_functions:narrow"})
    results = run_tools([call("narrow")] * 5, [toolset], runtime=runtime)
    assert [r.value for r in results] == [1] * 5


def test_a_manifest_is_all_that_is_needed_before_the_first_call(tmp_path: Path) -> None:
    """Several hundred tools are declared without an import of any of them."""
    manifest = Toolset.lazy(LAZY).manifest()
    assert manifest["search"] == {
        "description": "Search the archive.",
        "parameters": manifest["search"]["parameters"],
        "isolation": "thread",
        "function": "tool_functions:search",
    }
    assert manifest["find"]["max_concurrent"] == 2
    many = {f"{name}_{n}": entry for n in range(200) for name, entry in manifest.items()}
    (tmp_path / "tools.json").write_text(json.dumps(many))
    script = f"""
import json, sys
from pathlib import Path
from understudy import Runtime, ToolCall, Toolset, run_tools
toolset = Toolset.lazy(json.loads(Path({str(tmp_path / "tools.json")!r}).read_text()))
sys.path.insert(0, {str(Path(__file__).parent)!r})
with Runtime() as rt:
    declared = run_tools([ToolCall(id="1", name="nope")], [toolset], runtime=rt)[0].error
    print(len(toolset), "tool_functions" in sys.modules, "and 380 more" in declared)
    call = ToolCall(id="1", name="search_7", arguments=dict(query="q"))
    print(run_tools([call], [toolset], runtime=rt)[0].value, "tool_functions" in sys.modules)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.splitlines() == ["400 False True", "q:5 True"]


def test_toolsets_encode(functions: Any) -> None:
    """What comes back is loaded at the first call, like any lazy tool."""
    toolset = Toolset.of(functions.search, functions.find, functions.later)
    back = decode(encode(toolset), ToolsetSpec)
    assert [spec.name for spec in back.tools] == ["search", "other", "later"]
    assert back.tools[1].function == FunctionRef("tool_functions:find")


def test_a_tool_that_no_other_process_could_find_does_not_encode() -> None:
    """It is named, and so is the reason."""

    def inner() -> None: ...

    with pytest.raises(ConfigError, match=r"tool 'inner': .* defined inside a function"):
        encode(Toolset.of(inner))


@pytest.mark.parametrize(
    ("entry", "why"),
    [
        (3, "give 'package.module:function'"),
        ("nonsense", "does not say which function"),
        ({"description": "x"}, "'function'"),
        ({"function": "m:f", "timeout": "soon"}, "timeout"),
        ({"function": "m:f", "effects": "at_most_once", "retries": 2}, "contradict"),
    ],
)
def test_wrong_entries_are_refused(entry: object, why: str) -> None:
    """The tool is named, and what an entry looks like."""
    with pytest.raises(ConfigError, match=f"tool 'x'.*{why}"):
        Toolset.lazy({"x": entry})


@pytest.mark.parametrize("path", ["tool_functions:nothing", "nowhere:x", "os:sep"])
def test_a_path_that_leads_nowhere(runtime: Runtime, call: Call, path: str) -> None:
    """The model is told that the tool cannot be loaded; nothing is raised."""
    (result,) = run_tools([call("x")], [Toolset.lazy({"x": path})], runtime=runtime)
    assert str(result.error).startswith(f"The tool 'x' cannot be loaded: {path!r}")
