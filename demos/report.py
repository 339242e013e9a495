"""Run all demos and write what they found as one page.

    python demos/report.py [--quick] [--model NAME] [--out FILE]

Each demo runs in a process of its own, one after the other, so that none warms or disturbs the
next. Without `--out` the page goes to stdout; `make demos` writes docs/claims.md. A demo that fails
ends the report with its output and exit code 1: a page with holes would look like a result.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
from collections import Counter
from pathlib import Path

import msgspec
from claim import Claim

HERE = Path(__file__).parent
SECTIONS: dict[str, dict[str, str]] = {
    "Streaming Performance": {
        "Buffer Sizing": "buffers",
        "Flush Intervals": "flush_intervals",
        "Text-Only Mode": "text_only",
        "Stream Utilities Performance": "stream_utilities",
    },
    "Memory Management": {
        "Limiting Context Size": "context_limits",
        "Streaming vs Buffering": "streaming_memory",
        "Short-Lived Agents": "short_lived",
        "Memory Cleanup": "cleanup",
    },
    "Concurrent Execution": {
        "Parallel Workflows": "parallel_workflows",
        "Concurrent Agents": "concurrent_agents",
        "Rate Limiting": "rate_limiting",
        "Goroutine Management": "worker_pools",
    },
    "Caching Strategies": {
        "Enable Tool Caching": "tool_cache",
        "LLM Response Caching": "response_cache",
        "Memory/RAG Caching": "rag_cache",
        "Semantic Cache": "semantic_cache",
    },
    "LLM Optimization": {
        "Model Selection": "model_choice",
        "Temperature Settings": "temperature",
        "Token Limits": "token_limits",
        "Batch Processing": "batching",
    },
    "Tool Execution": {
        "Timeout Configuration": "tool_timeouts",
        "Tool Parallelization": "parallel_tools",
        "Lazy Tool Loading": "lazy_tools",
    },
    "Workflow Optimization": {
        "Step Dependencies": "step_dependencies",
        "Early Exit": "early_exit",
        "Context Sharing": "shared_context",
    },
    "Benchmarking": {
        "Basic Benchmarking": "benchmark",
        "Memory Profiling": "memory_profile",
        "Load Testing": "load_test",
    },
    "Performance Metrics": {
        "Expected Performance": "expected_performance",
        "Optimization Checklist": "checklist",
    },
}
"""Every heading of the guide, and the demo that tries it."""
SUMMARY = {
    "Stream when possible: 70 % memory reduction": ("Streaming vs Buffering",),
    "Parallelize independent work: N times faster": ("Parallel Workflows", "Step Dependencies"),
    "Cache aggressively: 90 % and more for cache hits": (
        "Enable Tool Caching",
        "LLM Response Caching",
    ),
    "Choose right models: 10 times cost and performance": ("Model Selection",),
    "Set limits: prevent resource exhaustion": ("Rate Limiting", "Limiting Context Size"),
    "Profile regularly: identify bottlenecks early": ("Memory Profiling",),
    "Benchmark changes: verify optimizations work": ("Basic Benchmarking", "Load Testing"),
}
"""The guide's seven principles, and the headings that say whether they hold."""
INTRODUCTION = """# What the guide claims, and what is measured here

`understudy` gives what a performance guide for agents in Go (AgenticGoKit vNext) describes. Each of
its headings has a script in `demos/` that tries its claims against this runtime; `make demos` runs
them all and writes this page, so nothing here was written by hand. Every script runs offline,
against models that are played in the process or on loopback; `--model openai:gpt-5-mini` asks a
real one instead.

Measured on {machine}.
Other programs ran on it too: read ratios, not microseconds. A verdict says whether the claim holds
**here**; *not judged* means that only a real provider could show it, *no
figure* that the guide claims nothing that could be measured.

{summary}
"""


def run(demo: str, options: list[str]) -> list[Claim]:
    """What a demo claims and finds.

    Raises:
        SystemExit: it has failed.
    """
    command = [sys.executable, str(HERE / f"{demo}.py"), "--json", *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 - ours
    if done.returncode != 0:
        sys.exit(f"demos/{demo}.py failed:\n{done.stderr}")
    return msgspec.json.decode(done.stdout, type=list[Claim])


def rows(heading: str, demo: str, found: list[Claim]) -> list[str]:
    """The lines of a table; a bar in a text would end its cell."""
    if not found:
        return [f"| {heading} | | not yet demonstrated | | |"]
    lines = []
    for number, claim in enumerate(found):
        name = f"[{heading}](../demos/{demo}.py)" if number == 0 else ""
        cells = (name, claim.claimed, claim.measured, f"**{claim.verdict}**", claim.how)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return lines


def principles(found: dict[str, list[Claim]]) -> list[str]:
    """The guide's own summary, and the verdicts under the headings that it sums up."""
    lines = ["| principle | found under | verdicts |", "|---|---|---|"]
    for principle, where in SUMMARY.items():
        shown = ", ".join(f"**{claim.verdict}**" for each in where for claim in found[each])
        lines.append(f"| {principle} | {', '.join(where)} | {shown or 'not yet demonstrated'} |")
    return lines


def machine() -> str:
    """What this was measured on, without saying which machine it was."""
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{os.cpu_count()} shared cores ({platform.machine()}), {platform.system()}, {python}"


def main() -> None:
    """See the module's docstring."""
    parser = argparse.ArgumentParser(description="Run all demos; write their claims as one page.")
    parser.add_argument("--model", help="ask this model, not the fakes")
    parser.add_argument("--quick", action="store_true", help="small sizes: do they run?")
    parser.add_argument("--out", type=Path, help="write the page there instead of to stdout")
    given = parser.parse_args()
    options = [
        *(["--quick"] if given.quick else []),
        *(["--model", given.model] * bool(given.model)),
    ]
    body: list[str] = []
    all_found: dict[str, list[Claim]] = {}
    verdicts: Counter[str] = Counter()
    for section, headings in SECTIONS.items():
        table = ["| heading | claimed | measured here | verdict | how |", "|---|---|---|---|---|"]
        for heading, demo in headings.items():
            print(f"{heading} ...", file=sys.stderr, flush=True)
            found = run(demo, options) if (HERE / f"{demo}.py").exists() else []
            all_found[heading] = found
            verdicts.update(claim.verdict for claim in found)
            table += rows(heading, demo, found)
        body += [f"## {section}", "", *table, ""]
    body += ["## Summary", "", *principles(all_found), ""]
    summary = ", ".join(f"{verdict} {count}" for verdict, count in verdicts.most_common())
    page = INTRODUCTION.format(machine=machine(), summary=f"In all: {summary}.")
    page += "\n" + "\n".join(body)
    if given.out is None:
        print(page)
    else:
        given.out.write_text(page)


if __name__ == "__main__":
    main()
