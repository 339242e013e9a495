"""`understudy run`, as a process of its own."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from understudy.messages.codec import decode_json
from understudy.messages.workflows import WorkflowResult
from understudy.testing import ProviderServer
from understudy.testing.provider_server.faults import Status

if TYPE_CHECKING:
    from tests.runtime.edge.conftest import Cli


def test_a_digest_goes_to_standard_output(cli: "Cli", tree: Path) -> None:
    """Quotes and paths on stdout, progress and the table on stderr, exit code 0."""
    done = cli.run("run", cli.digest, tree)
    assert done.returncode == 0, done.stderr
    page = done.stdout.decode()
    assert "Actors exchange messages." in page
    assert "b.txt" in page
    assert b"document" in done.stderr
    assert b"completed" in done.stderr


def test_bad_documents_do_not_hold_up_the_others(cli: "Cli", tree: Path) -> None:
    """Each gets a line with its path and a remedy; the rest is digested; the exit code says so."""
    (tree / "empty.txt").write_text("")
    (tree / "binary.txt").write_bytes(b"MZ\x00\x01")
    (tree / "latin.txt").write_bytes(b"Gr\xfc\xdfe aus K\xf6ln. Noch ein Satz.")
    with (tree / "huge.txt").open("wb") as file:
        file.truncate(50_000_000)
    bare = tree.parent / "bare"
    bare.mkdir()
    done = cli.run("run", cli.digest, tree, tree / "nowhere.md", bare)
    assert done.returncode == 1
    said = done.stderr.decode()
    page = done.stdout.decode()
    assert "Actors exchange messages." in page
    assert "## Not digested" in page
    for name in ("empty.txt", "binary.txt", "latin.txt", "huge.txt", "nowhere.md", "bare"):
        assert f"{name}: " in said, name
        assert name in page, name


def test_json_is_the_whole_result(cli: "Cli", tree: Path) -> None:
    """One object that decodes to a `WorkflowResult`, and nothing else on stdout."""
    done = cli.run("run", cli.digest, tree, "--json")
    result = decode_json(done.stdout, WorkflowResult, max_size=1 << 24)
    assert result.status == "completed"
    assert result.steps["document[1]/summarise"].status == "completed"
    assert json.loads(done.stdout)["name"] == "digest"


def test_a_text_may_come_from_standard_input(cli: "Cli") -> None:
    """`--input -` digests what is piped in."""
    done = cli.run("run", cli.digest, "--input", "-", stdin=b"One sentence is here. Another too.")
    assert done.returncode == 0, done.stderr
    assert b"One sentence is here." in done.stdout


def test_another_model_reads_over_http(cli: "Cli", tree: Path) -> None:
    """`--model` and `UNDERSTUDY_LLM__BASE_URL` send every document to a server."""
    with ProviderServer(lambda messages: f"Seen {len(messages)}.") as server:
        done = cli.run(
            "run", cli.digest, tree, "--model", "openai-compatible:any",
            env={"UNDERSTUDY_LLM__BASE_URL": server.base_url},
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        assert done.stdout.count(b"Seen 2.") >= 2
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--model", "opnai:x"], 78, "did you mean 'openai'"),
        (["--model", "openai:x"], 78, "OPENAI_API_KEY"),
        (["--model", "openai-compatible:x"], 78, "base_url"),
        (["--model", "x"], 78, "provider:model"),
        (["--workflow", "digset"], 78, "digest"),
        (["--frobnicate"], 2, "frobnicate"),
        (["--input", "x", "README.md"], 2, "not both"),
    ],
)
def test_mistakes_are_named_before_anything_runs(
    cli: "Cli", arguments: list[str], code: int, words: str
) -> None:
    """Wrong models, keys, names and options: one clear line, and the code of their kind."""
    done = cli.run("run", cli.digest, *arguments, env={"OPENAI_API_KEY": ""})
    assert done.returncode == code, done.stderr
    assert words in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert done.stdout == b""


def test_a_file_with_five_mistakes_gets_five_lines(cli: "Cli", tmp_path: Path) -> None:
    """All of them at once, each with its line."""
    flow = tmp_path / "flow.toml"
    flow.write_text(
        '[llm]\nmodle = "x"\n[runtime]\nshutdown = 5\n[workflows.flow]\nmode = "dga"\n'
        '[[workflows.flow.steps]]\nname = "a"\nfunction = "no.such:thing"\nafter = "zzz"\n'
    )
    done = cli.run("run", flow)
    assert done.returncode == 78
    said = done.stderr.decode()
    assert "5 problems" in said
    for line in (2, 4, 6, 9, 10):
        assert f"line {line}:" in said, said


def test_a_document_that_goes_away_is_one_failure(cli: "Cli", tree: Path) -> None:
    """A file that was found and is gone when it is read costs nothing but itself."""
    for number in range(8):
        (tree / f"c{number}.txt").write_text("Yet another document. It is short.")
    last = tree / "sub" / "b.txt"

    def answer(_: object) -> str:
        last.unlink(missing_ok=True)  # before any document is done, so before the ninth is read
        return "Fine."

    with ProviderServer(answer) as server:
        done = cli.run(
            "run", cli.digest, tree, "--model", "openai-compatible:any",
            env={"UNDERSTUDY_LLM__BASE_URL": server.base_url},
        )  # fmt: skip
    assert done.returncode == 1
    assert f"{last}: there is no such file or folder; check the spelling" in done.stderr.decode()
    assert done.stdout.count(b"### ") == 9


def test_a_failure_of_the_model_names_the_document(cli: "Cli", tree: Path) -> None:
    """The line of a failed item says what the item is called, though its error does not know."""
    with ProviderServer(faults=[Status(status=400), None]) as server:
        done = cli.run(
            "run", cli.digest, tree, "--model", "openai-compatible:any",
            env={"UNDERSTUDY_LLM__BASE_URL": server.base_url},
        )  # fmt: skip
    assert done.returncode == 1
    failed = [line for line in done.stderr.decode().splitlines() if line.startswith("document[")]
    assert len(failed) == 1
    assert str(tree) in failed[0]
    assert "400" in failed[0]


def test_a_failing_run_says_which_step_and_why(cli: "Cli") -> None:
    """The step with the name and text of its error, exit code 1, and nothing on stdout."""
    flow = cli.flow(
        '[workflows.flow]\nmode = "sequential"\n'
        '[[workflows.flow.steps]]\nname = "a"\nfunction = "held:fails"\n'
    )
    done = cli.run("run", flow, "--input", "x")
    assert done.returncode == 1
    assert done.stdout == b""
    assert done.stderr.count(b"a: KeyError: 'x'") == 1
    assert b"Traceback" not in done.stderr


def test_a_failed_run_prints_what_there_is(cli: "Cli") -> None:
    """The last step, which was never reached, makes something of the rest."""
    flow = cli.flow()
    flow.write_text(flow.read_text().replace("held:one", "held:fails"))
    done = cli.run("run", flow, "--input", "x y")
    assert done.returncode == 1
    assert done.stdout == b"kept [None, None]\n"


@pytest.mark.parametrize("change", ["held:bad_write", 'held:write"\neffects = "at_most_once'])
def test_a_last_step_is_not_run_where_it_must_not_be(cli: "Cli", change: str) -> None:
    """Not a second time after it has failed, and not at all when it has effects."""
    flow = cli.flow()
    text = flow.read_text().replace('\neffects = "none"', "").replace("held:write", change)
    if "effects" in text:
        text = text.replace("held:one", "held:fails")
    else:
        text += 'effects = "none"\n'
    flow.write_text(text)
    done = cli.run("run", flow, "--input", "x y")
    assert done.returncode == 1
    assert done.stdout == b""
    assert done.stderr.count(b"writing\n") == ("effects" not in change)


def test_the_workflow_of_a_file_is_found(cli: "Cli") -> None:
    """As it is named, as the file is called, or the only one; else one must be named."""
    first = cli.flow(
        "".join(
            f'[workflows.{name}]\nmode = "sequential"\n[[workflows.{name}.steps]]\nname = "a"\n'
            'function = "held:one"\n'
            for name in ("flow", "other")
        )
    )
    assert cli.run("run", first, "--input", "x").stderr.count(b"flow: completed") == 1
    named = cli.run("run", first, "--input", "x", "--workflow", "other")
    assert named.stderr.count(b"other: completed") == 1
    unclear = cli.run("run", first.rename(first.with_name("third.toml")), "--input", "x")
    assert unclear.returncode == 78
    assert b"Name one with --workflow: flow, other" in unclear.stderr
