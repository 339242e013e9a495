"""How a process ends that has a runtime."""

import subprocess
import sys
import textwrap


def run_script(script: str, timeout: float = 20) -> subprocess.CompletedProcess[str]:
    """Run a program of its own."""
    return subprocess.run(  # noqa: PLW1510 - the caller looks at the exit code
        [sys.executable, "-W", "error", "-c", textwrap.dedent(script)],
        capture_output=True,
        text=True,
        timeout=timeout,
    )


def test_asyncio_run_around_a_busy_runtime_exits() -> None:
    """`asyncio.run` ends though its hosted runtime is busy and was never stopped."""
    done = run_script(
        """
        import asyncio
        from understudy import Agent, Runtime, RunCancelledError
        from understudy.testing import FakeModel

        async def main():
            rt = await Runtime().__aenter__()
            runs = [rt.submit(Agent(FakeModel.echo(latency=600)), "x") for _ in range(10)]
            await asyncio.sleep(0.05)
            return rt, runs

        rt, runs = asyncio.run(main())
        for run in runs:
            assert run.status in ("cancelled", "failed"), run.status
        print("out")
        """
    )
    assert (done.returncode, done.stdout) == (0, "out\n"), done.stderr


def test_a_process_with_a_stuck_step_exits() -> None:
    """A function that never returns keeps neither the shutdown nor the process from ending."""
    done = run_script(
        """
        import threading
        from understudy import Runtime, Workflow, step

        inside = threading.Event()

        def stuck():
            inside.set()
            threading.Event().wait()

        with Runtime(shutdown=0.5) as rt:
            Workflow.sequential("w", step("a", stuck)).submit(runtime=rt)
            inside.wait()
            report = rt.stop()
        print(report.cancelled, report.ledger.balanced, report.abandoned)
        """
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("1 True ("), done.stdout + done.stderr
    assert "/system/blocking-steps/ThreadWorker" in done.stdout


def test_the_default_runtime_ends_with_the_process() -> None:
    """A script that never closed anything exits, cancelling what is under way."""
    done = run_script(
        """
        from understudy import Agent
        from understudy.testing import FakeModel

        assert Agent(FakeModel.echo()).run("x").output == "echo: x"
        Agent(FakeModel.echo(latency=600)).submit("y")
        print("out")
        """
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "out\n", "")


def test_ctrl_c_in_the_block_ends_it_at_once() -> None:
    """SIGINT during a blocking run cancels the run and leaves with KeyboardInterrupt."""
    done = run_script(
        """
        import os, signal, threading
        from understudy import Agent, Runtime
        from understudy.testing import FakeModel

        threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
        try:
            with Runtime() as rt:
                rt.run(Agent(FakeModel.echo(latency=600)), "x")
        except KeyboardInterrupt:
            print("interrupted", rt.ledger.balanced, rt.is_running)
        """
    )
    assert (done.returncode, done.stdout) == (0, "interrupted True False\n"), done.stderr
