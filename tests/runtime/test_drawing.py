from understudy import Agent, PoolRef, Workflow, choose, output_contains, step

A = Agent("openai:x", name="writer")
DRAFT = "s_polish_2f_draft"


def shout(value: str) -> str:
    """Upper case."""
    return value.upper()


INNER = Workflow.loop("polish", step("draft", A), until=output_contains("ok"), max_iterations=3)
FLOW = Workflow.dag(
    "w",
    step("kind", shout, retries=2),
    step("do", choose("{kind}", {'"a"': shout, "b": PoolRef("p")}, default=A), after="kind"),
    step("polish", INNER, after="do", on_error=step("plain", shout)),
    step("all", shout, each="{polish}", when="{do}", after=("polish", "do")),
)


def test_mermaid() -> None:
    """Boxes, what is in them, and what leads where; names cannot break it."""
    text = FLOW.mermaid()
    assert text.splitlines()[0] == "flowchart TD"
    for line in (
        '  s_kind["kind<br/>shout<br/>2 retries"]',
        '  s_do{"do<br/>{kind}<br/>&quot;a&quot;: shout<br/>b: pool p<br/>else: writer"}',
        '  subgraph s_polish["polish<br/>polish"]',
        '    s_polish_2f_draft["draft<br/>writer"]',
        f"    {DRAFT} -- \"at most 3 times until the output contains 'ok'\" --> {DRAFT}",
        "  s_polish -. on error .-> s_plain",
        '  s_all["all<br/>shout<br/>each {polish}<br/>when {do}"]',
        "  s_kind --> s_do",
        "  s_do --> s_all",
    ):
        assert line in text.splitlines()


def test_dot() -> None:
    """The same for Graphviz, with quotes and line ends escaped."""
    lines = FLOW.dot().splitlines()
    assert lines[0] == 'digraph "w" {'
    assert lines[-1] == "}"
    for line in (
        '  "do" [label="do\\n{kind}\\n\\"a\\": shout\\nb: pool p\\nelse: writer", shape=diamond];',
        '  subgraph "cluster_polish" {',
        '    "polish/draft" [label="draft\\nwriter"];',
        '  "polish" -> "plain" [style=dotted, label="on error"];',
        '  "do" -> "polish";',
    ):
        assert line in lines
