"""`understudy run`: one run of a workflow of a file, from its configuration to its exit code.

The main thread waits for the run and takes the signals: the first ends the run at once, what is
finished is printed, and what is not is said; a second one ends the process.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from understudy.messages.agents import AgentSpec
from understudy.messages.codec import encode_json
from understudy.messages.errors import CodecError, ConfigError, UnderstudyError
from understudy.messages.workflows import WorkflowResult, WorkflowSpec
from understudy.runtime.config.build import build_workflow
from understudy.runtime.config.schema import Config
from understudy.runtime.edge.cli import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_TERMINATED
from understudy.runtime.edge.cli.choosing import chosen, loaded
from understudy.runtime.edge.cli.output import write
from understudy.runtime.edge.cli.progress import Progress
from understudy.runtime.edge.cli.report import Report, wide
from understudy.runtime.edge.cli.salvage import salvage
from understudy.runtime.edge.cli.signals import (
    TerminatedError,
    held_back,
    next_one_ends_the_process,
    terminable,
)
from understudy.runtime.runs import Run
from understudy.runtime.runtime import Runtime
from understudy.runtime.template import as_text
from understudy.runtime.workflow import Workflow

RESULT_SIZE = 1 << 30
"""Bytes of a result as JSON, at most."""
LAST_WORDS = 0.8
"""Seconds that a run has to end after a signal."""


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asks for."""

    flow: Path
    value: list[str] | str
    model: str | None
    workflow: str | None
    as_json: bool
    gantt: bool = False


def execute(order: Order) -> int:
    """Run, print, and say how it went.

    Raises:
        ConfigError: the file, the model or the key is wrong.
    """
    config = loaded(order.flow)
    name = chosen(config, order.flow, order.workflow)
    if order.model is not None:
        config = _with_model(config, order.model)
    workflow = Workflow.from_spec(build_workflow(config, name))
    logging.getLogger("understudy").addHandler(logging.NullHandler())
    with terminable(), Runtime(name="run", config=config, shutdown=5.0) as runtime:
        _check_models(runtime, workflow)
        with Progress(runtime, workflow) as progress:
            result, error, code = _wait(lambda: workflow.submit(order.value, runtime=runtime))
        report = Report(workflow, result, error, interrupted=code > EXIT_FAILED)
        wrong = _print(order, workflow, result)
        report.show(wide(progress.console), said=progress.said)
        if order.gantt and result is not None:
            progress.console.print(result.gantt(), markup=False)
        if wrong:
            progress.console.print(wrong, markup=False)
            code = code or EXIT_FAILED
        if code:
            runtime.stop(timeout=0.5, drain=False)
    return code or (EXIT_FAILED if report.failures else 0)


def _wait(
    begin: Callable[[], Run[WorkflowResult]],
) -> tuple[WorkflowResult | None, BaseException | None, int]:
    """The result, what it failed with, and the code that a signal asks for."""
    code = 0
    try:
        with held_back():
            run = begin()
        return run.get(), None, 0
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    except TerminatedError:
        code = EXIT_TERMINATED
    except UnderstudyError as error:
        return _partial(error), error, EXIT_FAILED
    next_one_ends_the_process()
    run.cancel()
    try:
        return run.get(timeout=LAST_WORDS), None, code
    except UnderstudyError as error:
        return _partial(error), error, code


def _partial(error: UnderstudyError) -> WorkflowResult | None:
    return error.partial if isinstance(error.partial, WorkflowResult) else None


def _print(order: Order, workflow: WorkflowSpec, result: WorkflowResult | None) -> str:
    """Write what there is to standard output; what went wrong, or nothing."""
    if result is None:
        return ""
    if order.as_json:
        try:
            return write(encode_json(result, max_size=RESULT_SIZE) + b"\n")
        except CodecError as error:
            return f"the result is no JSON: {error}"
    output = result.output if result.status == "completed" else salvage(workflow, result)
    text = as_text(output)
    end = "" if not text or text.endswith("\n") else "\n"
    return write(f"{text}{end}".encode(errors="replace"))


def _with_model(config: Config, model: str) -> Config:
    agents = {
        name: msgspec.structs.replace(agent, model=model) for name, agent in config.agents.items()
    }
    llm = msgspec.structs.replace(config.llm, model=model)
    return msgspec.structs.replace(config, agents=agents, llm=llm)


def _check_models(runtime: Runtime, workflow: WorkflowSpec) -> None:
    """Find out now, not in the thousandth step, that a model, a provider or a key is missing.

    Raises:
        ConfigError, AuthenticationError: as said by the model's provider.
    """
    for agent in _agents(workflow):
        try:
            runtime.complete(_find(runtime, agent), "models.find")
        except UnderstudyError as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(str(error)) from error


async def _find(runtime: Runtime, agent: AgentSpec) -> None:
    runtime.crew.models.find(agent)


def _agents(workflow: WorkflowSpec) -> Iterator[AgentSpec]:
    for step in workflow.steps:
        if isinstance(step.target, AgentSpec):
            yield step.target
        elif isinstance(step.target, WorkflowSpec):
            yield from _agents(step.target)
