"""Google's Gemini API: `generateContent`, streamed or not, and embeddings in batches.

What is asked is in `gemini_request`, what is answered in `gemini_assembly`; sending and streaming
is `HttpProvider`'s. The API's streams have no end marker: one that ends without a finish reason was
cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from understudy.actors.models.embedding import HttpEmbedder, Vectors
from understudy.actors.models.gemini_assembly import GeminiAssembly, read_vectors
from understudy.actors.models.gemini_request import NAME, embed_body, request_body
from understudy.actors.models.http_provider import Ask
from understudy.actors.models.provider import ProviderSettings
from understudy.messages.models import Complete, Embed

if TYPE_CHECKING:
    import httpx


class GeminiContent(HttpEmbedder):
    """A provider (see `Provider` and `Embedder`) over `POST {base_url}/models/{model}:…`.

    Args:
        settings: address, key and limits.
        transport: the HTTP seam; its owner closes it.

    Raises:
        ConfigError: the address or the key cannot work.
        AuthenticationError: there is no key.
    """

    max_texts = 100

    def __init__(self, settings: ProviderSettings, transport: httpx.AsyncBaseTransport) -> None:
        super().__init__(
            settings,
            transport,
            name=NAME,
            base_url="https://generativelanguage.googleapis.com/v1beta",
            key_header="x-goog-api-key",
            key_variable="GEMINI_API_KEY",
        )

    def ask(self, request: Complete, *, stream: bool) -> Ask:
        """See `HttpProvider.ask`."""
        verb = "streamGenerateContent?alt=sse" if stream else "generateContent"
        return Ask(path=f"/{_resource(request.model)}:{verb}", body=request_body(request))

    def assembly(self, request: Complete) -> GeminiAssembly:
        """See `HttpProvider.assembly`."""
        return GeminiAssembly(request, self.name)

    def embed_ask(self, request: Embed, texts: Sequence[str]) -> Ask:
        """See `HttpEmbedder.embed_ask`."""
        resource = _resource(request.model)
        body = embed_body(request, texts, resource)
        return Ask(path=f"/{resource}:batchEmbedContents", body=body)

    def read_vectors(self, body: bytes) -> Vectors:
        """See `HttpEmbedder.read_vectors`."""
        return read_vectors(body)


def _resource(model: str) -> str:
    """`models/gemini-…`; tuned models say themselves where they are."""
    return quote(model if "/" in model else f"models/{model}", safe="/")
