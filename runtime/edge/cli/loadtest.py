"""`understudy loadtest`: so many agents at a time, and how long their answers took.

Offline unless a model is named: a model in this process that answers after `latency`. One process
and one loop ask, as a daemon would; what they can ask at most is itself a result (compare with an
in-process model). The first signal ends the asking and prints what there is, the next one ends the
process. An agent fails at the first failure of its model unless `retries` says otherwise: a load
test is to show failures, not to hide them.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import msgspec
from rich.console import Console
from rich.live import Live
from rich.text import Text

from understudy.messages.agents import AgentSpec, Result
from understudy.messages.chat import Usage
from understudy.messages.errors import ConfigError, UnderstudyError
from understudy.runtime.config.load import load_config
from understudy.runtime.config.schema import Config
from understudy.runtime.edge.cli import EXIT_FAILED, EXIT_INTERRUPTED, EXIT_TERMINATED
from understudy.runtime.edge.cli.load_page import as_json, asked, load_page
from understudy.runtime.edge.cli.output import write
from understudy.runtime.edge.cli.page import moving
from understudy.runtime.edge.load.drive import Driver
from understudy.runtime.edge.load.in_process import NAME, InProcessModel
from understudy.runtime.edge.load.plan import Plan
from understudy.runtime.edge.load.tally import LoadReport
from understudy.runtime.lifecycle import new_loop
from understudy.runtime.runtime import Runtime

BAR = 40


class Order(msgspec.Struct, frozen=True, kw_only=True):
    """What the command line asks for."""

    plan: Plan
    model: str | None = None
    base_url: str | None = None
    config: Path | None = None
    prompt: str
    max_tokens: int | None = None
    latency: float = 0.0
    timeout: float
    retries: int = 0
    as_json: bool = False


def execute(order: Order) -> int:
    """Ask, print, and say how it went.

    Raises:
        ConfigError: the file, the model or the key is wrong.
    """
    logging.getLogger("understudy").addHandler(logging.NullHandler())
    config = load_config(order.config or "", os.environ)
    with asyncio.Runner(loop_factory=new_loop) as runner:  # the loop that a Runtime would have
        report, code = runner.run(_test(order, config))
    wrong = write(as_json(report) if order.as_json else load_page(order.plan, report))
    if wrong:
        sys.stderr.write(f"understudy: {wrong}\n")
        return code or EXIT_FAILED
    return code or (EXIT_FAILED if report.failed else 0)


async def _test(order: Order, config: Config) -> tuple[LoadReport, int]:
    agent = _agent(order)
    code = 0
    async with Runtime(name="loadtest", config=config, max_runs=order.plan.agents) as runtime:
        _find(runtime, agent)

        async def ask() -> Usage:
            result: Result[str] = await runtime.arun(agent, order.prompt, timeout=order.timeout)
            return result.usage

        driver = Driver(order.plan, ask, runtime.system.now)

        def ended(number: int) -> None:
            nonlocal code
            code = EXIT_INTERRUPTED if number == signal.SIGINT else EXIT_TERMINATED
            driver.stop()
            _take_signals(None)

        _take_signals(ended)
        with _Shown(driver, order):
            finished = await driver.run()
        _take_signals(None)
    return driver.tally.report(
        model=order.model or NAME,
        agents=order.plan.agents,
        requests=order.plan.requests,
        rate=order.plan.rate,
        finished=finished,
    ), code


def _agent(order: Order) -> AgentSpec:
    return AgentSpec(
        InProcessModel(order.latency) if order.model is None else order.model,
        name="load",
        base_url=order.base_url,
        max_tokens=order.max_tokens,
        retries=order.retries,
    )


def _find(runtime: Runtime, agent: AgentSpec) -> None:
    """Find out now, not in each of the requests, that a model or a key is missing.

    Raises:
        ConfigError: as said by the model's provider.
    """
    try:
        runtime.crew.models.find(agent)
    except UnderstudyError as error:
        if isinstance(error, ConfigError):
            raise
        raise ConfigError(str(error)) from error


def _take_signals(ended: Callable[[int], None] | None) -> None:
    """SIGINT and SIGTERM call `ended`; without it they end the process, as they usually do."""
    if sys.platform == "win32":  # whose loops take no signals: there they end it without a report
        return
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        if ended is None:
            loop.remove_signal_handler(number)
            signal.signal(number, signal.SIG_DFL)
        else:
            loop.add_signal_handler(number, ended, number)


class _Shown:
    """What is asked, on standard error; on a terminal a line that says how far it is."""

    def __init__(self, driver: Driver, order: Order) -> None:
        self._driver, self._order = driver, order
        self._console = Console(file=sys.stderr, highlight=False, soft_wrap=True)
        self._live: Live | None = None

    def __enter__(self) -> None:
        if moving(self._console):
            self._live = Live(
                get_renderable=self._line,
                console=self._console,
                refresh_per_second=8,
                transient=True,
            )
            self._live.start()
        else:
            plan, model = self._order.plan, self._order.model or NAME
            self._console.print(f"asking {model}: {asked(plan)}", markup=False)

    def __exit__(self, *_: object) -> None:
        if self._live is not None:
            self._live.stop()

    def _line(self) -> Text:
        tally, total = self._driver.tally, self._order.plan.total
        done = tally.answered + tally.failed
        rate = done / tally.taken if tally.taken else 0.0
        if total is None:
            text = f"{done:,} requests"
        else:
            filled = round(BAR * min(1.0, done / total))
            text = f"{'#' * filled}{'.' * (BAR - filled)} {done:,} of {total:,}"
        line = Text(f"{text}, {rate:,.0f} a second")
        if tally.failed:
            line.append(f", {tally.failed:,} failed", style="red")
        return line
