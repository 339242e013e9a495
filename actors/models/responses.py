"""OpenAI's Responses API, under the name `openai-responses`.

What is asked is in `responses_request`, what is answered in `responses_assembly`; sending and
streaming is `HttpProvider`'s. Nothing is stored at OpenAI: the conversation goes along with each
call, and so does the reasoning, encrypted, which the next call gives back as it came.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from understudy.actors.models.families import OPENAI_REASONING, OPENAI_RESPONSES, Omissions
from understudy.actors.models.http_provider import Ask, HttpProvider
from understudy.actors.models.provider import ProviderSettings
from understudy.actors.models.responses_assembly import ResponsesAssembly
from understudy.actors.models.responses_request import NAME, request_body
from understudy.messages.models import Complete

if TYPE_CHECKING:
    import httpx


class OpenAIResponses(HttpProvider):
    """A provider (see `Provider`) over `POST {base_url}/responses`.

    Args:
        settings: address, key and limits.
        transport: the HTTP seam; its owner closes it.

    Raises:
        ConfigError: the address or the key cannot work.
        AuthenticationError: there is no key.
    """

    def __init__(self, settings: ProviderSettings, transport: httpx.AsyncBaseTransport) -> None:
        super().__init__(
            settings,
            transport,
            name=NAME,
            base_url="https://api.openai.com/v1",
            key_variable="OPENAI_API_KEY",
        )
        self._omissions = Omissions(NAME)

    def ask(self, request: Complete, *, stream: bool) -> Ask:
        """See `HttpProvider.ask`."""
        body = request_body(request, stream=stream)
        self._omissions.apply(body, (OPENAI_RESPONSES, OPENAI_REASONING), request.model)
        return Ask(path="/responses", body=body)

    def assembly(self, request: Complete) -> ResponsesAssembly:
        """See `HttpProvider.assembly`."""
        return ResponsesAssembly(request, self.name)
