"""Each way of embedding a runtime, as its demo does it."""

import asyncio
import importlib.util
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import ModuleType
from typing import Any

import httpx
import pytest

FOLDER = Path(__file__).parents[2] / "demos" / "embedding"
SAID = {
    "in_asyncio": ["10 results; Text 0 is about actors."],
    "in_threads": ["True 20 answers"],
    "in_a_notebook": ["A first cell.", "A second cell.", "A third cell."],
    "in_worker_processes": [
        "[['A first text.\\nIt is short.'], ['A second text.\\nIt is short too.']]",
        "in the child: runtime 'parent' was running when this process was forked",
        "in the child: A new one works.",
    ],
    "two_runtimes": [
        "inner block: Short.",
        "named: Urgent.",
        "['One.\\nTwo.', 'Three.\\nFour.']",
        "[] ['local:*']",
        "several runtimes are running (first, second): pass runtime=, or use rt.run(...)",
    ],
    "beside_pykka": [
        "Actors are old.",
        "2 kept",
        "['One.\\nTwo.', 'Three.\\nFour.']",
        "ours lives on: True",
    ],
}


@pytest.mark.parametrize("name", SAID)
def test_it_runs(name: str) -> None:
    """It says what it should, nothing else goes wrong, and the process ends by itself."""
    done = subprocess.run(
        [sys.executable, "-W", "error", str(FOLDER / f"{name}.py")],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    at = 0
    for words in SAID[name]:
        at = done.stdout.find(words, at)
        assert at >= 0, done.stdout


def test_each_has_a_test() -> None:
    """None is forgotten."""
    assert {path.stem for path in FOLDER.glob("*.py")} == {*SAID, "asgi_app"}


def load() -> ModuleType:
    """The web application, fresh."""
    spec = importlib.util.spec_from_file_location("asgi_app", FOLDER / "asgi_app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Server:
    """What an ASGI server does for an application's lifespan."""

    def __init__(self) -> None:
        self.app = load().app
        self._to: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._from: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def start(self) -> None:
        """Up to `startup.complete`."""
        life = self.app({"type": "lifespan"}, self._to.get, self._from.put)
        self._life = asyncio.ensure_future(life)
        await self._to.put({"type": "lifespan.startup"})
        assert (await self._from.get())["type"] == "lifespan.startup.complete"

    async def stop(self) -> None:
        """Up to `shutdown.complete`."""
        await self._to.put({"type": "lifespan.shutdown"})
        assert (await self._from.get())["type"] == "lifespan.shutdown.complete"
        await self._life


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    """The application, started."""
    made = Server()
    await made.start()
    yield made
    await made.stop()


@pytest.mark.anyio
async def test_requests(server: Server) -> None:
    """Health, digests at the same time, and a stream, over ASGI."""
    transport = httpx.ASGITransport(server.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        health = (await client.get("/health")).json()
        assert health["ready"]
        assert health["name"] == "web"
        asked = [client.post("/digest", content=f"Text {n}. It is short.") for n in range(20)]
        answers = await asyncio.gather(*asked)
        assert [json.loads(it.content)["digest"] for it in answers][3] == "Text 3.\nIt is short."
        streamed = await client.post("/stream", content="A text. It is streamed.")
        assert streamed.text == "A text.\nIt is streamed."


@pytest.mark.anyio
async def test_a_client_that_goes_away(server: Server) -> None:
    """Its run is cancelled; the application answers the next one."""
    begun = asyncio.Event()
    sent: list[dict[str, Any]] = []
    messages = [{"type": "http.request", "body": b"A text. And more."}]

    async def receive() -> dict[str, Any]:
        return messages.pop() if messages else {"type": "http.disconnect"}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)
        begun.set()

    await server.app({"type": "http", "path": "/stream"}, receive, send)
    assert sent[0]["status"] == 200
    assert server.app.rt.health().open_runs == 0


@pytest.mark.anyio
async def test_before_it_has_started_it_is_not_ready() -> None:
    """A load balancer that asks too early, or too late, gets 503."""
    server = Server()
    transport = httpx.ASGITransport(server.app)
    async with httpx.AsyncClient(transport=transport, base_url="http://app") as client:
        early = await client.get("/health")
        assert early.status_code == 503
        assert early.json()["why"] == ["it has not been started"]
        await server.start()
        assert (await client.get("/health")).status_code == 200
        await server.stop()
        assert (await client.get("/health")).status_code == 503
