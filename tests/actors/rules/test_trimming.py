import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.rules.trimming import trim
from understudy.messages.chat import (
    AssistantMessage,
    Message,
    SystemMessage,
    ToolCall,
    ToolMessage,
    UserMessage,
)


def weigh(message: Message) -> int:
    """By its text."""
    return len(str(message.content))


@st.composite
def turns(draw: st.DrawFn) -> list[Message]:
    """What the user said, some rounds of calls with their results, an answer or none."""
    number = draw(st.integers(0, 10**6))
    said: list[Message] = [UserMessage(content=draw(st.text(max_size=30)))]
    for round_ in range(draw(st.integers(0, 3))):
        ids = [f"{number}-{round_}-{n}" for n in range(draw(st.integers(1, 3)))]
        said.append(AssistantMessage(tool_calls=tuple(ToolCall(id=i, name="t") for i in ids)))
        said += [ToolMessage(call_id=i, name="t", content="r" * (len(i) % 7)) for i in ids]
    if draw(st.booleans()):
        said.append(AssistantMessage(content=draw(st.text(max_size=30))))
    return said


@st.composite
def histories(draw: st.DrawFn) -> tuple[Message, ...]:
    """System messages, then turns."""
    system = [SystemMessage(content="sys") for _ in range(draw(st.integers(0, 2)))]
    return (*system, *(m for turn in draw(st.lists(turns(), max_size=8)) for m in turn))


bounds = st.one_of(st.none(), st.integers(0, 40))


@given(histories(), bounds, st.one_of(st.none(), st.integers(0, 400)), st.booleans())
def test_what_is_kept_can_be_said(
    history: tuple[Message, ...], limit: int | None, window: int | None, keep_first: bool
) -> None:
    """Both bounds hold, the order stays, calls and results stay together, a user begins."""
    kept = trim(history, limit=limit, window=window, weigh=weigh, keep_first=keep_first)
    system = tuple(each for each in history if isinstance(each, SystemMessage))
    assert kept[: len(system)] == system
    rest = kept[len(system) :]
    assert limit is None or len(rest) <= limit
    assert window is None or not rest or sum(map(weigh, kept)) <= window
    places = [next(i for i, each in enumerate(history) if each is one) for one in kept]
    assert places == sorted(set(places))
    calls = [c.id for each in rest if isinstance(each, AssistantMessage) for c in each.tool_calls]
    assert calls == [each.call_id for each in rest if isinstance(each, ToolMessage)]
    assert not rest or isinstance(rest[0], UserMessage)
    if limit is None and window is None:
        assert kept == history


def conversation(count: int) -> tuple[Message, ...]:
    """Questions and answers, of two characters each as long as there are few."""
    said: list[Message] = []
    for n in range(count):
        said += [UserMessage(content=f"q{n}"), AssistantMessage(content=f"a{n}")]
    return tuple(said)


def test_the_last_messages_are_kept() -> None:
    """The system message and as many whole turns as the limit has room for."""
    history = (SystemMessage(content="be kind"), *conversation(10))
    assert trim(history, limit=5) == (history[0], *history[-4:])
    assert trim(history, limit=0) == (history[0],)


def test_the_first_turn_is_kept_where_asked() -> None:
    """It counts, and is not kept where it does not fit."""
    history = conversation(10)
    assert trim(history, limit=4, keep_first=True) == (*history[:2], *history[-2:])
    assert trim(history, limit=1, keep_first=True) == ()


def test_a_window_is_kept_by_weight() -> None:
    """Each message weighs two here."""
    history = conversation(10)
    assert trim(history, window=9, weigh=weigh) == history[-4:]
    assert trim(history, window=-3, weigh=weigh) == ()


def test_of_a_long_turn_the_last_answers_are_kept() -> None:
    """Behind what the user said; a call never without its results."""
    call = AssistantMessage(tool_calls=(ToolCall(id="1", name="t"), ToolCall(id="2", name="t")))
    results: tuple[Message, ...] = tuple(
        ToolMessage(call_id=i, name="t", content="r") for i in "12"
    )
    user, end = UserMessage(content="q"), AssistantMessage(content="a")
    history = (user, call, *results, call, *results, end)
    assert trim(history, limit=5) == (user, call, *results, end)
    assert trim(history, limit=4) == (user, end)
    assert trim(history, limit=1) == ()


@pytest.mark.parametrize("size", [10, 2000])
def test_only_what_is_kept_is_looked_at(size: int) -> None:
    """A long history costs no more than a short one."""
    looked: list[Message] = []

    def counting(message: Message) -> int:
        looked.append(message)
        return 1

    trim(conversation(size), window=6, weigh=counting)
    assert len(looked) <= 8
