"""Inside of a threaded program: one runtime, any number of threads.

`with` starts a loop in a thread of the runtime's own. Every verb can be called from any thread and
blocks only the one that calls it; `rt.tree()`, `rt.health()` and pools too.
"""

import threading

from understudy import Agent, Runtime

AGENT = Agent("local:extractive", max_tokens=30)


def handle(rt: Runtime, number: int, answers: dict[int, str]) -> None:
    """What a thread of the program does."""
    answers[number] = rt.run(AGENT, f"Text {number} is about actors. It is short.").output


def main() -> None:
    """Twenty threads that share everything."""
    answers: dict[int, str] = {}
    with Runtime() as rt:
        threads = [
            threading.Thread(target=handle, args=(rt, number, answers)) for number in range(20)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(rt.health().ready, len(answers), "answers")


main()
