"""The commands and their options; what they do is in modules of their own."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from understudy import __version__

CONTEXT = {"help_option_names": ["-h", "--help"]}


@click.group(context_settings=CONTEXT, no_args_is_help=True)
@click.version_option(__version__, "-V", "--version", message="understudy %(version)s")
def app() -> None:
    """Run workflows of agents from the terminal.

    \b
    Examples:
      understudy run demos/digest.toml docs README.md > digest.md
      cat notes.txt | understudy run demos/digest.toml --input -
      understudy run demos/digest.toml docs --model openai:gpt-5-mini --json
    """  # noqa: D301 - click's own mark for text that is not to be wrapped


@app.command(context_settings=CONTEXT)
@click.argument("flow", type=click.Path(path_type=Path))
@click.argument("paths", nargs=-1, type=click.Path())
@click.option("--input", "text", metavar="TEXT|-", help="Input text; - reads standard input.")
@click.option("--model", metavar="PROVIDER:MODEL", help="The model of every agent in this run.")
@click.option("--workflow", metavar="NAME", help="Which workflow of the file to run.")
@click.option("--json", "as_json", is_flag=True, help="Print the whole result as one JSON object.")
def run(
    flow: Path,
    paths: tuple[str, ...],
    text: str | None,
    model: str | None,
    workflow: str | None,
    *,
    as_json: bool,
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
        text = sys.stdin.buffer.read().decode("utf-8", errors="replace")
    value: list[str] | str = list(paths) if text is None else text
    return execute(Order(flow=flow, value=value, model=model, workflow=workflow, as_json=as_json))
