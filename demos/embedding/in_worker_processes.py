"""In the workers of multiprocessing: each process has a runtime of its own.

Start methods: `spawn` and `forkserver` begin with nothing running, so they just work. After a
`fork` the threads of the parent's runtime are missing in the child: there it says so instead of
hanging, and a new Runtime may be started.
"""

import multiprocessing
import os
import warnings

from understudy import Agent, Runtime, RuntimeStoppedError

AGENT = Agent("local:extractive", max_tokens=30)


def digest(texts: list[str]) -> list[str]:
    """What a worker does: a runtime for its whole share, not for each text."""
    with Runtime(name=f"worker-{os.getpid()}") as rt:
        return [result.output for result in AGENT.map(texts, runtime=rt)]


def after_a_fork() -> None:
    """In the child, the parent's runtime is over, and says why; a new one works."""
    with Runtime(name="parent") as rt:
        with warnings.catch_warnings():  # Python itself advises against it since 3.12
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            try:
                rt.run(AGENT, "Never asked.")
            except RuntimeStoppedError as error:
                print("in the child:", str(error)[:72], "...", flush=True)
            print("in the child:", digest(["A new one works. It does."])[0], flush=True)
            os._exit(0)
        os.waitpid(child, 0)


if __name__ == "__main__":
    shares = [["A first text. It is short."], ["A second text. It is short too."]]
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        print(pool.map(digest, shares))
    if hasattr(os, "fork"):
        after_a_fork()
