"""Optimization Checklist: point by point, what does it here."""

import contextlib
from collections.abc import Iterator

from claim import Claim, Switches, judged, main

from understudy import Agent, Runtime
from understudy.testing import ProviderServer

POINTS = {
    "Use streaming for long responses": "agent.stream: streaming_memory.py",
    "Configure appropriate buffer sizes": "buffer_size=, buffer=, [streaming]: buffers.py",
    "Enable caching for repeated operations": "cache=, [tools.cache], [llm.cache]: tool_cache.py",
    "Use parallel workflows when possible": "Workflow.parallel, .dag: parallel_workflows.py",
    "Set reasonable token limits": "max_tokens=: token_limits.py",
    "Configure timeouts appropriately": "600 s a run, 30 s a tool call, unless timeout= says: "
    "tool_timeouts.py",
    "Use context cancellation": "",
    "Implement rate limiting": "rate_limit=, max_concurrent=, [limits]: rate_limiting.py",
    "Profile memory usage": "tracemalloc, benchmarks/soak.py: memory_profile.py",
    "Benchmark critical paths": "make bench: benchmark.py, load_test.py",
    "Use appropriate models for tasks": "model=, fallback=, Result.cost: model_choice.py",
    "Clear old session data": "ttl= and max_sessions= of Memory: cleanup.py",
    "Optimize tool execution": "in parallel, isolated, lazy: parallel_tools.py, lazy_tools.py",
    "Minimize data copying": "messages by reference, RunContext: shared_context.py",
    "Use connection pooling": "",
}


def cancelled(agent: Agent[str], server: ProviderServer) -> bool:
    """Leave a stream after its first words; the provider must see its socket closed."""
    with agent.stream("Tell a story") as stream:
        next(iter(stream.text()))
    with contextlib.suppress(TimeoutError):
        server.until(lambda seen: seen.stats.disconnected > 0)
    return server.stats.disconnected > 0


def claims(switches: Switches) -> Iterator[Claim]:
    """Two of them are tried here, the others in a demo of their own."""
    many = switches.size(200, 20)
    with ProviderServer("word " * 100, tokens_per_second=200) as slow, Runtime():
        stopped = cancelled(Agent("openai-compatible:m", base_url=slow.base_url), slow)
    with ProviderServer("Fine.") as server, Runtime():
        agent = Agent(switches.model_or("openai-compatible:m"), base_url=server.base_url)
        if switches.model:
            agent = Agent(switches.model)
        agent.map(["go"] * many, max_concurrent=10)
        opened = server.stats.connections.total
    tried = {
        "Use context cancellation": (
            "leaving a stream closes its socket at the provider: "
            + ("seen by the server" if stopped else "not seen"),
            stopped,
        ),
        "Use connection pooling": (
            f"{many} requests, 10 at a time, over {opened} connections",
            opened <= 10,
        ),
    }
    for point, where in POINTS.items():
        measured, true = tried.get(point, (where, True))
        yield Claim(
            claimed=point,
            measured=measured,
            verdict=judged(true) if point in tried else "no figure",
            how="a server on loopback" if point in tried else "see the demo that is named",
        )


if __name__ == "__main__":
    main("Optimization Checklist", claims)
