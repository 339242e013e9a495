"""A stream says the same whichever way it is read, whoever parses it and however it was cut."""

import asyncio
from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.actors.models.scripted_socket import Basin, ScriptedSocket, scripted

from understudy.actors.models.http1 import Http1Connection
from understudy.actors.models.openai import OpenAIChat
from understudy.actors.models.profiles import COMPATIBLE
from understudy.actors.models.provider import ProviderSettings, TextPiece
from understudy.messages.chat import UserMessage
from understudy.messages.errors import DeadlineExceededError, ModelError
from understudy.messages.models import Complete, Completion

pytest.importorskip("httptools", reason="the extra 'fast' is not installed")

ASK = Complete(model="m", messages=(UserMessage(content="hi"),))


def delta(**fields: Any) -> bytes:
    """A chunk of a stream."""
    return msgspec.json.encode({"id": "1", "choices": [{"index": 0, "delta": fields}]})


EVENTS = st.one_of(
    st.text("aé\u2028😀 ", min_size=1, max_size=9).map(lambda text: delta(content=text)),
    st.text("xy", min_size=1, max_size=4).map(lambda text: delta(reasoning_content=text)),
    st.sampled_from(
        [
            b'{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}',
            b'{"choices":[],"usage":{"prompt_tokens":3,"completion_tokens":4}}',
            b'{"choices":[],"usage":null}',
            b'{"error":{"message":"too much","type":"server_error","code":503}}',
            b'{"error":{"message":"who are you","code":"invalid_api_key"}}',
            b"[DONE]",
            b"[DONE]",
            b"no json",
            b"",
        ]
    ),
)


@st.composite
def bodies(draw: st.DrawFn) -> tuple[bytes, bytes]:
    """A content type, and a body of it."""
    events = draw(st.lists(EVENTS, max_size=8))
    if draw(st.integers(0, 9)) == 0:
        return b"application/json", draw(
            st.sampled_from(
                [
                    b'{"choices":[{"message":{"content":"whole"},"finish_reason":"stop"}]}',
                    b'{"error":{"message":"no","code":"model_not_found"}}',
                    b'{"choices":[]}',
                    b"",
                ]
            )
        )
    if draw(st.booleans()):
        events.append(b"[DONE]")
    ends = st.sampled_from([b"\n\n", b"\n\n", b"\r\n\r\n", b"\r\r", b"\n: still here\n\n"])
    fields = st.sampled_from([b"data: ", b"data: ", b"data:", b"event: x\ndata: "])
    body = b"".join(draw(fields) + event + draw(ends) for event in events)
    return b"text/event-stream", body


@st.composite
def answers(draw: st.DrawFn) -> tuple[bytes, bool]:
    """All that a server says, and whether every parser must read it alike."""
    kind, body = draw(bodies())
    status = draw(st.sampled_from([200] * 8 + [429, 500]))
    head = b"HTTP/1.1 %d Fine Words\r\ncontent-type: %b\r\n" % (status, kind)
    if draw(st.integers(0, 5)) == 0:
        head = b"HTTP/1.1 103 Early\r\nlink: x\r\n\r\n" + head
    framing = draw(st.sampled_from(["chunked", "chunked", "length", "until it closes"]))
    if framing == "length":
        said = head + b"content-length: %d\r\n\r\n" % len(body) + body
    elif framing == "chunked":
        size = draw(st.integers(1, 90))
        parts = [body[start : start + size] for start in range(0, len(body), size)]
        trailer = draw(st.sampled_from([b"", b"x-trailer: 1\r\n"]))
        said = head + b"transfer-encoding: chunked\r\n\r\n"
        said += b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in parts)
        said += b"0\r\n" + trailer + b"\r\n"
    else:
        said = head + b"\r\n" + body
    fault = draw(st.sampled_from(["none", "none", "cut", "garbled", "more"]))
    if fault == "cut":
        return said[: draw(st.integers(0, len(said)))], True
    if fault == "garbled":
        at = draw(st.integers(len(head), len(said)))
        return said[:at] + b"zz\r\n" + said[at:], False
    if fault == "more":
        said += draw(st.sampled_from([b"x", b"\r\n", b"HTTP/1.1 200 OK\r\n\r\n"]))
    return said, True


class Told(NamedTuple):
    """What came of a call."""

    said: str
    thought: str
    completion: Completion | None
    error: tuple[Any, ...] | None
    left: tuple[int, int]
    """Leases, and sockets that neither rest nor are closed."""


async def tell(
    answer: bytes, *, parser: str, cuts: list[int], fate: str, gaps: list[int], sink: Basin | None
) -> Told:
    """Ask, and play that answer."""
    pieces = [answer[a:b] for a, b in zip([0, *cuts], [*cuts, len(answer)], strict=True) if b > a]

    def play(peer: Http1Connection) -> ScriptedSocket:
        return ScriptedSocket(peer, pieces, fate, gaps)

    completion, error = None, None
    said: list[tuple[str, str]] = sink.said if sink is not None else []
    async with scripted(parser, play) as transport:
        settings = ProviderSettings(base_url="http://127.0.0.1:9/v1")
        provider = OpenAIChat(settings, transport, profile=COMPATIBLE)
        try:
            if sink is not None:
                completion = await provider.push(ASK, sink, timeout=60)
            else:
                async for piece in provider.stream(ASK, timeout=60):
                    if isinstance(piece, Completion):
                        completion = piece
                    else:
                        kind = "text" if isinstance(piece, TextPiece) else "thought"
                        said.append((kind, piece.text))
        except (ModelError, DeadlineExceededError) as failed:
            error = (type(failed), failed.partial, failed.usage, failed.retryable, str(failed))
        for _ in range(3):
            await asyncio.sleep(0)
        stats = transport.stats
    return Told(
        "".join(text for kind, text in said if kind == "text"),
        "".join(text for kind, text in said if kind == "thought"),
        completion,
        error,
        (stats.lent, max(0, stats.open - stats.idle)),
    )


@settings(max_examples=150)
@given(
    answered=answers(),
    seeds=st.none() | st.lists(st.integers(0, 2000), max_size=6),
    fate=st.sampled_from(["eof", "reset"]),
    gaps=st.lists(st.integers(0, 3), min_size=1, max_size=3),
    basin=st.tuples(st.integers(1, 5), st.integers(0, 9)),
)
def test_pushed_and_streamed(
    answered: tuple[bytes, bool],
    seeds: list[int] | None,
    fate: str,
    gaps: list[int],
    basin: tuple[int, int],
) -> None:
    """Text, thoughts, completion and error are those of the answer that came in one piece."""
    answer, is_sound = answered
    everywhere = range(1, len(answer))
    at = everywhere if seeds is None else {seed % (len(answer) + 1) for seed in seeds}
    cuts = sorted(at)

    async def all_ways() -> list[Told]:
        return [
            await tell(
                answer,
                parser=parser,
                cuts=where,
                fate=fate,
                gaps=gaps,
                sink=Basin(*basin) if is_pushed else None,
            )
            for parser in ("h11", "llhttp")
            for where in ([], cuts)
            for is_pushed in (False, True)
        ]

    told = asyncio.run(all_ways())
    assert {one.left for one in told} == {(0, 0)}
    assert told[::2] == told[1::2]  # streamed, pushed
    seen = [_comparable(one) for one in told]
    assert seen == [seen[0]] * 4 + [seen[4]] * 4  # whatever the cuts
    assert seen[0] == seen[4] or not is_sound  # whoever parses


def _comparable(told: Told) -> tuple[Any, ...]:
    """Without the words of a parser, which depend on where it was."""
    return (*told[:3], told.error and told.error[:-1])
