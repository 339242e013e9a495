"""The commands that read a configuration and say what it means."""

from __future__ import annotations

from pathlib import Path

import click

from understudy.runtime.edge.cli.options import CONTEXT


@click.command(context_settings=CONTEXT)
@click.argument("file", type=click.Path(path_type=Path), required=False)
@click.option("--schema", is_flag=True, help="Print the JSON Schema of the file, for editors.")
@click.option("--json", "as_json", is_flag=True, help="Print values, origins and notes as JSON.")
def check(file: Path | None, *, schema: bool, as_json: bool) -> int:
    """Check the configuration FILE and print what is in force.

    The file, the environment and the defaults are merged as a runtime does it; every value says
    where it comes from, keys show as ***. What is right and still worth knowing goes to standard
    error: parameters that a model refuses and that are not sent, keys that are not set.

    \b
    Examples:
      understudy check understudy.toml
      UNDERSTUDY_TOOLS__TIMEOUT=5s understudy check understudy.toml | grep timeout
      understudy check --schema > understudy.schema.json

    \b
    Exit codes: 0 ok, 2 usage, 78 bad configuration, with every mistake and its line.
    """  # noqa: D301 - as above
    from understudy.runtime.edge.cli.check import check as explain
    from understudy.runtime.edge.cli.check import print_schema

    if schema:
        return print_schema()
    if file is None:
        msg = "give a FILE to check, or --schema"
        raise click.UsageError(msg)
    return explain(file, as_json=as_json)


@click.command(context_settings=CONTEXT, short_help="Draw a workflow of FILE, as text.")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--dot", "as_dot", is_flag=True, help="For Graphviz; default: Mermaid.")
@click.option("--workflow", metavar="NAME", help="Which workflow of the file.")
def graph(file: Path, workflow: str | None, *, as_dot: bool) -> int:
    """Print a workflow of the configuration FILE as a Mermaid flowchart.

    Functions are imported, so that a wrong path is found; nothing is run.

    \b
    Examples:
      understudy graph demos/digest.toml
      understudy graph demos/digest.toml --dot | dot -Tsvg > digest.svg

    \b
    Exit codes: 0 ok, 2 usage, 78 bad configuration.
    """  # noqa: D301 - as above
    from understudy.runtime.edge.cli.graph import draw

    return draw(file, workflow, as_dot=as_dot)
