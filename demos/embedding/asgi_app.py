"""Inside of a web application: a plain ASGI callable; any ASGI server runs it as `asgi_app:app`.

The runtime lives as long as the application (the `lifespan` protocol), hosted on the server's loop.
`GET /health` is for the load balancer, `POST /digest` runs an agent, `POST /stream` sends its text
while it is made, until the client goes away (`http.disconnect` cancels the run).
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from understudy import Agent, OverloadedError, Runtime
from understudy.messages.codec import encode_json

Message = dict[str, Any]  # Any: as ASGI has it
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AGENT = Agent("local:extractive", max_tokens=60)


class Application:
    """One application; its runtime is made when the server starts it."""

    def __init__(self) -> None:
        self.rt = Runtime(name="web", max_runs=100)

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """One connection, as the ASGI specification has it."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["path"] == "/health":
            health = self.rt.health()
            await _answer(send, 200 if health.ready else 503, encode_json(health))
        elif scope["path"] == "/stream":
            await self._stream(await _body(receive), receive, send)
        else:
            try:
                result = await self.rt.arun(AGENT, await _body(receive))
            except OverloadedError as error:
                await _answer(send, 503, json.dumps({"error": error.message}).encode())
                return
            await _answer(send, 200, json.dumps({"digest": result.output}).encode())

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self.rt:  # leaving it drains: requests under way are answered
            await send({"type": "lifespan.startup.complete"})
            await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async def _stream(self, text: str, receive: Receive, send: Send) -> None:
        await _begin(send, 200, b"text/plain; charset=utf-8")
        async with self.rt.stream(AGENT, text, text_only=True) as stream:
            gone = asyncio.ensure_future(receive())
            gone.add_done_callback(lambda _: stream.cancel())
            async for chunk in stream:
                body = chunk.delta.encode()
                await send({"type": "http.response.body", "body": body, "more_body": True})
            gone.cancel()
        await send({"type": "http.response.body", "body": b""})


async def _body(receive: Receive) -> str:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body.decode()


async def _begin(send: Send, status: int, kind: bytes) -> None:
    headers = [(b"content-type", kind)]
    await send({"type": "http.response.start", "status": status, "headers": headers})


async def _answer(send: Send, status: int, body: bytes) -> None:
    await _begin(send, status, b"application/json")
    await send({"type": "http.response.body", "body": body})


app = Application()
