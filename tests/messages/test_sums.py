"""What is added up: tokens and message counts."""

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from understudy.messages.chat import Usage
from understudy.messages.control import Ledger

COUNTS = st.integers(0, 10**9)
USAGES = st.builds(
    Usage,
    input_tokens=COUNTS,
    output_tokens=COUNTS,
    cached_tokens=COUNTS,
    reasoning_tokens=COUNTS,
    measured=st.booleans(),
)
PARTS = ("handled", "failed", "expired", "cancelled", "dropped", "queued", "stashed", "running")


@given(USAGES, USAGES)
def test_usage_adds_every_field(one: Usage, other: Usage) -> None:
    """Each count of a sum is the sum of the counts; it is measured only if both were."""
    both = one + other
    for name in ("input_tokens", "output_tokens", "cached_tokens", "reasoning_tokens"):
        assert getattr(both, name) == getattr(one, name) + getattr(other, name)
    assert both.total_tokens == one.total_tokens + other.total_tokens
    assert both.measured == (one.measured and other.measured)


@given(USAGES)
def test_no_usage_is_the_neutral_element(usage: Usage) -> None:
    """Adding nothing changes nothing, whether measured or not."""
    assert usage + Usage() == usage == Usage() + usage


@given(st.lists(COUNTS, min_size=8, max_size=8), COUNTS, COUNTS)
def test_a_ledger_balances_exactly_when_all_is_accounted_for(
    parts: list[int], refused: int, late: int
) -> None:
    """The sum holds with refused and late replies beside it, and breaks if one is lost."""
    counts = dict(zip(PARTS, parts, strict=True))
    ledger = Ledger(**counts, accepted=sum(parts), refused=refused, late_reply=late)
    assert ledger.balanced
    for name in PARTS:
        lost = msgspec.structs.replace(ledger, **{name: getattr(ledger, name) + 1})
        assert not lost.balanced


def test_ledgers_add_field_by_field() -> None:
    """The sum of two ledgers has the sum of every count, those beside the balance included."""
    names = Ledger.__struct_fields__
    one = Ledger(**{name: index + 1 for index, name in enumerate(names)})
    other = Ledger(**dict.fromkeys(names, 100))
    assert msgspec.structs.asdict(one + other) == {
        name: index + 101 for index, name in enumerate(names)
    }
