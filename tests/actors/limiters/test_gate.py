import math

import pytest

from understudy.actors.limiters.gate import SLOW_START, Gate


def test_an_open_gate_lets_everybody_pass() -> None:
    """Before the first 429 there is no bound."""
    gate = Gate()
    for _ in range(1_000):
        assert gate.wait(0.0) == 0.0
        gate.enter()


def test_it_is_closed_for_what_was_asked_and_some_jitter() -> None:
    """Never less than Retry-After, at most a tenth more."""
    for random in (0.0, 0.5, 0.999):
        gate = Gate()
        seconds = gate.close(100.0, gate.enter(), 8.0, random)
        assert 8.0 <= seconds < 8.8
        assert gate.wait(100.0) == pytest.approx(seconds)
        assert gate.wait(100.0 + seconds) == 0.0


def test_without_a_time_it_doubles() -> None:
    """1, 2, 4 s up to a minute, for one 429 after the other; a success begins anew."""
    gate, now = Gate(), 0.0
    waits = []
    for _ in range(8):
        waits.append(gate.close(now, gate.enter(), None, 0.0))
        now += waits[-1]
    assert waits == [1, 2, 4, 8, 16, 32, 60, 60]
    gate.leave(gate.enter(), ok=True)
    assert gate.close(now, gate.enter(), None, 0.0) == 1.0


def test_behind_it_calls_start_slowly() -> None:
    """One, then twice as many with every round of successes, then no bound any more."""
    gate = Gate()
    gate.close(0.0, gate.enter(), 1.0, 0.0)
    rounds: list[int] = []
    while gate.wait(2.0) == 0.0 and len(rounds) < 10:
        passed: list[int] = []
        while gate.wait(2.0) == 0.0 and len(passed) <= 2 * SLOW_START:
            passed.append(gate.enter())
        rounds.append(len(passed))
        for epoch in passed:
            gate.leave(epoch, ok=True)
        if rounds[-1] > SLOW_START:
            break
    assert rounds == [1, 2, 4, 8, 16, 32, 2 * SLOW_START + 1]


def test_failures_do_not_widen_a_slow_start() -> None:
    """Whoever failed made room for one, not for two."""
    gate = Gate()
    gate.close(0.0, gate.enter(), 1.0, 0.0)
    gate.leave(gate.enter(), ok=False)
    gate.enter()
    assert gate.wait(2.0) == math.inf


def test_the_429s_of_one_moment_are_one() -> None:
    """Calls that were under way when it closed have the same cause: no further strike."""
    gate = Gate()
    old = [gate.enter() for _ in range(50)]
    closed = [gate.close(0.0, epoch, None, 0.5) for epoch in old]
    assert closed[0] > 0
    assert closed[1:] == [0.0] * 49
    assert gate.wait(0.0) < 1.2


def test_a_later_time_from_an_older_call_extends_it() -> None:
    """The longest Retry-After counts; a shorter one changes nothing."""
    gate = Gate()
    first, second, third = (gate.enter() for _ in range(3))
    gate.close(0.0, first, 5.0, 0.0)
    assert gate.close(0.0, second, 3.0, 0.0) == 0.0
    assert gate.close(0.0, third, 20.0, 0.0) == 20.0
    assert gate.wait(0.0) == 20.0


def test_calls_from_before_do_not_hold_up_the_slow_start() -> None:
    """What was under way when it closed may take minutes; the next one goes when it opens."""
    gate = Gate()
    long = [gate.enter() for _ in range(10)]
    gate.close(0.0, long.pop(), 1.0, 0.0)
    assert gate.wait(1.0) == 0.0
    first = gate.enter()
    assert gate.wait(1.0) == math.inf
    gate.leave(long.pop(), ok=True)
    assert gate.wait(1.0) == math.inf, "an old success widens nothing"
    gate.leave(first, ok=True)
    assert gate.wait(1.0) == 0.0
