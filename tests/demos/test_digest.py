"""The demo, without its command line."""

from pathlib import Path

import pytest

from understudy import Runtime, Workflow
from understudy.messages.agents import AgentSpec
from understudy.messages.workflows import WorkflowSpec
from understudy.runtime.config.build import build_workflow
from understudy.runtime.config.load import load_config
from understudy.runtime.graph import check_workflow

DIGEST = Path(__file__).parents[2] / "demos" / "digest.toml"


@pytest.fixture
def spec() -> WorkflowSpec:
    """The workflow as the file says it."""
    return build_workflow(load_config(DIGEST, {}, check=check_workflow), "digest")


def test_it_loads_and_builds(spec: WorkflowSpec) -> None:
    """Find, read and summarise each, write: bounded, and one bad document costs only itself."""
    assert [step.name for step in spec.steps] == ["find", "document", "write"]
    find, document, write = spec.steps
    assert isinstance(document.target, WorkflowSpec)
    assert [step.name for step in document.target.steps] == ["read", "summarise"]
    assert (document.each, document.on_error, document.max_concurrent) == ("{find}", "continue", 8)
    assert find.effects == write.effects == document.target.steps[0].effects == "none"
    agent = document.target.steps[1].target
    assert isinstance(agent, AgentSpec)
    assert agent.model == "local:extractive"


def test_it_digests(spec: WorkflowSpec, runtime: Runtime, tmp_path: Path) -> None:
    """Quotes under their paths, an overview, and what could not be digested and why."""
    (tmp_path / "a.md").write_text("# A\n\nActors exchange messages. Each handles one at a time.\n")
    (tmp_path / "b.txt").write_text("")
    result = Workflow.from_spec(spec).run([str(tmp_path), "nowhere.md"], runtime=runtime)
    page = result.output
    assert f"### `{tmp_path / 'a.md'}`\n\n> Actors exchange messages.\n" in page
    assert f"- `{tmp_path / 'b.txt'}`: the file is empty; write something into it" in page
    assert "- `nowhere.md`: there is no such file or folder; check the spelling" in page
    items = [r for path, r in result.steps.items() if "/" not in path and "[" in path]
    assert {Path(item.label).name for item in items} == {"a.md", "b.txt", "nowhere.md"}


def test_no_more_documents_are_in_flight_than_configured(
    spec: WorkflowSpec, runtime: Runtime, tmp_path: Path
) -> None:
    """From the reading of its text to its summary, each document counts."""
    for number in range(30):
        (tmp_path / f"{number}.txt").write_text(f"Text {number} is here. It is short.")
    result = Workflow.from_spec(spec).run([str(tmp_path)], runtime=runtime)
    records = [record for path, record in result.steps.items() if path.startswith("document[")]
    documents = [record for record in records if "/" not in record.path]
    assert len(documents) == 30
    edges = sorted(
        [(r.start, 1) for r in documents if r.start is not None]
        + [(r.end, -1) for r in documents if r.end is not None]
    )
    at_work = peak = 0
    for _, change in edges:
        at_work += change
        peak = max(peak, at_work)
    assert 1 < peak <= 8
