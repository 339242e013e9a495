"""Optimization Checklist: point by point, what does it here, and what `doctor` says of a file."""

import contextlib
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from claim import Claim, Switches, judged, main

from understudy import Agent, Runtime
from understudy.testing import ProviderServer

FILE = Path(__file__).with_name("digest.toml")
HERE = (
    "agent.stream: streaming_memory.py",
    "buffer_size=, buffer=, [streaming]: buffers.py",
    "cache=, [tools.cache], [llm.cache]: tool_cache.py, response_cache.py",
    "Workflow.parallel, .dag: parallel_workflows.py, step_dependencies.py",
    "max_tokens=: token_limits.py",
    "600 s a run, 30 s a tool call, unless timeout= says: tool_timeouts.py",
    "",
    "rate_limit=, max_concurrent=, [limits]: rate_limiting.py",
    "tracemalloc, benchmarks/soak.py: memory_profile.py",
    "understudy bench, loadtest: benchmark.py, load_test.py",
    "model=, fallback=, Result.cost: model_choice.py",
    "ttl= and max_sessions= of Memory: cleanup.py",
    "in parallel, isolated, lazy: parallel_tools.py, lazy_tools.py",
    "messages by reference, RunContext: shared_context.py",
    "",
)
"""For each point what does it; two of them are tried here."""


def cancelled(server: ProviderServer) -> bool:
    """Leave a stream after its first words; the provider must see its socket closed."""
    with Agent("openai-compatible:m", base_url=server.base_url).stream("Tell a story") as stream:
        next(iter(stream.text()))
    with contextlib.suppress(TimeoutError):
        server.until(lambda seen: seen.stats.disconnected > 0)
    return server.stats.disconnected > 0


def claims(switches: Switches) -> Iterator[Claim]:
    """`understudy doctor --json`, beside what was tried."""
    many = switches.size(200, 20)
    with ProviderServer("word " * 100, tokens_per_second=200) as slow, Runtime():
        stopped = cancelled(slow)
    with ProviderServer("Fine.") as server, Runtime():
        agent = Agent("openai-compatible:m", base_url=server.base_url)
        agent.map(["go"] * many, max_concurrent=10)
        opened = server.stats.connections.total
    command = [sys.executable, "-m", "understudy", "doctor", str(FILE), "--json"]
    done = subprocess.run(command, capture_output=True, check=True)  # noqa: S603 - ours
    tried = {
        6: (f"leaving a stream closed its socket at the provider: {stopped}", stopped),
        14: (f"{many} requests, 10 at a time, went over {opened} connections", opened <= 10),
    }
    for number, point in enumerate(json.loads(done.stdout)["points"]):
        measured, true = tried.get(number, (HERE[number], True))
        changes = ", ".join(f"{each['key']} = {each['value']}" for each in point["changes"])
        yield Claim(
            claimed=point["title"],
            measured=measured,
            verdict=judged(true) if number in tried else "no figure",
            how=f"doctor on {FILE.name}: {point['verdict']}{' ' * bool(changes)}{changes}",
        )


if __name__ == "__main__":
    main("Optimization Checklist", claims, asks_model=False)
