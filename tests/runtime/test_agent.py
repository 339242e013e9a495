import typing
from typing import Any

import msgspec
import pytest

from understudy import Agent, AgentSpec, ConfigError
from understudy.messages.agents import AgentOptions
from understudy.testing import FakeModel


class City(msgspec.Struct):
    name: str


class Plain:
    pass


class Open(msgspec.Struct):
    other: "Nowhere"  # type: ignore[name-defined]  # noqa: F821


def function() -> None:
    """No type."""


def test_type_checkers_know_every_field() -> None:
    """The options that an Agent is checked against are the fields of its spec."""
    given = set(AgentSpec.__struct_fields__) - {"model", "output"}
    assert set(AgentOptions.__annotations__) == given


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (function, "output=function is not a type; pass a class"),
        (City("x"), r"output=City\(name='x'\) is not a type"),
        ("City", "output='City' is not a type"),
        ([City], "is not a type"),
        ({"name": str}, "is not a type"),
        (3, "output=3 is not a type"),
        (Plain, "output=Plain has no JSON form"),
        (object, "output=object has no JSON form"),
        (list[Plain], r"output=list\[Plain\] has no JSON form"),
        (City | Plain, r"output=City \| Plain has no JSON form"),
        (typing.Any, "output=Any has no JSON form: it says nothing"),
        (typing.Callable, "output=Callable"),
        (Open, "output=Open refers to a class that does not exist here: name 'Nowhere'"),
    ],
)
def test_what_no_answer_can_be_is_refused_when_the_agent_is_made(output: Any, told: str) -> None:
    """The error names the agent and the type; also where a copy is changed to it."""
    with pytest.raises(ConfigError, match=f"agent 'geo': {told}|agent 'geo': output=.*{told}"):
        Agent("m", name="geo", output=output)
    with pytest.raises(ConfigError, match="an agent without a name: output="):
        Agent("m").with_(output=output)


def test_a_type_for_one_call(runtime: Any) -> None:
    """output= is an option of a run like any other, and leaves the agent alone."""
    agent: Any = Agent(FakeModel(['{"name": "Paris"}', "text"]))
    assert agent.run("?", runtime=runtime, output=City).output == City("Paris")
    assert agent.run("?", runtime=runtime).output == "text"


def test_agents_of_one_type_are_one_agent() -> None:
    """An agent without a name is known by what it is, however often its type is written down."""
    first, second = (Agent("m", output=list[City]) for _ in range(2))
    assert first.identity == second.identity != Agent("m", output=list[int]).identity
