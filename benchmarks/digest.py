"""The main job, measured: the digest over real files, over HTTP, and with a worker killed.

    python -m benchmarks.digest            # all three
    python -m benchmarks.digest --files 200

1. `understudy run demos/digest.toml` over 1,000 files (20 MB), as a whole process, in turn with the
   same summariser in a plain loop: wall, CPU, peak resident set; steps in flight at most.
2. 100 documents through a provider on loopback (200 ms latency), 20 at a time: time over the ideal.
3. 10,000 idle actors made and ended; a digest whose workers are killed at random.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import msgspec
from benchmarks.corpus import make_corpus

from understudy import Actor, Runtime, Workflow
from understudy.messages.events import StepCompleted
from understudy.runtime.config.build import build_workflow
from understudy.runtime.config.load import load_config
from understudy.runtime.config.schema import Config

DIGEST = Path(__file__).parents[1] / "demos" / "digest.toml"
PLAIN = """
import sys, time
from understudy.actors.rules.extractive import summarise_now
from understudy.tools.digest import write_digest
from understudy.tools.documents import find_documents, read_document
begin = time.perf_counter()
found = find_documents(sys.argv[1:])
texts = ["\\n".join(summarise_now(read_document(d), 160).sentences) for d in found.documents]
sys.stdout.write(write_digest(found, texts))
sys.stderr.write(f"completed in {time.perf_counter() - begin:.2f} s")
"""
SERVER = """
import sys
from understudy.testing import ProviderServer
with ProviderServer(lambda _: "One line.", latency=float(sys.argv[1])) as server:
    print(server.base_url, flush=True)
    sys.stdin.read()
"""


class Measured(NamedTuple):
    """One process: seconds that its work took, CPU seconds of all of it, peak MiB."""

    work: float
    cpu: float
    peak: float


def measure(command: list[str]) -> Measured:
    """Run one process to its end; it says itself how long its work took."""
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(  # noqa: S603 - a command of this file
            command, stdout=subprocess.DEVNULL, stderr=said
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        said.seek(0)
        found = re.search(rb"completed in ([\d.]+) s", said.read())
    if process.returncode or found is None:
        raise SystemExit(f"{command} ended with {process.returncode}")
    return Measured(float(found[1]), usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def tree_of_files(folder: str, files: int, rounds: int) -> None:
    """Figure 1."""
    make_corpus(Path(folder), files=files, size_bytes=files * 20_000)
    ours = [sys.executable, "-m", "understudy", "run", str(DIGEST), folder]
    plain = [sys.executable, "-c", PLAIN, folder]
    pairs = [(measure(ours), measure(plain)) for _ in range(rounds + 1)][1:]
    work = statistics.median(a.work / b.work for a, b in pairs)
    cpu = statistics.median(a.cpu / b.cpu for a, b in pairs)
    seconds = statistics.median(a.work for a, _ in pairs)
    peak = max(a.peak for a, _ in pairs)
    print(f"{files} files, {files * 20_000 / 1e6:.0f} MB: {seconds:.1f} s, peak {peak:.0f} MiB")
    print(f"  {work:.2f}x a plain loop (reach 1.3x); CPU with start-up {cpu:.2f}x")


def over_http(documents: int = 100, width: int = 20, latency: float = 0.2) -> None:
    """Figure 2."""
    command = [sys.executable, "-c", SERVER, str(latency)]
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(  # noqa: S603 - a command of this file
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as server,
    ):
        if server.stdin is None or server.stdout is None:
            raise SystemExit("the server has no pipes")
        for number in range(documents):
            (Path(folder) / f"{number:03}.txt").write_text(f"Document {number}. It is short.")
        os.environ["UNDERSTUDY_LLM__BASE_URL"] = server.stdout.readline().strip()
        workflow, config = load(model="openai-compatible:any", width=width)
        with Runtime(config=config) as rt:
            workflow.run([f"{folder}/000.txt"], runtime=rt)  # imports and the first connection
            begin = time.perf_counter()
            result = workflow.run([folder], runtime=rt)
            seconds = time.perf_counter() - begin
        server.stdin.close()
        ideal = latency * -(-documents // width)
        done = sum(r.status == "completed" for p, r in result.steps.items() if "summarise" in p)
        print(f"{documents} documents, {width} at a time, {latency * 1000:.0f} ms: {seconds:.2f} s")
        print(f"  {seconds / ideal:.3f}x the ideal {ideal:.1f} s (reach 1.2x), {done} summarised")


def actors_and_kills() -> None:
    """Figure 3."""

    class Idle(Actor):
        async def on_receive(self, message: object) -> None:
            """Nothing."""

    workflow, config = load(model="local:extractive", width=8)
    with Runtime(config=config) as rt, tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        refs = [rt.spawn(Idle) for _ in range(10_000)]
        replies = [ref.stop() for ref in refs]
        for reply in replies:
            reply.get()
        print(f"10,000 idle actors made and ended in {time.perf_counter() - begin:.2f} s")
        make_corpus(Path(folder), files=200, size_bytes=2_000_000)
        chance, killed = random.Random(7), 0

        def kill_one(event: StepCompleted) -> None:
            nonlocal killed
            if "/" not in event.path and chance.random() < 0.2:
                workers = [each for pool in rt.crew.steps.pools for each in pool.workers]
                if workers:
                    chance.choice(workers).kill()
                    killed += 1

        rt.events.subscribe(StepCompleted, kill_one)
        result = workflow.run([folder], runtime=rt)
        lost = [path for path, record in result.steps.items() if record.status != "completed"]
        print(f"{killed} workers killed in the middle of 200 documents: {len(lost)} lost")
        report = rt.stop()
        print(f"  ledger balanced: {report.ledger.balanced}")


def load(*, model: str, width: int) -> tuple[Workflow, Config]:
    """The digest with another model and width."""
    config = load_config(DIGEST, os.environ, overrides={"agents.summariser.model": model})
    spec = build_workflow(config, "digest")
    steps = tuple(
        msgspec.structs.replace(step, max_concurrent=width) if step.each else step
        for step in spec.steps
    )
    return Workflow.from_spec(msgspec.structs.replace(spec, steps=steps)), config


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as corpus:
        tree_of_files(corpus, options.files, options.rounds)
    over_http()
    actors_and_kills()
