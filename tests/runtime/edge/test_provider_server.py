import json
import signal
import subprocess
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from understudy import ConfigError
from understudy.runtime.edge.cli.provider_server import parse_latency
from understudy.testing.provider_server import NAMED

if TYPE_CHECKING:
    from tests.runtime.edge.conftest import Cli


def address(process: subprocess.Popen[bytes]) -> str:
    """The first line that it prints."""
    assert process.stdout is not None
    return process.stdout.readline().decode().strip()


def ask(url: str, **fields: object) -> tuple[int, bytes]:
    """One question in Anthropic's protocol."""
    body = {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "x"}]}
    request = urllib.request.Request(f"{url}/v1/messages", json.dumps(body | fields).encode())
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_a_signal_comes(cli: "Cli", number: signal.Signals) -> None:
    """Its address is all of standard output; the counts go to standard error."""
    process = cli.start("provider-server", "--requests-per-minute", "1")
    url = address(process)
    assert ask(url)[0] == 200
    assert ask(url)[0] == 429
    process.send_signal(number)
    out, err = process.communicate()
    assert (process.returncode, out) == (0, b"")
    assert b"2 requests (2 answered" in err
    assert b"1 over a limit" in err


def test_its_options_reach_the_server(cli: "Cli") -> None:
    """Protocols, the answer, models, the key, faults."""
    process = cli.start(
        "provider-server", "--protocol", "anthropic", "--answer", "so it is", "--model", "m",
        "--model", "fault-status-500", "--faults", "status-503=0", "--latency", "0:0.001",
        "--tokens-per-second", "10000", "--spend-cap", "6", "--burst", "5", "--seed", "3",
    )  # fmt: skip
    url = address(process)
    status, body = ask(url)
    assert (status, b"so it is" in body) == (200, True)
    assert ask(url, model="other")[0] == 404
    assert ask(url, model="fault-status-500")[0] == 500
    ask(url)
    assert ask(url)[0] == 429
    process.terminate()
    process.communicate()
    assert process.returncode == 0


def test_it_ends_with_who_started_it(cli: "Cli") -> None:
    """`--until-eof`: when nobody holds its standard input any more."""
    command = cli.command("provider-server", "--until-eof")
    process = cli.watch(
        subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            cwd=cli.folder, env=cli.environment(),
        )
    )  # fmt: skip
    assert address(process).startswith("http://127.0.0.1:")
    process.communicate()
    assert process.returncode == 0


@pytest.mark.parametrize(
    ("option", "value", "code", "said"),
    [
        ("--faults", "rest=0.1", 78, b"did you mean 'reset'"),
        ("--latency", "2:1", 78, b"--latency '2:1'"),
        ("--tokens-per-minute", "0", 78, b"tokens_per_minute=0"),
        ("--protocol", "gopher", 2, b"gopher"),
    ],
)
def test_options_that_make_no_sense(
    cli: "Cli", option: str, value: str, code: int, said: bytes
) -> None:
    """The one is named, and nothing is served."""
    done = cli.run("provider-server", option, value)
    assert (done.returncode, done.stdout) == (code, b"")
    assert said in done.stderr


def test_its_help_names_every_fault(cli: "Cli") -> None:
    """That can be asked for."""
    told = " ".join(cli.run("provider-server", "--help").stdout.decode().split())
    assert [name for name in NAMED if f" {name}" not in told] == []


def test_a_port_that_is_taken(cli: "Cli") -> None:
    """The second one says so."""
    first = cli.start("provider-server")
    port = address(first).rpartition(":")[2]
    second = cli.run("provider-server", "--port", port)
    assert second.returncode == 1
    assert b"cannot listen" in second.stderr


@pytest.mark.parametrize("text", ["x", "-1", "1:", "nan", "inf"])
def test_latencies_that_are_none(text: str) -> None:
    """They show how it is written."""
    with pytest.raises(ConfigError, match=r"0\.05:0\.2"):
        parse_latency(text)
