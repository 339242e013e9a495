import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.limiters.turns import Turns


def queue(*items: tuple[str, int]) -> Turns[str]:
    """Who waits: names such as `a1`, whose letter is the session, with their priority."""
    turns: Turns[str] = Turns()
    for name, priority in items:
        turns.push(name, session=("", name[0]), priority=priority)
    return turns


def order(turns: Turns[str]) -> list[str]:
    """Everybody, by turn."""
    return [turns.pop() for _ in range(len(turns))]


def test_every_session_has_its_turn_before_any_has_a_second() -> None:
    """One that asks ten times keeps nobody waiting for more than one call."""
    turns = queue(*((f"a{i}", 0) for i in range(3)), ("b0", 0), ("c0", 0), ("b1", 0))
    assert order(turns) == ["a0", "b0", "c0", "a1", "b1", "a2"]


def test_a_lower_priority_number_goes_first() -> None:
    """Whoever came before."""
    assert order(queue(("a0", 5), ("b0", 1), ("c0", 5))) == ["b0", "a0", "c0"]


def test_tenants_do_not_share_a_session() -> None:
    """The same name of a session at two tenants is two sessions."""
    turns: Turns[str] = Turns()
    for name in ("x1", "x2"):
        turns.push(name, session=("x", "s"), priority=0)
    turns.push("y1", session=("y", "s"), priority=0)
    assert order(turns) == ["x1", "y1", "x2"]


def test_nobody() -> None:
    """An empty queue has no next."""
    turns = queue()
    assert turns.peek() is None
    with pytest.raises(IndexError):
        turns.pop()


def test_pruning_takes_out_who_is_gone() -> None:
    """The others keep their order, and empty sessions vanish."""
    turns = queue(("a0", 0), ("b0", 0), ("a1", 0), ("c0", 1))
    assert turns.prune(lambda name: name in ("b0", "c0")) == 2
    assert (len(turns), turns.peek()) == (2, "a0")
    assert order(turns) == ["a0", "a1"]
    assert turns.ahead(("", "z"), 9) == 0


SOMEBODY = st.tuples(st.sampled_from("abc"), st.integers(0, 2))


@given(st.lists(SOMEBODY, max_size=30), SOMEBODY)
def test_ahead_bounds_who_has_a_turn_before(
    waiting: list[tuple[str, int]], newcomer: tuple[str, int]
) -> None:
    """Nobody has more before them than `ahead` said, if nobody else comes."""
    turns = queue(*((f"{name}{i}", priority) for i, (name, priority) in enumerate(waiting)))
    letter, priority = newcomer
    ahead = turns.ahead(("", letter), priority)
    turns.push("me", session=("", letter), priority=priority)
    assert order(turns).index("me") <= ahead


@given(st.lists(st.one_of(SOMEBODY, st.none()), max_size=60))
def test_nobody_is_lost(moves: list[tuple[str, int] | None]) -> None:
    """Whatever comes and goes: everybody once, and the length is true."""
    turns: Turns[int] = Turns()
    waiting: set[int] = set()
    for number, move in enumerate(moves):
        if move is not None:
            turns.push(number, session=("", move[0]), priority=move[1])
            waiting.add(number)
        elif waiting:
            waiting.remove(turns.pop())
        assert len(turns) == len(waiting)
    assert {turns.pop() for _ in range(len(turns))} == waiting
