"""`understudy check`, as a process of its own."""

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.runtime.edge.conftest import Cli

PLANTED = "sk-planted-0123456789"
FILE = f"""
[llm]
model = "openai:gpt-5-mini"
api_key = "{PLANTED}"
temperature = 0.5
"""


def test_what_is_in_force_and_from_where(cli: "Cli") -> None:
    """Data on standard output, notes on standard error, the key nowhere."""
    path = cli.flow(FILE)
    done = cli.run("check", path, env={"UNDERSTUDY_TOOLS__TIMEOUT": "5s"})
    assert done.returncode == 0, done.stderr
    out = done.stdout.decode()
    assert f'model = "openai:gpt-5-mini"  # {path} line 3' in out
    assert 'timeout = "5s"   # environment UNDERSTUDY_TOOLS__TIMEOUT' in out
    assert b"note: llm: temperature is not sent to openai:gpt-5-mini" in done.stderr
    assert b'write "env:NAME" instead' in done.stderr
    assert PLANTED.encode() not in done.stdout + done.stderr


def test_as_json(cli: "Cli") -> None:
    """One object for other programs."""
    done = cli.run("check", cli.flow(FILE), "--json")
    found = json.loads(done.stdout)
    assert found["settings"]["runtime.shutdown"] == {"value": 25.0, "origin": "default"}
    assert found["settings"]["llm.api_key"]["value"] == "***"
    assert len(found["notes"]) == 2
    assert PLANTED.encode() not in done.stdout + done.stderr


def test_every_mistake_at_once(cli: "Cli") -> None:
    """Exit code 78, with lines and suggestions, and nothing on standard output."""
    path = cli.flow("[llm]\nmodle = 1\n[tools]\ntimeout = 5\n[tools.circuit_breaker]\nwindo = '1s'")
    done = cli.run("check", path)
    assert (done.returncode, done.stdout) == (78, b"")
    said = done.stderr.decode()
    assert "3 problems" in said
    assert "line 2: llm.modle: unknown key 'modle'; did you mean 'model'?" in said
    assert 'line 4: tools.timeout: 5 has no unit; write "5s" or "5ms"' in said
    assert "line 6: tools.circuit_breaker.windo" in said


def test_a_provider_that_nobody_knows(cli: "Cli") -> None:
    """A mistake in a model's name is one of the configuration."""
    done = cli.run("check", cli.flow('[llm]\nmodel = "opnai:x"'))
    assert done.returncode == 78
    assert b"did you mean 'openai'?" in done.stderr


def test_the_schema(cli: "Cli") -> None:
    """Needs no file; without either the usage is explained."""
    done = cli.run("check", "--schema")
    assert json.loads(done.stdout)["title"] == "understudy"
    done = cli.run("check")
    assert done.returncode == 2
    assert b"give a FILE to check, or --schema" in done.stderr


def test_the_help(cli: "Cli") -> None:
    """It leads with what to type."""
    done = cli.run("check", "--help")
    assert b"understudy check understudy.toml" in done.stdout
    assert cli.run("check", cli.digest).returncode == 0
