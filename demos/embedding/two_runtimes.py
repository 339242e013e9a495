"""Two runtimes in one process: they know nothing of each other.

Each has its own bounds, limits, keys and actors. What runs inside of a `with` block, or is called
from one of a runtime's own actors, uses that one; elsewhere say which: `runtime=` or `rt.run`.
"""

from understudy import Agent, ConfigError, Limit, Runtime

AGENT = Agent("local:extractive", max_tokens=30)


def main() -> None:
    """One for people who wait, one for what may take its time."""
    slow = Limit(requests_per_second=5)
    with Runtime(name="live") as live, Runtime(name="batch", limits={"local:*": slow}) as batch:
        print("inner block:", AGENT.run("Short. And sweet.").output)
        print("named:", live.run(AGENT, "Urgent. And short.").output)
        print([result.output for result in AGENT.map(["One. Two.", "Three. Four."], runtime=batch)])
        print(sorted(live.limiters()), sorted(batch.limiters()))

    first, second = Runtime(name="first"), Runtime(name="second")
    first.start()
    second.start()
    try:
        AGENT.run("Which one?")
    except ConfigError as error:
        print(error)
    first.stop()
    second.stop()


main()
