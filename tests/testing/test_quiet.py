import pytest

from understudy import Actor, Agent, MailboxOptions, Runtime, UnderstudyError
from understudy.testing import FakeModel, assert_quiet

pytest_plugins = ["pytester"]


class Boom(Actor):
    """Fails at whatever it is told."""

    async def on_receive(self, message: str) -> None:
        raise ValueError(message)


class Deaf(Actor):
    """Takes one message at a time."""

    async def on_receive(self, message: str) -> str:
        return message


def test_a_runtime_without_trouble_is_quiet() -> None:
    """Runs that succeed leave nothing to complain about, before and after the end."""
    with Runtime() as rt:
        rt.run(Agent(FakeModel.echo()), "x")
        assert_quiet(rt)
    assert_quiet(rt)


def test_the_first_unexpected_failure_is_raised() -> None:
    """A handler's failure that nobody waited for comes out, with the actor's path."""
    with Runtime() as rt:
        ref = rt.spawn(Boom, name="boom", directives={ValueError: "resume"})
        ref.tell("first")
        with pytest.raises(ValueError, match="second"):
            ref.ask("second")
        with pytest.raises(ValueError, match="first") as caught:
            assert_quiet(rt)
        assert any("/user/boom" in note for note in caught.value.__notes__)
        assert_quiet(rt, failures=(ValueError,))


def test_lost_messages_are_named() -> None:
    """A message that reached nobody is reported with its receiver and the reason."""
    with Runtime() as rt:
        ref = rt.spawn(Deaf, name="deaf", mailbox=MailboxOptions(capacity=1))
        ref.stop(block=True)
        ref.tell("lost")
    with pytest.raises(AssertionError, match=r"1 x str to /user/deaf: closed"):
        assert_quiet(rt)
    assert_quiet(rt, dead_letters=["closed"])


def test_cancelled_work_is_no_loss() -> None:
    """Who cancels knows it: what is left of cancelled work is no reason to complain."""
    with Runtime() as rt:
        agent = Agent(FakeModel.echo(latency=60))
        run = rt.submit(agent, "x")
        run.cancel()
        with pytest.raises(UnderstudyError):
            run.get(timeout=5)
    assert_quiet(rt)


def test_the_fixture_complains_and_can_be_told(pytester: pytest.Pytester) -> None:
    """The `runtime` fixture ends with `assert_quiet`; the marker says what is expected."""
    pytester.makepyfile(
        """
        import pytest
        from understudy import Actor

        class Boom(Actor):
            async def on_receive(self, message: str) -> None:
                raise ValueError(message)

        def boom(runtime):
            with pytest.raises(ValueError):
                runtime.spawn(Boom, restart="transient").ask("boom")

        def test_unexpected(runtime):
            boom(runtime)

        @pytest.mark.unquiet(failures=(ValueError,))
        def test_expected(runtime):
            boom(runtime)
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:xdist")
    result.assert_outcomes(passed=2, errors=1)
    result.stdout.fnmatch_lines(["*ERROR at teardown of test_unexpected*", "*ValueError: boom*"])


def test_the_default_runtime_by_accident_fails_a_test(pytester: pytest.Pytester) -> None:
    """A test that ran something on the process default fails, unless it says that it means it."""
    pytester.makepyfile(
        """
        import pytest
        from understudy import Agent
        from understudy.testing import FakeModel

        def run():
            assert Agent(FakeModel(["yes"])).run("?").output == "yes"

        def test_accident():
            run()

        @pytest.mark.default_runtime
        def test_on_purpose():
            run()

        def test_none(runtime):
            run()
        """
    )
    result = pytester.runpytest_inprocess("-p", "no:cacheprovider", "-p", "no:xdist")
    result.assert_outcomes(passed=2, failed=1)
    result.stdout.fnmatch_lines(["*process-wide default runtime*"])
