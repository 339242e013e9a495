"""`understudy doctor`, as a process of its own."""

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from understudy.messages.codec import decode_json
from understudy.runtime.edge.doctor.point import DoctorReport

if TYPE_CHECKING:
    from tests.runtime.edge.conftest import Cli


def test_every_point_says_what_was_found_and_what_the_guide_says(
    cli: "Cli", tmp_path: Path
) -> None:
    """On stdout, with the key to change; nothing on stderr, exit code 0."""
    file = tmp_path / "understudy.toml"
    file.write_text("[streaming]\nbuffer_size = 5\n")
    done = cli.run("doctor", file)
    assert done.returncode == 0, done.stderr
    page = done.stdout.decode()
    assert page.count("    guide    ") == 15
    assert " 2. Configure appropriate buffer sizes: change" in page
    # A long path is folded wherever the line ends.
    assert f"streaming.buffer_size=5({file}line2)" in "".join(page.split())
    assert "    change   streaming.buffer_size = 100: the guide's sizes lie" in page
    assert " 9. Profile memory usage: not judged" in page
    assert done.stderr == b""


def test_json_is_one_report(cli: "Cli") -> None:
    """And nothing else on stdout."""
    done = cli.run("doctor", cli.digest, "--json")
    report = decode_json(done.stdout, DoctorReport, max_size=1 << 20)
    assert len(report.points) == 15
    assert report.source == str(cli.digest)


def test_without_a_file_it_is_the_usual_one_or_none(cli: "Cli", tmp_path: Path) -> None:
    """What was judged is said."""
    bare = cli.run("doctor", env={"UNDERSTUDY_STREAMING__BUFFER_SIZE": "7"})
    assert b"checklist against the environment and the defaults: " in bare.stdout
    assert b"buffer_size = 7 (environment UNDERSTUDY_STREAMING__BUFFER_SIZE)" in bare.stdout
    (tmp_path / "understudy.toml").write_text("[streaming]\nbuffer_size = 8\n")
    assert b"checklist against understudy.toml: " in cli.run("doctor").stdout


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[llm]\nmodle = 'x'\n[stream]\n", ["2 problems", "did you mean 'model'"]),
        (None, ["cannot be read: no such file"]),
    ],
)
def test_a_configuration_that_is_wrong_is_not_judged(
    cli: "Cli", tmp_path: Path, text: str | None, words: list[str]
) -> None:
    """Everything that is wrong with it is said, and exit code 78."""
    file = tmp_path / "bad.toml"
    if text is not None:
        file.write_text(text)
    done = cli.run("doctor", file)
    assert (done.returncode, done.stdout) == (78, b"")
    assert all(word in done.stderr.decode() for word in words), done.stderr


@pytest.mark.parametrize("columns", ["20", "60", "200"])
def test_no_width_hides_anything(cli: "Cli", columns: str) -> None:
    """Words are wrapped, never cut."""
    done = cli.run("doctor", cli.digest, env={"COLUMNS": columns})
    assert done.returncode == 0
    assert "…" not in done.stdout.decode()
    assert max(map(len, done.stdout.decode().splitlines())) <= 110
    assert "deadlines and cancellation travel with every message" in " ".join(
        done.stdout.decode().split()
    )


def test_keys_of_accounts_are_not_shown(cli: "Cli", tmp_path: Path) -> None:
    """Neither from the file nor from the environment."""
    file = tmp_path / "understudy.toml"
    file.write_text('[llm]\nmodel = "openai:x"\napi_key = "sk-planted"\n')
    for arguments in ([file], [file, "--json"]):
        done = cli.run("doctor", *arguments)
        assert done.returncode == 0
        assert b"sk-planted" not in done.stdout + done.stderr
