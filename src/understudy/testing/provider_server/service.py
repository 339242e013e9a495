"""Which protocol a request speaks, by its path; one server speaks all of them."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from understudy.testing.provider_server.anthropic import AnthropicDialect
from understudy.testing.provider_server.dialect import Dialect
from understudy.testing.provider_server.embedding import (
    EmbedRequest,
    ollama_embeddings,
    openai_embeddings,
)
from understudy.testing.provider_server.exchange import Behaviour, Exchange, Later
from understudy.testing.provider_server.http import ServerConnection
from understudy.testing.provider_server.ollama import OllamaDialect
from understudy.testing.provider_server.openai import OpenAIDialect
from understudy.testing.provider_server.records import RecordedRequest
from understudy.testing.provider_server.responses import ResponsesDialect


class Operation(msgspec.Struct, frozen=True, kw_only=True):
    """What one path does, and in which dialect.

    Attributes:
        protocol: its name, as `protocols=` knows it.
        embeds: makes the answer where it is embeddings.
        lists: it names the models.
    """

    protocol: str
    dialect: Dialect
    embeds: Callable[[EmbedRequest], bytes] | None = None
    lists: bool = False


PROTOCOLS = ("openai", "responses", "anthropic", "ollama")
_DIALECTS: dict[str, Dialect] = {
    "openai": OpenAIDialect(),
    "responses": ResponsesDialect(),
    "anthropic": AnthropicDialect(),
    "ollama": OllamaDialect(),
}


def _at(protocol: str, **does: bool | Callable[[EmbedRequest], bytes]) -> Operation:
    return Operation(protocol=protocol, dialect=_DIALECTS[protocol], **does)  # type: ignore[arg-type]


_OPERATIONS = {
    ("POST", "/v1/chat/completions"): _at("openai"),
    ("POST", "/v1/embeddings"): _at("openai", embeds=openai_embeddings),
    ("GET", "/v1/models"): _at("openai", lists=True),
    ("POST", "/v1/responses"): _at("responses"),
    ("POST", "/v1/messages"): _at("anthropic"),
    ("POST", "/api/chat"): _at("ollama"),
    ("POST", "/api/embed"): _at("ollama", embeds=ollama_embeddings),
    ("GET", "/api/tags"): _at("ollama", lists=True),
}
_NOWHERE = _at("openai")


class Service:
    """Answers the requests of one server.

    Args:
        how: how it answers.
        protocols: those that are spoken; the paths of others do not exist.
    """

    def __init__(self, how: Behaviour, protocols: tuple[str, ...]) -> None:
        self.how = how
        self._operations = {
            route: operation
            for route, operation in _OPERATIONS.items()
            if operation.protocol in protocols
        }

    def handle(self, request: RecordedRequest, connection: ServerConnection) -> Later | None:
        """Answer a request, or give what will."""
        route = (request.method, request.path.partition("?")[0])
        operation = self._operations.get(route, _NOWHERE)
        exchange = Exchange(self.how, operation.dialect, request, connection)
        if operation is _NOWHERE:
            return exchange.refuse(404, "no such path")
        if operation.embeds is not None:
            return exchange.embed(operation.embeds)
        return exchange.list() if operation.lists else exchange.chat()
