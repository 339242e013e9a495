from enum import Enum
from types import NoneType
from typing import Annotated, Any, Literal, Optional, Union

import msgspec
import pytest

from understudy.messages.agents import AgentSpec, RunAgent
from understudy.messages.chat import Usage
from understudy.messages.codec import decode, decode_json, encode, encode_json
from understudy.messages.control import Ledger
from understudy.messages.errors import ConfigError
from understudy.messages.functions import FunctionRef
from understudy.messages.secrets import Secret
from understudy.messages.specs import load_functions
from understudy.messages.types import TypeRef, load_type, type_ref
from understudy.messages.workflows import StepSpec, WorkflowSpec

HINTS: list[Any] = [
    Usage,
    int,
    Secret,
    list[Usage],
    dict[str, list[Usage]],
    tuple[int, ...],
    tuple[int, str],
    Usage | None,
    Optional[Usage],  # noqa: UP045 - another form at run time
    Union[Usage, Ledger],  # noqa: UP007 - another form at run time
    Usage | Ledger | int,
    list[Usage | None],
    Literal["a", 1, True],
]


@pytest.mark.parametrize("hint", HINTS, ids=str)
def test_types_come_back(hint: Any) -> None:
    """A type is equal after a trip in an agent, once it is loaded; decoding alone imports none."""
    spec = AgentSpec(model="m", output=hint)
    for back in (decode(encode(spec), AgentSpec), decode_json(encode_json(spec), AgentSpec)):
        assert isinstance(back.output, (FunctionRef, TypeRef))
        assert load_functions(back).output == hint
        assert encode(back) == encode(spec)


def test_none_is_a_type_and_the_absence_of_one() -> None:
    """An agent without output= stays one; the type of None is loaded as such."""
    assert decode(encode(AgentSpec()), AgentSpec).output is None
    assert load_type(type_ref(None)) is NoneType


def test_a_type_is_loaded_inside_a_workflow() -> None:
    """The agents of steps, nested ones too, get their types back."""
    inner = WorkflowSpec(
        name="in",
        mode="dag",
        steps=(StepSpec(name="s", target=AgentSpec(model="m", output=list[Usage])),),
    )
    spec = WorkflowSpec(name="out", mode="dag", steps=(StepSpec(name="t", target=inner),))
    assert load_functions(decode(encode(spec), WorkflowSpec)) == spec


class Inner(Enum):
    """At the top of its module, and an enum."""

    A = "a"


def test_what_has_no_path_is_refused_by_name() -> None:
    """A local class, also within a list, and metadata stay here; the error names the agent."""

    class Local(msgspec.Struct):
        n: int

    unions: list[Any] = [Local, list[Local], Local | None]
    for hint in unions:
        spec = AgentSpec(model="m", name="geo", output=hint)
        for value in (spec, RunAgent(spec=spec, prompt="p")):
            with pytest.raises(ConfigError, match=r"agent 'geo' has an output= .*Local is defined"):
                encode(value)
    step = StepSpec(name="s", target=AgentSpec(output=Local))
    with pytest.raises(ConfigError, match=r"step 's': an agent without a name has an output="):
        encode(WorkflowSpec(name="w", mode="dag", steps=(step,)))
    with pytest.raises(ConfigError, match="put it into a msgspec"):
        encode(AgentSpec(output=Annotated[int, msgspec.Meta(ge=1)]))
    with pytest.raises(ConfigError, match="its values are not plain"):
        encode(AgentSpec(output=Literal[Inner.A]))
    with pytest.raises(ConfigError, match="not a class with an import path"):
        encode(AgentSpec(output="City"))


def test_loading_names_what_leads_nowhere() -> None:
    """A path to nothing, or to a function, is an error that names the agent."""
    nowhere = AgentSpec(name="geo", output=FunctionRef("understudy.messages.chat:Usge"))
    with pytest.raises(ConfigError, match=r"agent 'geo', output=: .*did you mean 'Usage'"):
        load_functions(nowhere)
    for ref in (FunctionRef("json:dumps"), TypeRef(path="json:dumps", args=(FunctionRef("x:y"),))):
        with pytest.raises(ConfigError, match=r"is not a class|cannot be imported"):
            load_type(ref)
    with pytest.raises(ConfigError, match="no members"):
        load_type(TypeRef(path="typing:Union"))


def test_only_what_is_allowed_is_loaded() -> None:
    """The receiver's table decides, for the parts of a type too."""
    asked: list[str] = []

    def load(path: str) -> Any:
        asked.append(path)
        return {"builtins:list": list, "a:City": Usage}[path]

    ref = TypeRef(path="builtins:list", args=(FunctionRef("a:City"),))
    assert load_type(ref, load) == list[Usage]
    assert asked == ["a:City", "builtins:list"]


class Model:
    """What pydantic.BaseModel has, as far as it is asked for."""

    def model_dump(self, *, mode: str) -> dict[str, str]:
        """Plain data, in JSON's own types."""
        return {"mode": mode}


def test_models_encode_as_what_they_dump() -> None:
    """The result of an agent whose output is a pydantic model leaves the process like any other."""
    assert decode(encode([Model()]), list[Any]) == [{"mode": "json"}]
    assert encode_json(Model()) == b'{"mode":"json"}'
