"""The commands and their options; what they do is in modules of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from understudy import __version__
from understudy.runtime.edge.cli import configuring, inspecting
from understudy.runtime.edge.cli.options import CONTEXT, read_input


@click.group(context_settings=CONTEXT, no_args_is_help=True)
@click.version_option(__version__, "-V", "--version", message="understudy %(version)s")
def app() -> None:
    """Run workflows of agents from the terminal.

    \b
    Examples:
      understudy run demos/digest.toml docs README.md > digest.md
      cat notes.txt | understudy run demos/digest.toml --input -
      understudy run demos/digest.toml docs --model openai:gpt-5-mini --json
      understudy doctor demos/digest.toml
      understudy loadtest --agents 100 --requests 10
    """  # noqa: D301 - click's own mark for text that is not to be wrapped


@app.command(context_settings=CONTEXT)
@click.argument("flow", type=click.Path(path_type=Path))
@click.argument("paths", nargs=-1, type=click.Path())
@click.option("--input", "text", metavar="TEXT|-", help="Input text; - reads standard input.")
@click.option("--model", metavar="PROVIDER:MODEL", help="The model of every agent in this run.")
@click.option("--workflow", metavar="NAME", help="Which workflow of the file to run.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole result as one JSON object.")
@click.option("--gantt", is_flag=True, help="Say on standard error when each step ran.")
def run(
    flow: Path,
    paths: tuple[str, ...],
    text: str | None,
    model: str | None,
    workflow: str | None,
    *,
    as_json: bool,
    gantt: bool,
) -> int:
    """Run a workflow of the file FLOW.

    PATHS, or the text of --input, is what its first steps receive. The output goes to standard
    output; progress and a table of the steps go to standard error.

    \b
    Examples:
      understudy run demos/digest.toml docs README.md > digest.md
      understudy run demos/digest.toml --input "A text. With sentences."
      UNDERSTUDY_LLM__BASE_URL=http://localhost:11434/v1 \\
        understudy run demos/digest.toml docs --model openai-compatible:llama3.2

    \b
    Exit codes: 0 ok, 1 the run or a part of it failed, 2 usage, 78 bad configuration,
    130 interrupted, 143 terminated. What is finished is printed all the same.
    """  # noqa: D301 - as above
    from understudy.runtime.edge.cli.run import Order, execute

    if paths and text is not None:
        msg = "give PATHS or --input, not both"
        raise click.UsageError(msg)
    if text == "-":
        text = read_input()
    value: list[str] | str = list(paths) if text is None else text
    return execute(
        Order(flow=flow, value=value, model=model, workflow=workflow, as_json=as_json, gantt=gantt)
    )


@app.command(
    "provider-server",
    context_settings=CONTEXT,
    short_help="Play a model provider on loopback.",
)
@click.option(
    "--port", default=0, show_default=True, type=click.IntRange(0, 65535), metavar="N",
    help="Where to listen; 0 picks a free port.",
)  # fmt: skip
@click.option(
    "--protocol",
    "protocols",
    multiple=True,
    type=click.Choice(["openai", "responses", "anthropic", "ollama"]),
    help="Speak only this one; may be repeated. Default: all.",
)
@click.option("--answer", metavar="TEXT", help="Every answer; default: the last message, echoed.")
@click.option("--latency", default="0", metavar="S|S:S", help="Seconds to the first byte.")
@click.option("--tokens-per-second", type=float, help="Pace of answers; a token is a word.")
@click.option("--requests-per-minute", type=float, help="429 beyond it.")
@click.option("--tokens-per-minute", type=float, help="429 beyond it.")
@click.option("--input-tokens-per-minute", type=float, help="429 beyond it.")
@click.option("--output-tokens-per-minute", type=float, help="429 beyond it.")
@click.option("--burst", default=60.0, show_default=True, help="Seconds' worth that a limit holds.")
@click.option("--spend-cap", type=int, metavar="TOKENS", help="Out of money after so many.")
@click.option("--faults", default="", metavar="NAME=RATE,…", help="Faults at random; all=RATE.")
@click.option("--seed", default=0, show_default=True, help="Of faults and latencies.")
@click.option("--model", "models", multiple=True, help="A model that exists; default: every one.")
@click.option("--api-key", help="The only key that is let in; default: anybody.")
@click.option("--until-eof", is_flag=True, help="End when standard input ends, too.")
def provider_server(
    *,
    requests_per_minute: float | None,
    tokens_per_minute: float | None,
    input_tokens_per_minute: float | None,
    output_tokens_per_minute: float | None,
    burst: float,
    spend_cap: int | None,
    **rest: Any,  # Any: the fields of `Order`
) -> int:
    """Play a model provider on loopback: OpenAI's, Anthropic's and Ollama's protocols at one port.

    Its address goes to standard output. OpenAI's clients take it with /v1 behind it, Anthropic's
    and Ollama's as it is. A model called fault-NAME always has that fault: refuse, reset,
    reset-body, truncate, bad-chunk, blackhole, drip, status-429, status-500, status-503,
    status-529, malformed, html, bad-utf8, huge, stream-error.

    \b
    Examples:
      understudy provider-server --latency 0.1 --tokens-per-second 50
      understudy provider-server --requests-per-minute 60 --tokens-per-minute 10000
      understudy provider-server --faults reset=0.01,status-503=0.02 --seed 7

    \b
    Exit codes: 0 ended by a signal, 1 the port is taken, 2 usage, 78 an option makes no sense.
    """  # noqa: D301 - as above
    from understudy.runtime.edge.cli.provider_server import Order, serve
    from understudy.testing.provider_server.limits import Limits

    limits = Limits(
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        input_tokens_per_minute=input_tokens_per_minute,
        output_tokens_per_minute=output_tokens_per_minute,
        burst=burst,
        spend_cap=spend_cap,
    )
    return serve(Order(limits=limits, **rest))


app.add_command(inspecting.bench)
app.add_command(inspecting.doctor)
app.add_command(inspecting.loadtest)
app.add_command(configuring.check)
app.add_command(configuring.graph)
