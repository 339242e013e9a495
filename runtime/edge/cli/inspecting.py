"""The commands that look and run nothing of yours: at a machine, a model, a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import click

from understudy.runtime.edge.cli.options import CONTEXT, FILE, positive, whole


@click.command(context_settings=CONTEXT, short_help="Measure answers when many agents ask.")
@click.option(
    "--agents", default=100, show_default=True, type=whole, metavar="N", help="At a time."
)
@click.option(
    "--requests", type=whole, metavar="N", help="Of each agent.  [default: 10, or the duration]"
)
@click.option("--model", metavar="PROVIDER:MODEL", help="Default: one in this process.")
@click.option("--base-url", metavar="URL", help="Where the model's provider is.")
@click.option(
    "--rate", type=positive, metavar="R", help="Requests a second of all agents: an open loop."
)
@click.option("--duration", type=positive, metavar="S", help="Seconds in which to ask.")
@click.option(
    "--pace", default="even", show_default=True, type=click.Choice(["even", "poisson"]),
    help="Of an open loop: at intervals, or at random.",
)  # fmt: skip
@click.option("--seed", default=0, metavar="N", show_default=True, help="Of the random pace.")
@click.option("--prompt", default="Say ok.", show_default=True, help="What each request asks.")
@click.option("--max-tokens", type=whole, metavar="N", help="Of each answer.")
@click.option("--latency", type=positive, metavar="S", help="Of the model in this process.")
@click.option(
    "--timeout",
    default=60,
    show_default=True,
    type=positive,
    metavar="S",
    help="Seconds for a request.",
)
@click.option(
    "--retries", default=0, show_default=True, type=click.IntRange(min=0), metavar="N",
    help="Of a request; 0 shows each failure.",
)  # fmt: skip
@click.option("--config", type=FILE, help="A configuration: limits, prices, transport.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
def loadtest(
    *,
    agents: int,
    requests: int | None,
    model: str | None,
    base_url: str | None,
    rate: float | None,
    duration: float | None,
    pace: Literal["even", "poisson"],
    seed: int,
    prompt: str,
    max_tokens: int | None,
    latency: float | None,
    timeout: float,
    retries: int,
    config: Path | None,
    as_json: bool,
) -> int:
    """Measure how long answers take when many agents ask at once.

    Offline unless a model is named: real requests to a provider cost money. Without --rate each
    agent asks again when it has its answer; with it requests are due on a schedule, and latency
    counts from then, so that a stall shows in every request that it delays.

    \b
    Examples:
      understudy loadtest --agents 100 --requests 10
      understudy loadtest --rate 500 --duration 10 --latency 0.05 --json > report.json
      understudy provider-server --latency 0.1 --port 8000 &
      understudy loadtest --model openai-compatible:any --base-url http://127.0.0.1:8000/v1

    \b
    Exit codes: 0 all were answered, 1 some failed, 2 usage, 78 bad configuration,
    130 interrupted, 143 terminated. What there is by then is printed all the same.
    """  # noqa: D301 - click's own mark for text that is not to be wrapped
    from understudy.runtime.edge.cli.loadtest import Order, execute
    from understudy.runtime.edge.load.plan import Plan

    if latency is not None and model is not None:
        msg = "--latency is that of the model in this process: leave out --latency or --model"
        raise click.UsageError(msg)
    if base_url is not None and model is None:
        msg = "--base-url is of a provider: name one with --model"
        raise click.UsageError(msg)
    if requests is None and duration is None:
        requests = 10
    plan = Plan(
        agents=agents, requests=requests, rate=rate, duration=duration, pace=pace, seed=seed
    )
    order = Order(
        plan=plan, model=model, base_url=base_url, config=config, prompt=prompt,
        max_tokens=max_tokens, latency=latency or 0.0, timeout=timeout, retries=retries,
        as_json=as_json,
    )  # fmt: skip
    return execute(order)


@click.command(context_settings=CONTEXT, short_help="Measure what things cost on this machine.")
@click.option("--memory", is_flag=True, help="What agents, runs and streams weigh, instead.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
@click.option("--divisor", default=1, type=whole, hidden=True)  # for tests: less of everything
def bench(*, memory: bool, as_json: bool, divisor: int) -> int:
    """Measure what requests, agent runs, streams, flows and jobs cost on this machine.

    A few seconds, offline, beside floors that do the same work with asyncio alone. With --memory:
    bytes of each agent, actor, run and stream, as tracemalloc counts them and as the resident set
    grows.

    \b
    Examples:
      understudy bench
      understudy bench --memory
      understudy bench --json > before.json

    \b
    Exit codes: 0 measured, 1 something could not be measured or written, 2 usage,
    130 interrupted, 143 terminated.
    """  # noqa: D301 - as above
    from understudy.runtime.edge.cli.bench import execute

    return execute(memory=memory, as_json=as_json, divisor=divisor)


@click.command(
    context_settings=CONTEXT, short_help="Judge a configuration by the guide's checklist."
)
@click.argument("file", required=False, type=FILE)
@click.option("--json", "as_json", is_flag=True, help="Print the report as one JSON object.")
def doctor(file: Path | None, *, as_json: bool) -> int:
    """Judge a configuration by the performance guide's checklist, point by point.

    Each point says what was found and where it was set, what the guide recommends, and the key to
    change. What a configuration does not decide is said, and where it is decided; nothing is
    guessed and nothing is run. Without FILE it is understudy.toml of this folder, or else the
    environment and the defaults alone.

    \b
    Examples:
      understudy doctor demos/digest.toml
      understudy doctor --json | jq '.points[] | select(.verdict == "change") | .changes[].key'

    \b
    Exit codes: 0 judged, whatever is to be changed; 1 the report could not be written,
    2 usage, 78 bad configuration.
    """  # noqa: D301 - as above
    from understudy.runtime.edge.cli.doctor import execute

    return execute(file, as_json=as_json)
