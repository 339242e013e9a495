import asyncio
from typing import Any

import msgspec
import pytest

from understudy import (
    Agent,
    AssistantMessage,
    Complete,
    Completion,
    ConfigError,
    HookError,
    Hooks,
    Runtime,
    ToolCall,
    ToolError,
    ToolMessage,
    ToolResult,
    Usage,
    UserMessage,
)
from understudy.messages.agents import AgentSpec
from understudy.messages.codec import decode, encode
from understudy.messages.specs import load_functions
from understudy.testing import FakeModel, call


async def double(n: int) -> int:
    """Double a number."""
    return 2 * n


def note(seen: list[str], name: str) -> Any:
    """A hook that only looks on."""

    async def hook(*given: Any) -> None:
        seen.append(f"{name}:{','.join(type(each).__name__ for each in given)}")

    return hook


def test_hooks_are_called_around_every_call(runtime: Runtime) -> None:
    """Each in its place, with what it is about; None changes nothing."""
    seen: list[str] = []
    names = ("before_model", "after_model", "before_tool", "after_tool")
    hooks = Hooks(**{name: note(seen, name) for name in names})
    fake = FakeModel([call("double", n=2), "4"])
    assert runtime.run(Agent(fake, tools=[double], hooks=hooks), "q").output == "4"
    assert seen == [
        "before_model:Complete",
        "after_model:Complete,Completion",
        "before_tool:ToolCall",
        "after_tool:ToolCall,ToolResult",
        "before_model:Complete",
        "after_model:Complete,Completion",
    ]


def test_hooks_may_put_something_in_the_place(runtime: Runtime) -> None:
    """Another request, answer, call, result; sync hooks will do."""

    def before_model(request: Complete) -> Complete:
        last = request.messages[-1]
        if not isinstance(last, UserMessage):
            return request
        hidden = UserMessage(content=str(last.content).replace("secret", "***"))
        return msgspec.structs.replace(request, messages=(*request.messages[:-1], hidden))

    def after_model(_: Complete, answer: Completion) -> Completion | None:
        if answer.message.tool_calls:
            return None
        shouted = AssistantMessage(content=answer.message.content.upper())
        return msgspec.structs.replace(answer, message=shouted)

    def before_tool(asked: ToolCall) -> ToolCall:
        return msgspec.structs.replace(asked, arguments={"n": 21})

    def after_tool(_: ToolCall, result: ToolResult) -> ToolResult:
        return msgspec.structs.replace(result, content=f"it is {result.content}")

    hooks = Hooks(
        before_model=before_model,
        after_model=after_model,
        before_tool=before_tool,
        after_tool=after_tool,
    )
    fake = FakeModel([call("double", n=1), "done"])
    result = runtime.run(Agent(fake, tools=[double], hooks=hooks), "my secret")
    assert result.output == "DONE"
    assert fake.requests[0].messages == (UserMessage(content="my ***"),)
    told = fake.requests[1].messages[-1]
    assert isinstance(told, ToolMessage)
    assert told.content == "it is 42"
    assert result.messages[0] == UserMessage(content="my secret")


def test_hooks_may_answer_themselves(runtime: Runtime) -> None:
    """A Completion instead of a request asks no model; a ToolResult calls no tool."""

    def canned(request: Complete) -> Completion:
        return Completion(
            message=AssistantMessage(content="canned"),
            finish_reason="stop",
            usage=Usage(),
            model=request.model,
            provider="hook",
        )

    fake = FakeModel([])
    result = runtime.run(Agent(fake, hooks=Hooks(before_model=canned)), "q")
    assert (result.output, result.attempts, fake.requests) == ("canned", 0, [])

    def stub(asked: ToolCall) -> ToolResult:
        return ToolResult(call_id=asked.id, name=asked.name, content="7", value=7)

    fake = FakeModel([call("double", n=1), "done"])
    result = runtime.run(Agent(fake, tools=[double], hooks=Hooks(before_tool=stub)), "q")
    assert result.tool_calls[0].result == 7


def test_a_hook_may_refuse_a_call(runtime: Runtime) -> None:
    """The model reads why, and the tool is not called."""
    called: list[int] = []

    async def buy(n: int) -> str:
        """Buy."""
        called.append(n)
        return "bought"

    def guard(asked: ToolCall) -> None:
        if asked.arguments["n"] > 3:
            raise ToolError("too many")

    fake = FakeModel([[call("buy", n=9), call("buy", n=2)], "ok"])
    result = runtime.run(Agent(fake, tools=[buy], hooks=Hooks(before_tool=guard)), "q")
    assert [record.error for record in result.tool_calls] == ["too many", None]
    assert called == [2]


@pytest.mark.parametrize("name", ["before_model", "after_model", "before_tool", "after_tool"])
def test_a_hook_that_raises_fails_the_run_by_name(runtime: Runtime, name: str) -> None:
    """The error names the hook and what it raised; its usage is kept."""

    def broken(*_: Any) -> None:
        raise KeyError("oops")

    hooks = Hooks(**{name: broken})
    agent = Agent(FakeModel([call("double", n=2), "4"]), tools=[double], hooks=hooks)
    with pytest.raises(HookError, match=f"hook {name} raised KeyError: 'oops'") as caught:
        runtime.run(agent, "q")
    assert caught.value.hook == name
    assert isinstance(caught.value.__cause__, KeyError)
    assert (caught.value.usage is None) == (name == "before_model")


@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, asyncio.CancelledError])
@pytest.mark.parametrize("name", ["before_model", "after_tool"])
def test_a_hook_ends_nobody_else(runtime: Runtime, name: str, kind: type[BaseException]) -> None:
    """Also what would end a program or a task is its failure, and no more."""

    def broken(*_: Any) -> None:
        raise kind("oops")

    hooks = Hooks(**{name: broken})
    agent = Agent(FakeModel([call("double", n=2), "4"]), tools=[double], hooks=hooks)
    with pytest.raises(HookError, match=f"hook {name} raised {kind.__name__}: oops"):
        runtime.run(agent, "q")


def test_a_hook_that_gives_something_else_is_named(runtime: Runtime) -> None:
    """What a hook may give is in the error."""
    agent = Agent(FakeModel(["x"]), hooks=Hooks(after_model=lambda *_: "text"))
    with pytest.raises(HookError, match="gave a str; it may give None or Completion"):
        runtime.run(agent, "q")
    wrong: Any = "print"
    with pytest.raises(ConfigError, match=r"Hooks\(before_tool='print'\)"):
        Hooks(before_tool=wrong)


def hook_of_a_module(request: Complete) -> None:
    """One that another process can find."""
    del request


def test_hooks_encode_by_their_path(runtime: Runtime) -> None:
    """What comes back has to be loaded before it runs, and the error says so."""
    agent = Agent("openai:gpt-5", hooks=Hooks(before_model=hook_of_a_module))
    found = decode(encode(agent), AgentSpec)
    assert found.hooks is not None
    changed = msgspec.structs.replace(found, model=FakeModel(["x"]))
    with pytest.raises(ConfigError, match="before_model is still a path"):
        runtime.run(changed, "q")
    assert runtime.run(load_functions(changed), "q").output == "x"


def test_what_stays_here_is_named_when_it_shall_leave() -> None:
    """A hook, a tool, a fallback of this process alone: the error says which agent has it."""

    def local(request: Complete) -> None:
        del request

    inner = Agent("openai:gpt-5", name="inner", tools=[local])
    for agent, problem in (
        (Agent("openai:gpt-5", name="a", hooks=Hooks(before_model=local)), "'a', before_model="),
        (Agent("openai:gpt-5", name="a", tools=[local]), "'a', tools="),
        (Agent("openai:gpt-5", name="a", tools=[inner.as_tool()]), "'a', tool 'inner': agent"),
        (Agent("openai:gpt-5", name="a", fallback=[FakeModel(["x"])]), "in its fallback="),
    ):
        with pytest.raises(ConfigError, match=problem):
            encode(agent)


def test_something_else_than_hooks_or_a_budget_is_refused() -> None:
    """Where it is given, not where it would be called."""
    wrong: Any = print
    with pytest.raises(ConfigError, match=r"give a Hooks\("):
        Agent("openai:gpt-5", hooks=wrong)
    with pytest.raises(ConfigError, match=r"give a Budget\("):
        Agent("openai:gpt-5", budget=wrong)
    with pytest.raises(ConfigError, match="write a list"):
        Agent("openai:gpt-5", tools=wrong)
    with pytest.raises(ConfigError, match="write a list"):
        Agent("openai:gpt-5", fallback="openai:gpt-5-mini")
