"""Embeddings of OpenAI's and Ollama's form: the same text has the same vector, of length 1."""

from __future__ import annotations

import math
import random
import struct
from base64 import b64encode

import msgspec

DIMENSIONS = 8


class EmbedRequest(msgspec.Struct):
    """What both protocols ask."""

    model: str
    input: str | list[str]
    dimensions: int = DIMENSIONS
    encoding_format: str = "float"

    @property
    def texts(self) -> list[str]:
        """The texts, of which there may be only one."""
        return [self.input] if isinstance(self.input, str) else self.input

    def tokens(self) -> int:
        """A token is a word."""
        return sum(len(text.split()) for text in self.texts)


read_embed = msgspec.json.Decoder(EmbedRequest).decode


def vector(text: str, dimensions: int = DIMENSIONS) -> list[float]:
    """The vector of a text: drawn by a generator that the text seeds."""
    draw = random.Random(text)
    values = [draw.gauss(0.0, 1.0) for _ in range(dimensions)]
    length = math.sqrt(sum(value * value for value in values)) or 1.0
    return [value / length for value in values]


def openai_embeddings(asked: EmbedRequest) -> bytes:
    """The answer of `POST /v1/embeddings`; base64 holds packed 32-bit floats."""
    vectors = [vector(text, asked.dimensions) for text in asked.texts]
    data = [
        {
            "object": "embedding",
            "index": index,
            "embedding": b64encode(struct.pack(f"<{len(each)}f", *each)).decode()
            if asked.encoding_format == "base64"
            else each,
        }
        for index, each in enumerate(vectors)
    ]
    usage = {"prompt_tokens": asked.tokens(), "total_tokens": asked.tokens()}
    return msgspec.json.encode(
        {"object": "list", "data": data, "model": asked.model, "usage": usage}
    )


def ollama_embeddings(asked: EmbedRequest) -> bytes:
    """The answer of `POST /api/embed`."""
    vectors = [vector(text, asked.dimensions) for text in asked.texts]
    counted = asked.tokens()
    return msgspec.json.encode(
        {"model": asked.model, "embeddings": vectors, "prompt_eval_count": counted}
    )
