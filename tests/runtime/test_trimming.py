"""How much of a conversation is sent: `history_limit`, `context_window`, tokenizers."""

from typing import Any

import pytest
from tests.runtime.said import texts

from understudy import Agent, ConfigError, ContextWindowError, Runtime
from understudy.messages.chat import Message
from understudy.testing import FakeModel, call

pytestmark = pytest.mark.anyio


def test_the_last_messages_are_sent(runtime: Runtime) -> None:
    """history_limit of the agent or of the call; the result says what was left out."""
    fake = FakeModel(lambda messages: str(len(messages)))
    agent = Agent(fake, instructions="sys", history_limit=4)
    for n in range(5):
        result = agent.run(f"q{n}", session="s", runtime=runtime)
    assert texts(fake.requests[-1].messages) == ["sys", "q2", "6", "q3", "6", "q4"]
    assert result.trimmed is not None
    assert (result.trimmed.kept, result.trimmed.dropped) == (4, 4)
    assert result.trimmed.tokens is None
    assert texts(result.messages) == ["q2", "6", "q3", "6", "q4", "6"]
    agent.run("q5", session="s", history_limit=2, runtime=runtime)
    assert len(fake.requests[-1].messages) == 4
    first = agent.run("q6", session="s", keep_first=True, runtime=runtime)
    assert texts(first.messages)[:2] == ["q0", "2"]


def test_a_given_history_is_trimmed_too(runtime: Runtime) -> None:
    """What was sent is shorter; what is passed on is all of it."""
    fake = FakeModel.echo()
    agent = Agent(fake, history_limit=2)
    history: tuple[Message, ...] = ()
    for n in range(4):
        result = agent.run(f"q{n}", history=history, runtime=runtime)
        history = result.messages
    assert len(fake.requests[-1].messages) == 3
    assert len(history) == 8
    assert result.trimmed is not None
    assert result.trimmed.dropped == 4


def test_a_window_of_tokens(runtime: Runtime) -> None:
    """Instructions, tools and prompt count; the result says who counted, and how much."""
    fake = FakeModel(lambda _: "word " * 40)
    agent = Agent(fake, instructions="sys", context_window=200)
    for n in range(6):
        trimmed = agent.run(f"q{n}", session="s", runtime=runtime).trimmed
        assert trimmed is not None
        assert trimmed.tokens is not None
        assert trimmed.tokens <= 200
        assert trimmed.tokenizer == "estimate"
        assert (trimmed.dropped > 0) == (n > 3)
    assert fake.requests[-1].messages[0].content == "sys"
    with pytest.raises(ContextWindowError, match=r"prompt are \d+ tokens \(estimate\)"):
        agent.run("x " * 1000, session="s", runtime=runtime)


def test_a_window_holds_for_every_request_of_a_run(runtime: Runtime) -> None:
    """What tools have said takes the place of history, and is never cut itself."""

    def look() -> str:
        """Look."""
        return "seen " * 120

    fake = FakeModel([*["word " * 20] * 4, [call("look")], "done"])
    agent = Agent(fake, tools=[look], context_window=300)
    for n in range(4):
        agent.run(f"q{n}", session="s", runtime=runtime)
    agent.run("q", session="s", runtime=runtime)
    before, after = (texts(each.messages) for each in fake.requests[-2:])
    assert len(before) == 9
    assert len(after) < 9
    assert after[-3:] == ["q", "", "seen " * 120]


def test_another_tokenizer() -> None:
    """Given to the runtime, and named in the result."""

    def letters(text: str) -> int:
        return len(text)

    with Runtime(tokenizer=letters) as rt:
        result = rt.run(Agent(FakeModel.echo(), context_window=100), "12345")
        assert result.trimmed.tokens == 9
        assert "letters" in result.trimmed.tokenizer
    with pytest.raises(ConfigError, match="tokenizer=3"):
        Runtime(tokenizer=3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong", [{"history_limit": -1}, {"context_window": 0}, {"memory": "chat.db"}]
)
def test_what_no_agent_can_have(wrong: Any) -> None:
    """Named when the agent is made."""
    with pytest.raises(ConfigError, match=next(iter(wrong))):
        Agent("m", **wrong)
