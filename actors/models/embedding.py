"""Embeddings, for every provider that makes them.

A format says what one request looks like and what its answer means; cutting many texts into
requests, adding up and checking are here. The requests of one call go out one after the other, so
that a call costs its account one connection, and share its deadline.

Vectors travel as bytes of packed 32-bit little-endian floats: that is what OpenAI's base64 holds,
a quarter of the JSON, and what numpy, array and every vector store read without parsing.
"""

from __future__ import annotations

import asyncio
import struct
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from functools import partial
from typing import NamedTuple

from understudy.actors.models.http_provider import Ask, HttpProvider
from understudy.actors.rules.tokens import estimate_tokens
from understudy.messages.chat import Usage
from understudy.messages.errors import DeadlineExceededError, ResponseError
from understudy.messages.models import Embed, Embeddings


class Vectors(NamedTuple):
    """What one request gave: vectors in the order of its texts, and tokens if they were counted."""

    vectors: list[bytes]
    tokens: int | None = None
    model: str = ""


class HttpEmbedder(HttpProvider):
    """A provider over HTTP that makes embeddings too (see `Embedder`)."""

    max_texts = 256
    """Texts of one request."""
    max_batch_tokens = 250_000
    """Tokens of one request, by estimate."""

    @abstractmethod
    def embed_ask(self, request: Embed, texts: Sequence[str]) -> Ask:
        """The request for the vectors of some of the texts."""

    @abstractmethod
    def read_vectors(self, body: bytes) -> Vectors:
        """What its answer holds.

        Raises:
            ResponseError: it is not what this format has.
            RefusedError: it is an error.
        """

    async def embed(self, request: Embed, *, timeout: float | None = None) -> Embeddings:
        """The vectors of some texts, in order (see `Embedder.embed`)."""
        clock = asyncio.get_running_loop().time
        end = None if timeout is None else clock() + timeout
        vectors: list[bytes] = []
        usage, model = Usage(), request.model
        for texts in _batches(request.texts, self.max_texts, self.max_batch_tokens):
            left = None if end is None else end - clock()
            if left is not None and left <= 0:
                told = f"the deadline passed after {len(vectors)} of {len(request.texts)} texts"
                raise DeadlineExceededError(f"{self.name}:{request.model}: {told}")
            got = await self.fetch(
                self.embed_ask(request, texts),
                partial(self._read, len(texts)),
                model=request.model,
                timeout=left,
            )
            vectors += got.vectors
            usage += _usage(got, texts)
            model = got.model or model
        size = len(vectors[0]) if vectors else 0
        if any(len(vector) != size for vector in vectors):
            told = f"{self.name}:{request.model}: vectors of different lengths"
            raise ResponseError(told, provider=self.name, model=request.model)
        return Embeddings(
            vectors=tuple(vectors),
            dimensions=size // 4,
            usage=usage,
            model=model,
            provider=self.name,
        )

    def _read(self, count: int, body: bytes) -> Vectors:
        got = self.read_vectors(body)
        if len(got.vectors) != count:
            raise ResponseError(f"{len(got.vectors)} vectors for {count} texts")
        return got


def packed(values: Sequence[float]) -> bytes:
    """Floats as packed 32-bit little-endian bytes."""
    return struct.pack(f"<{len(values)}f", *values)


def _usage(got: Vectors, texts: Sequence[str]) -> Usage:
    if got.tokens is not None:
        return Usage(input_tokens=got.tokens)
    return Usage(input_tokens=sum(map(estimate_tokens, texts)), measured=False)


def _batches(texts: Sequence[str], max_texts: int, max_tokens: int) -> Iterator[Sequence[str]]:
    start, tokens = 0, 0
    for position, text in enumerate(texts):
        weight = estimate_tokens(text)
        if position > start and (position - start >= max_texts or tokens + weight > max_tokens):
            yield texts[start:position]
            start, tokens = position, 0
        tokens += weight
    if texts:
        yield texts[start:]
