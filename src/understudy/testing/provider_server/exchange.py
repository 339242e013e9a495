"""One request on its way to its answer: who may ask, what is said, and whether it must wait.

An answer that needs no waiting (no fault, no latency, no pace, no async function) is written at
once, in the callback that brought the request; everything else becomes a coroutine for a task. One
text for all requests is encoded once for each way of asking for it.
"""

from __future__ import annotations

import inspect
import math
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine
from email.utils import formatdate
from functools import lru_cache

import msgspec

from understudy.testing.provider_server.delivery import JSON, MARK, Delivery
from understudy.testing.provider_server.dialect import Asked, Dialect, Reply
from understudy.testing.provider_server.embedding import EmbedRequest, read_embed
from understudy.testing.provider_server.faults import (
    NAMED,
    Fault,
    InvalidUtf8,
    Status,
    StreamFault,
    name_of,
)
from understudy.testing.provider_server.http import LAST_CHUNK, ServerConnection, framed, head_of
from understudy.testing.provider_server.limits import Buckets
from understudy.testing.provider_server.records import RecordedRequest
from understudy.testing.provider_server.script import PlainAnswer, Said, Script, turn_of

Latency = float | Callable[[random.Random], float]
Later = Coroutine[None, None, None]
_CACHED = 1024
_AT_ONCE = 2_000
"""Pieces of a stream that are written without asking whether the client keeps up."""


class Behaviour:
    """How one server answers, and what it has counted.

    Attributes:
        faults: how many requests met which.
        limited: how many a limit refused.
        ready: encoded answers of a server that has only one text.
    """

    def __init__(
        self,
        *,
        script: Script,
        latency: Latency,
        tokens_per_second: float | None,
        models: tuple[str, ...],
        api_key: str | None,
        refuse: Callable[[float], None],
        seed: int,
    ) -> None:
        self.script = script
        self.tokens_per_second = tokens_per_second
        self.models = models
        self.api_key = api_key
        self.refuse = refuse
        self.buckets: Buckets | None = None
        self.faults: Counter[str] = Counter()
        self.limited = 0
        self.ready: dict[tuple[object, ...], tuple[bytes, bytes, int]] = {}
        self.waits = callable(latency) or latency > 0 or bool(tokens_per_second)
        self._latency = latency
        self._random = random.Random(seed)

    def latency(self) -> float:
        """Seconds before the first byte of the next answer."""
        latency = self._latency
        return max(0.0, latency(self._random)) if callable(latency) else latency


class Exchange:
    """One request and its answer. Each verb answers at once, or gives what will."""

    def __init__(
        self,
        how: Behaviour,
        dialect: Dialect,
        request: RecordedRequest,
        connection: ServerConnection,
    ) -> None:
        self._how = how
        self._dialect = dialect
        self._request = request
        self._connection = connection
        self._headers = {dialect.request_id_header: f"req_{request.number}"}

    def chat(self) -> Later | None:
        """Go on with a conversation."""
        if (unknown := self._stranger()) is not None:
            return unknown[0]
        try:
            asked = self._dialect.read(self._request.body)
        except (msgspec.DecodeError, ValueError) as error:
            return self.refuse(400, str(error))
        if (missing := self._missing(asked.model)) is not None:
            return missing[0]
        prompt = asked.prompt_tokens()
        reserved = (asked.max_tokens or 0) if self._dialect.reserves_output else 0
        if (refused := self._over_limit(prompt, reserved)) is not None:
            return refused[0]
        script = self._how.script
        fault = script.fault() or _fault_called(asked.model)
        try:
            said = script.next(asked.messages, fault)
        except Exception as error:  # noqa: BLE001 -- the script is used up; that is answered too
            return self.refuse(500, str(error))
        if inspect.isawaitable(said):
            return self._once_said(said, asked, prompt)
        return self._answer(said, asked, prompt)

    def embed(self, make: Callable[[EmbedRequest], bytes]) -> Later | None:
        """Give the vectors of some texts."""
        if (unknown := self._stranger()) is not None:
            return unknown[0]
        try:
            asked = read_embed(self._request.body)
        except msgspec.DecodeError as error:
            return self.refuse(400, str(error))
        if (missing := self._missing(asked.model)) is not None:
            return missing[0]
        if (refused := self._over_limit(asked.tokens(), 0)) is not None:
            return refused[0]
        fault = self._how.script.fault() or _fault_called(asked.model)
        return self._give(make(asked), 0, fault)

    def list(self) -> Later | None:
        """Name the models, in a form that serves every protocol."""
        if (unknown := self._stranger()) is not None:
            return unknown[0]
        named = [
            {"id": name, "name": name, "model": name, "object": "model", "owned_by": "test"}
            for name in self._how.models
        ]
        return self._give(
            msgspec.json.encode({"object": "list", "data": named, "models": named}), 0, None
        )

    def refuse(self, status: int, message: str, body: bytes | None = None) -> Later | None:
        """An error answer."""
        told = self._dialect.error(status, message) if body is None else body
        if self._how.waits:
            return self._delivery().refusal(status, told, {})
        head = head_of(status, len(told), content_type=JSON, headers=self._fields())
        self._send(head + told)
        return None

    # -- what stands before an answer; a tuple holds how it was refused ----------------------------

    def _stranger(self) -> tuple[Later | None] | None:
        key = self._how.api_key
        if key is None or self._dialect.lets_in(self._request, key):
            return None
        return (self.refuse(401, "Incorrect API key provided."),)

    def _missing(self, model: str) -> tuple[Later | None] | None:
        models = self._how.models
        if not models or model in models:
            return None
        return (self.refuse(404, f"The model '{model}' does not exist"),)

    def _over_limit(self, prompt: int, reserved: int) -> tuple[Later | None] | None:
        buckets = self._how.buckets
        refused = buckets.admit(prompt, reserved, time.monotonic()) if buckets else None
        if refused is None:
            return None
        self._how.limited += 1
        if refused.wait is not None:
            self._headers["retry-after"] = str(math.ceil(refused.wait))
            self._headers["retry-after-ms"] = str(math.ceil(refused.wait * 1000))
        status, body = self._dialect.refused(refused)
        return (self.refuse(status, "", body=body),)

    def _fields(self) -> dict[str, str]:
        """The headers that differ from answer to answer."""
        buckets = self._how.buckets
        if buckets is not None:
            self._headers.update(self._dialect.limit_headers(buckets.readings()))
            self._headers["date"] = _date(int(time.time()))
        return self._headers

    # -- answers -----------------------------------------------------------------------------------

    async def _once_said(self, said: Awaitable[Said], asked: Asked, prompt: int) -> None:
        later = self._answer(await said, asked, prompt)
        if later is not None:
            await later

    def _answer(self, said: Said, asked: Asked, prompt: int) -> Later | None:
        answer, fault = said
        how, number = self._how, self._request.number
        if fault is None and how.script.fixed is not None and not how.waits:
            self._send_fixed(answer, asked, prompt)
            return None
        if isinstance(fault, Status):
            return self._play(fault)
        if isinstance(fault, InvalidUtf8):
            answer = f"bad bytes: {MARK} and more"
        turn = turn_of(answer, asked.max_tokens, number)
        reply = Reply(asked=asked, turn=turn, number=number, input_tokens=prompt)
        self._charge(reply.output_tokens, asked)
        if fault is not None or how.waits or reply.output_tokens > _AT_ONCE:
            return self._deliver(reply, fault)
        body, length = self._encoded(reply)
        kind = self._dialect.content_type if asked.stream else JSON
        self._send(head_of(200, length, content_type=kind, headers=self._fields()) + body)
        return None

    def _send_fixed(self, answer: PlainAnswer, asked: Asked, prompt: int) -> None:
        """Only the numbers in the head differ: all else is encoded once."""
        ready = self._how.ready
        key = (self._dialect, asked.model, asked.stream, asked.usage, asked.max_tokens, prompt)
        found = ready.get(key)
        if found is None:
            turn = turn_of(answer, asked.max_tokens, 0)
            reply = Reply(asked=asked, turn=turn, number=0, input_tokens=prompt)
            body, length = self._encoded(reply)
            kind = self._dialect.content_type if asked.stream else JSON
            head = head_of(200, length, content_type=kind)[:-2]
            if len(ready) >= _CACHED:
                ready.clear()
            found = ready[key] = (head, body, reply.output_tokens)
        head, body, tokens = found
        self._charge(tokens, asked)
        fields = "".join([f"{name}: {value}\r\n" for name, value in self._fields().items()])
        self._send(b"%b%b\r\n%b" % (head, fields.encode("latin-1"), body))

    def _encoded(self, reply: Reply) -> tuple[bytes, int | None]:
        """The body, and its length unless it is in chunks."""
        dialect = self._dialect
        if not reply.asked.stream:
            body = dialect.whole(reply)
            return body, len(body)
        chunks = [framed(piece) for piece in (*dialect.pieces(reply), *dialect.end(reply))]
        return b"".join([*chunks, LAST_CHUNK]), None

    def _charge(self, output: int, asked: Asked) -> None:
        if self._how.buckets is not None:
            reserved = self._dialect.reserves_output and asked.max_tokens is not None
            self._how.buckets.answered(output, charged=reserved)

    def _give(self, body: bytes, tokens: int, fault: Fault | None) -> Later | None:
        """An answer that is never streamed."""
        if isinstance(fault, Status):
            return self._play(fault)
        if fault is not None or self._how.waits:
            return self._whole(body, tokens, fault)
        self._send(head_of(200, len(body), content_type=JSON, headers=self._fields()) + body)
        return None

    def _send(self, data: bytes) -> None:
        self._connection.send(data)
        self._connection.complete = True

    # -- answers that take their time --------------------------------------------------------------

    def _delivery(self) -> Delivery:
        return Delivery(
            connection=self._connection,
            latency=self._how.latency(),
            tokens_per_second=self._how.tokens_per_second,
            headers=self._fields(),
            refuse=self._how.refuse,
        )

    def _play(self, fault: Status) -> Later:
        self._how.faults[name_of(fault)] += 1
        headers = dict(fault.headers)
        if fault.retry_after is not None:
            headers["retry-after"] = f"{fault.retry_after:g}"
        body = self._dialect.error(fault.status, fault.message, fault.type, fault.code or None)
        return self._delivery().refusal(fault.status, body, headers)

    async def _deliver(self, reply: Reply, fault: Fault | None) -> None:
        dialect = self._dialect
        if not reply.asked.stream:
            await self._whole(dialect.whole(reply), reply.output_tokens, fault)
            return
        delivery = self._delivery()
        if fault is not None:
            self._how.faults[name_of(fault)] += 1
            if await delivery.instead(fault, stream=dialect.content_type):
                return
        failure = dialect.stream_error(fault) if isinstance(fault, StreamFault) else b""
        await delivery.stream(
            dialect.pieces(reply),
            dialect.end(reply),
            fault,
            content_type=dialect.content_type,
            failure=failure,
        )

    async def _whole(self, body: bytes, tokens: int, fault: Fault | None) -> None:
        delivery = self._delivery()
        if fault is not None:
            self._how.faults[name_of(fault)] += 1
            if await delivery.instead(fault, stream=None):
                return
        if isinstance(fault, StreamFault):
            body = self._dialect.error(500, fault.message, fault.type, fault.code)
        await delivery.whole(body, tokens, fault)


@lru_cache(maxsize=1)
def _date(second: int) -> str:
    """The time of an answer; Anthropic's resets are read against it."""
    return formatdate(second, usegmt=True)


def _fault_called(model: str) -> Fault | None:
    """A model called `fault-NAME` has this fault, always."""
    return NAMED.get(model[6:]) if model.startswith("fault-") else None
