"""`understudy run`, as a process of its own."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from understudy.messages.codec import decode_json
from understudy.messages.workflows import WorkflowResult
from understudy.testing import ProviderServer
from understudy.testing.provider_server.faults import Blackhole

DIGEST = Path(__file__).parents[3] / "demos" / "digest.toml"


def environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """The process's own, without what would change a run."""
    kept = {name: value for name, value in os.environ.items() if "UNDERSTUDY" not in name}
    return {**kept, "NO_COLOR": "1", "COLUMNS": "100", **(extra or {})}


def understudy(
    *arguments: str | Path, stdin: bytes = b"", env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run one command to its end."""
    command = [sys.executable, "-m", "understudy", *map(str, arguments)]
    return subprocess.run(
        command, input=stdin, capture_output=True, env=environment(env), timeout=60, check=False
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Some documents, good and bad."""
    folder = tmp_path / "tree"
    (folder / "sub").mkdir(parents=True)
    (folder / "a.md").write_text("# A\n\nActors exchange messages. Each handles one at a time.\n")
    (folder / "sub" / "b.txt").write_text("Supervisors restart what crashes. They count it.\n")
    return folder


def test_a_digest_goes_to_standard_output(tree: Path) -> None:
    """Quotes and paths on stdout, progress and the table on stderr, exit code 0."""
    done = understudy("run", DIGEST, tree)
    assert done.returncode == 0, done.stderr
    page = done.stdout.decode()
    assert "Actors exchange messages." in page
    assert "b.txt" in page
    assert b"document" in done.stderr
    assert b"completed" in done.stderr


def test_bad_documents_do_not_hold_up_the_others(tree: Path) -> None:
    """Each gets a line with its path and a remedy; the rest is digested; the exit code says so."""
    (tree / "empty.txt").write_text("")
    (tree / "binary.txt").write_bytes(b"MZ\x00\x01")
    (tree / "latin.txt").write_bytes(b"Gr\xfc\xdfe aus K\xf6ln. Noch ein Satz.")
    with (tree / "huge.txt").open("wb") as file:
        file.truncate(50_000_000)
    bare = tree.parent / "bare"
    bare.mkdir()
    done = understudy("run", DIGEST, tree, tree / "nowhere.md", bare)
    assert done.returncode == 1
    said = done.stderr.decode()
    page = done.stdout.decode()
    assert "Actors exchange messages." in page
    assert "## Not digested" in page
    for name in ("empty.txt", "binary.txt", "latin.txt", "huge.txt", "nowhere.md", "bare"):
        assert f"{name}: " in said, name
        assert name in page, name


def test_json_is_the_whole_result(tree: Path) -> None:
    """One object that decodes to a `WorkflowResult`, and nothing else on stdout."""
    done = understudy("run", DIGEST, tree, "--json")
    result = decode_json(done.stdout, WorkflowResult, max_size=1 << 24)
    assert result.status == "completed"
    assert result.steps["document[1]/summarise"].status == "completed"
    assert json.loads(done.stdout)["name"] == "digest"


def test_a_text_may_come_from_standard_input() -> None:
    """`--input -` digests what is piped in."""
    done = understudy("run", DIGEST, "--input", "-", stdin=b"One sentence is here. Another too.")
    assert done.returncode == 0, done.stderr
    assert b"One sentence is here." in done.stdout


def test_another_model_reads_over_http(tree: Path) -> None:
    """`--model` and `UNDERSTUDY_LLM__BASE_URL` send every document to a server."""
    with ProviderServer(lambda messages: f"Seen {len(messages)}.") as server:
        done = understudy(
            "run", DIGEST, tree, "--model", "openai-compatible:any",
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
    arguments: list[str], code: int, words: str
) -> None:
    """Wrong models, keys, names and options: one clear line, and the code of their kind."""
    done = understudy("run", DIGEST, *arguments, env={"OPENAI_API_KEY": ""})
    assert done.returncode == code, done.stderr
    assert words in done.stderr.decode()
    assert b"Traceback" not in done.stderr
    assert done.stdout == b""


def test_a_file_with_five_mistakes_gets_five_lines(tmp_path: Path) -> None:
    """All of them at once, each with its line."""
    flow = tmp_path / "flow.toml"
    flow.write_text(
        '[llm]\nmodle = "x"\n[runtime]\nshutdown = 5\n[workflows.flow]\nmode = "dga"\n'
        '[[workflows.flow.steps]]\nname = "a"\nfunction = "no.such:thing"\nafter = "zzz"\n'
    )
    done = understudy("run", flow)
    assert done.returncode == 78
    said = done.stderr.decode()
    assert "5 problems" in said
    for line in (2, 4, 6, 9, 10):
        assert f"line {line}:" in said, said


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_what_is_finished(tree: Path, number: int, code: int) -> None:
    """The digest of the finished documents is printed, the unfinished ones are said."""
    (tree / "sub" / "c.txt").write_text("Never answered. Not this one.")
    with ProviderServer(["Quick.", "Quick.", Blackhole()]) as server:
        process = subprocess.Popen(
            [sys.executable, "-m", "understudy", "run", str(DIGEST), str(tree),
             "--model", "openai-compatible:any"],
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env=environment({"UNDERSTUDY_LLM__BASE_URL": server.base_url}),
        )  # fmt: skip
        server.until(lambda it: len(it.requests) == 3)
        process.send_signal(number)
        page, said = process.communicate(timeout=30)
    assert process.returncode == code, said
    assert b"interrupted; not finished" in said
    assert b"Digest" in page


def test_help_leads_with_examples() -> None:
    """Both helps show commands that work as they stand."""
    for arguments in ((), ("--help",), ("run", "--help")):
        done = understudy(*arguments)
        assert b"Examples:" in done.stdout + done.stderr
        assert b"understudy run demos/digest.toml" in done.stdout + done.stderr
