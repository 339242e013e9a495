"""OpenAI's chat completions, and every server that speaks them.

`OpenAIChat` serves `openai:…`, `openai-compatible:…` and each name of `profiles.NAMED`; where these
servers differ is data there. What is asked is in `openai_request`, what is answered in
`openai_wire` and `openai_assembly`; sending and streaming is `HttpProvider`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from understudy.actors.models.embedding import HttpEmbedder, Vectors
from understudy.actors.models.families import Omissions
from understudy.actors.models.http_provider import Ask
from understudy.actors.models.openai_assembly import OpenAIAssembly
from understudy.actors.models.openai_request import embed_body, request_body
from understudy.actors.models.openai_wire import read_vectors
from understudy.actors.models.profiles import OPENAI, Profile, profile_for
from understudy.actors.models.provider import ProviderSettings
from understudy.actors.models.wire import JsonObject
from understudy.messages.models import Complete, Embed

if TYPE_CHECKING:
    import httpx

AZURE_VERSION = "2024-10-21"
"""For Azure's addresses by deployment; those below `/openai/v1` have none."""


class OpenAIChat(HttpEmbedder):
    """A provider (see `Provider` and `Embedder`) over `POST {base_url}/chat/completions`.

    Args:
        settings: address, key and limits.
        transport: the HTTP seam; its owner closes it.
        profile: whose server it is. `OPENAI` and `COMPATIBLE` look at the host of `base_url` for a
            server that they know.

    Raises:
        ConfigError: the address or the key cannot work.
        AuthenticationError: the server needs a key and there is none.
    """

    max_texts = 1024  # of the 2,048 that are taken: as many large vectors exceed 32 MiB

    def __init__(
        self,
        settings: ProviderSettings,
        transport: httpx.AsyncBaseTransport,
        *,
        profile: Profile = OPENAI,
    ) -> None:
        self.profile = profile_for(profile, settings.base_url)
        super().__init__(
            settings,
            transport,
            name=profile.name,
            base_url=profile.base_url,
            key_header="api-key" if self.profile.deployments else "authorization",
            key_variable=profile.key_variable,
        )
        self._by_deployment = self.profile.deployments and "/openai/v1" not in self.base_url
        self._omissions = Omissions(self.name)

    def ask(self, request: Complete, *, stream: bool) -> Ask:
        """See `HttpProvider.ask`."""
        body = request_body(request, self.profile, stream=stream)
        self._omissions.apply(body, self.profile.families, request.model)
        if request.tools and request.tool_choice == "required" != body.get("tool_choice"):
            told = "tool_choice='required'"
            self._omissions.tell(self.profile.name, told, f"{told} is sent as 'auto'")
        return self._ask(request.model, "/chat/completions", body)

    def assembly(self, request: Complete) -> OpenAIAssembly:
        """See `HttpProvider.assembly`."""
        return OpenAIAssembly(request, self.name)

    def embed_ask(self, request: Embed, texts: Sequence[str]) -> Ask:
        """See `HttpEmbedder.embed_ask`."""
        return self._ask(request.model, "/embeddings", embed_body(request, texts))

    def read_vectors(self, body: bytes) -> Vectors:
        """See `HttpEmbedder.read_vectors`."""
        return read_vectors(body)

    def _ask(self, model: str, path: str, body: JsonObject) -> Ask:
        if self._by_deployment:
            deployment = quote(model, safe="")
            path = f"/openai/deployments/{deployment}{path}?api-version={AZURE_VERSION}"
        return Ask(path=path, body=body)
