import pytest
from hypothesis import given
from hypothesis import strategies as st

from understudy.actors.rules.restarts import RestartHistory, RestartPolicy

PLAIN = RestartPolicy(jitter=0.0)


def test_the_delay_doubles_up_to_its_bound() -> None:
    """0.1 s, 0.2 s, 0.4 s, ..., never more than 10 s."""
    policy = RestartPolicy(intensity=100, jitter=0.0)
    history = RestartHistory()
    delays = [history.delay(policy, float(at), 0.5) for at in range(10)]
    assert delays == pytest.approx([0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 6.4, 10.0, 10.0, 10.0])


def test_more_than_the_intensity_within_the_period_is_too_often() -> None:
    """Five failures in 30 s are tolerated, the sixth is not; a failure of 30 s ago is none."""
    history = RestartHistory()
    assert None not in [history.delay(PLAIN, at, 0.5) for at in (0.0, 1, 2, 3, 4)]
    assert history.delay(PLAIN, 29.9, 0.5) is None
    history = RestartHistory()
    assert None not in [history.delay(PLAIN, at, 0.5) for at in (0.0, 1, 2, 3, 4, 30.0)]


def test_an_intensity_of_zero_tolerates_nothing() -> None:
    """The first failure is one too many."""
    assert RestartHistory().delay(RestartPolicy(intensity=0), 0.0, 0.5) is None


def test_the_backoff_is_forgotten_after_quiet_seconds() -> None:
    """60 s without a failure and it begins at 0.1 s again; a moment less and it goes on."""
    for pause, delay in ((60.0, 0.1), (59.9, 0.4)):
        history = RestartHistory()
        history.delay(PLAIN, 0.0, 0.5)
        history.delay(PLAIN, 1.0, 0.5)
        assert history.delay(PLAIN, 1.0 + pause, 0.5) == pytest.approx(delay)


def test_the_account_is_one_childs() -> None:
    """Others that fail use up nothing of it (B4)."""
    histories = [RestartHistory() for _ in range(10)]
    assert None not in [each.delay(RestartPolicy(intensity=1), 0.0, 0.5) for each in histories]


@given(st.floats(0, 1, exclude_max=True), st.integers(0, 12))
def test_the_jitter_stays_within_its_share(random: float, failures: int) -> None:
    """20 % up or down around the delay, so that children of one cause come back apart."""
    policy = RestartPolicy(intensity=100)
    history, plain = RestartHistory(), RestartHistory()
    for at in range(failures):
        history.delay(policy, float(at), 0.5)
        plain.delay(policy, float(at), 0.5)
    delay, middle = history.delay(policy, 20.0, random), plain.delay(policy, 20.0, 0.5)
    assert delay is not None
    assert middle is not None
    assert 0.8 * middle - 1e-9 <= delay <= 1.2 * middle + 1e-9
    assert (delay < middle) == (random < 0.5)


@given(st.lists(st.floats(0.0, 20.0), max_size=40), st.integers(0, 6))
def test_no_window_holds_more_restarts_than_allowed(pauses: list[float], intensity: int) -> None:
    """Whatever the pattern of failures: at most `intensity` restarts in any period."""
    policy = RestartPolicy(intensity=intensity, period=30.0, quiet=1000.0)
    history, restarts, now = RestartHistory(), list[float](), 0.0
    for pause in pauses:
        now += pause
        if history.delay(policy, now, 0.5) is not None:
            restarts.append(now)
        recent = [at for at in restarts if now - at < policy.period]
        assert len(recent) <= intensity
