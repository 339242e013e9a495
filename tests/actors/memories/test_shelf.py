"""The conversations in the process: bounds, and what is counted."""

from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.memories.shelf import Shelf, Talk
from understudy.messages.chat import SystemMessage, UserMessage
from understudy.messages.memories import MemorySpec

steps = st.lists(
    st.tuples(st.sampled_from("abcdef"), st.integers(1, 40), st.booleans()), max_size=60
)


@given(steps, st.integers(1, 4), st.integers(30, 120), st.booleans())
def test_the_bounds_hold_and_the_bytes_add_up(
    plan: list[tuple[str, int, bool]], max_sessions: int, max_bytes: int, durable: bool
) -> None:
    """Whatever comes in whatever order; what is not saved yet stays where there is a file."""
    shelf = Shelf(MemorySpec(max_sessions=max_sessions, max_bytes=max_bytes))
    for now, (session, size, saved) in enumerate(plan):
        key = ("", session)
        talk = shelf.find(key, now)
        if talk is None:
            talk = Talk(now)
            shelf.put(key, talk)
        number = shelf.append(key, talk, [UserMessage(content="x")], b"x" * size)
        if durable and not saved:
            talk.unsaved[number] = b""
        shelf.make_room(durable=durable)
        assert shelf.bytes == sum(each.size for each in shelf.talks.values())
        for each in shelf.talks.values():
            assert each.size == sum(turn.size for turn in each.turns)
            assert len(each.messages) == sum(turn.count for turn in each.turns)
        if not any(each.unsaved for each in shelf.talks.values()):
            assert len(shelf.talks) <= max_sessions
            assert shelf.bytes <= max(max_bytes, 40)
        if durable:
            assert shelf.evicted == shelf.dropped_turns == 0
        assert key in shelf.talks or durable


def test_the_oldest_turns_go_but_not_the_rules() -> None:
    """System messages at the beginning go with the turn that comes first then."""
    talk = Talk(0.0)
    talk.add(0, [SystemMessage(content="rule"), UserMessage(content="0")], 10)
    talk.add(1, [UserMessage(content="1")], 5)
    talk.add(2, [UserMessage(content="2")], 5)
    assert talk.drop_oldest() == 10
    assert [each.content for each in talk.messages] == ["rule", "1", "2"]
    assert talk.drop_oldest() == 5
    assert [each.content for each in talk.messages] == ["rule", "2"]
    assert talk.size == 5
