"""Anthropic's Messages API.

What is asked is in `anthropic_request`, what is answered in `anthropic_assembly`; sending and
streaming is `HttpProvider`'s. The version of the API is the one that takes what the model takes:
models up to 4.6 are asked in the old one, with their sampling parameters, later ones in the new
one, which refuses these parameters even at their defaults.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from understudy.actors.models.anthropic_assembly import AnthropicAssembly
from understudy.actors.models.anthropic_request import max_tokens, request_body
from understudy.actors.models.families import ANTHROPIC, ANTHROPIC_NEWER, Omissions
from understudy.actors.models.http_provider import Ask, HttpProvider
from understudy.actors.models.provider import ProviderSettings
from understudy.messages.models import Complete

if TYPE_CHECKING:
    import httpx

OLD_VERSION = "2023-06-01"
NEW_VERSION = "2026-10-21"
STREAM_ABOVE = 600.0 * 128_000 / 3600
"""Tokens that may take ten minutes, the longest that a connection stays quiet and alive."""


class AnthropicMessages(HttpProvider):
    """A provider (see `Provider`) over `POST {base_url}/v1/messages`.

    Args:
        settings: address, key and limits.
        transport: the HTTP seam; its owner closes it.

    Raises:
        ConfigError: the address or the key cannot work.
        AuthenticationError: there is no key.
    """

    request_id_header = "request-id"

    def __init__(self, settings: ProviderSettings, transport: httpx.AsyncBaseTransport) -> None:
        super().__init__(
            settings,
            transport,
            name="anthropic",
            base_url="https://api.anthropic.com",
            key_header="x-api-key",
            key_variable="ANTHROPIC_API_KEY",
        )
        self._omissions = Omissions(self.name)
        self._path = "/messages" if self.base_url.endswith("/v1") else "/v1/messages"

    def ask(self, request: Complete, *, stream: bool) -> Ask:
        """See `HttpProvider.ask`."""
        body = request_body(request, stream=stream)
        self._omissions.apply(body, (ANTHROPIC, ANTHROPIC_NEWER), request.model)
        newer = ANTHROPIC_NEWER.has(request.model)
        version = NEW_VERSION if newer else OLD_VERSION
        return Ask(path=self._path, body=body, headers={"anthropic-version": version})

    def assembly(self, request: Complete) -> AnthropicAssembly:
        """See `HttpProvider.assembly`."""
        return AnthropicAssembly(request, self.name)

    def streams_anyway(self, request: Complete) -> bool:
        """Long answers: nothing else keeps the connection alive while they are written."""
        return max_tokens(request) > STREAM_ABOVE
