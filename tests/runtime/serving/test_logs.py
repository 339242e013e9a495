"""One line for each run, ids on every line, and nobody's words in any."""

import json
import logging
import sys
from collections.abc import Iterator

import pytest

from understudy import Agent, JsonLines, RunIds, Runtime, ToolError, Workflow, step, tool
from understudy.testing import FakeModel, call

pytestmark = pytest.mark.anyio
SAID = "a very private question"


class Kept(logging.Handler):
    """A handler that keeps what it gets, as text and as records."""

    def __init__(self) -> None:
        super().__init__()
        self.addFilter(RunIds())
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        record.getMessage()
        self.records.append(record)


@pytest.fixture
def kept() -> Iterator[Kept]:
    """A handler on the library's loggers, everything on."""
    handler = Kept()
    logger = logging.getLogger("understudy")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.setLevel(logging.NOTSET)
    logger.removeHandler(handler)


async def test_a_line_for_each_run(kept: Kept) -> None:
    """Agents and workflows, well ended or not: one line at INFO, with what it took."""

    async def fail(messages: object) -> str:
        raise ValueError(SAID)

    async with Runtime() as rt:
        result = await rt.arun(Agent(FakeModel.echo(), name="writer"), SAID, tenant="acme")
        with pytest.raises(Exception, match=SAID):
            await rt.arun(Agent(FakeModel(fail), name="broken"), SAID)
        flow = Workflow.sequential("flow", step("one", str.upper))
        await rt.arun(flow, SAID)
    lines = [record for record in kept.records if record.name == "understudy.runs"]
    assert [line.levelno for line in lines] == [logging.INFO] * 3
    first, second, third = (line.getMessage() for line in lines)
    assert first.startswith(f"run {result.run_id} of writer: completed in ")
    assert first.endswith(f" s, {result.usage.total_tokens} tokens")
    assert second.split(" of ")[1].startswith("broken: failed in ")
    assert third.split(" of ")[1].startswith("flow: completed in ")
    assert vars(lines[0])["tenant"] == "acme"
    assert not [line for line in lines if SAID in line.getMessage()]


async def test_lines_of_tools_belong_to_their_run(kept: Kept) -> None:
    """What a program logs inside of a tool carries the run's id and the actor, on any thread."""
    own = logging.getLogger("understudy.test")

    @tool
    def blocking(city: str) -> str:
        """Look."""
        own.info("looking")
        return city

    agent = Agent(FakeModel([call("blocking", city="Ulm"), "done"]), tools=[blocking])
    async with Runtime() as rt:
        result = await rt.arun(agent, "x")
    (line,) = [record for record in kept.records if record.name == "understudy.test"]
    fields = vars(line)
    assert fields["run_id"] == result.run_id
    assert fields["trace_id"] == result.trace_id
    assert fields["actor"].startswith("/system/")
    own.info("outside")
    assert vars(kept.records[-1])["run_id"] == "-"


async def test_no_words_of_a_prompt(kept: Kept) -> None:
    """Prompts, answers, instructions, arguments: the library logs none of them.

    Only at DEBUG, which nobody has on by chance, there are the tracebacks of tools.
    """

    @tool
    def remember(text: str) -> str:
        """Keep."""
        raise ToolError(f"cannot keep {text}")

    model = FakeModel([call("remember", text=SAID), SAID])
    async with Runtime() as rt:
        await rt.arun(Agent(model, instructions=SAID, tools=[remember]), SAID)
    kept.records = [record for record in kept.records if record.levelno >= logging.INFO]
    formatter = logging.Formatter("%(name)s %(message)s")
    assert kept.records
    assert not [text for text in map(formatter.format, kept.records) if SAID in text]


async def test_json_lines(kept: Kept) -> None:
    """Each line is one object with the ids, and no field that says nothing."""
    async with Runtime() as rt:
        result = await rt.arun(Agent(FakeModel.echo(), name="w"), "x")
    (record,) = [record for record in kept.records if record.name == "understudy.runs"]
    line = json.loads(JsonLines().format(record))
    assert line["run_id"] == result.run_id
    assert (line["run"], line["status"], line["level"]) == ("w", "completed", "INFO")
    assert "tenant" not in line
    try:
        raise ValueError("x")
    except ValueError:
        record = logging.LogRecord("n", 40, "", 0, "said %s", ("it",), sys.exc_info())
    assert "ValueError: x" in json.loads(JsonLines().format(record))["traceback"]
