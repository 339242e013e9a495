"""What the Model actor needs from a provider, and what it may be told.

A provider translates: a `Complete` becomes a request in its wire format, the answer a
`Completion`, and whatever goes wrong one leaf of the error tree. It knows no actors, keeps no
state between calls, never retries and reads no environment; so the same object serves any number
of calls at once, and the policies (retry, limits, breaker) have one owner above it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol, runtime_checkable
from urllib.parse import urlsplit

import msgspec

from understudy.messages.errors import ConfigError
from understudy.messages.models import Complete, Completion, Embed, Embeddings
from understudy.messages.secrets import Secret


class TextPiece(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Some text of the answer, as it arrives; never empty."""

    text: str


class ThoughtPiece(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Some text of the model's reasoning, where a provider shows it; never empty."""

    text: str


Piece = TextPiece | ThoughtPiece | Completion
"""What a stream yields: pieces in order, and the whole `Completion` last, exactly once."""


class ProviderSettings(msgspec.Struct, frozen=True, kw_only=True):
    """How to reach a provider.

    Attributes:
        base_url: where the API lives, without the operation's path; None: the provider's own.
        api_key: None only where the provider needs none.
        connect_timeout: seconds for the name, TCP and TLS together.
        write_timeout: the longest that the server takes nothing of the request.
        first_byte_timeout: seconds from sending to the head of the answer. Without streaming that
            is the whole generation, so it is long.
        idle_timeout: the longest silence within an answer.
        max_response_bytes: a larger answer is refused while it arrives.
    """

    base_url: str | None = None
    api_key: Secret | None = None
    connect_timeout: float = 5.0
    write_timeout: float = 60.0
    first_byte_timeout: float = 600.0
    idle_timeout: float = 120.0
    max_response_bytes: int = 32 * 1024 * 1024


class Provider(Protocol):
    """One account at one provider."""

    @property
    def name(self) -> str:
        """The name before the colon of `provider:model`."""
        ...

    async def complete(self, request: Complete, *, timeout: float | None = None) -> Completion:
        """Ask once, without streaming; `timeout` is what is left of the caller's deadline.

        Raises:
            ModelError: the leaf that says what went wrong.
            DeadlineExceededError: `timeout` seconds have passed.
        """
        ...

    def stream(
        self, request: Complete, *, timeout: float | None = None
    ) -> AsyncGenerator[Piece, None]:
        """Ask once; yield pieces as they arrive and the `Completion` last.

        Closing the generator closes the socket, so always leave it through `contextlib.aclosing`.

        Raises:
            ModelError: as for `complete`; `partial` is the text that had arrived, and `retryable`
                is False once a piece was yielded.
            DeadlineExceededError: `timeout` seconds have passed; with `partial`.
        """
        ...

    async def aclose(self) -> None:
        """Let go of what the provider itself opened. The transport belongs to whoever made it."""
        ...


@runtime_checkable
class Embedder(Protocol):
    """A provider that makes embeddings too."""

    async def embed(self, request: Embed, *, timeout: float | None = None) -> Embeddings:
        """The vectors of some texts, in order.

        Raises:
            ModelError: the leaf that says what went wrong.
            DeadlineExceededError: `timeout` seconds have passed.
        """
        ...


def check_base_url(url: str) -> str:
    """A usable base URL without its trailing slash.

    Raises:
        ConfigError: no scheme, a scheme that is not HTTP, no host, a query or a bad port.
    """
    problem = _url_problem(url)
    if problem:
        raise ConfigError(f"base_url {_shown(url)!r} {problem}")
    return url.rstrip("/")


def check_key(key: Secret, *, provider: str) -> str:
    """The key's value, fit for a header.

    Raises:
        ConfigError: it is empty or has characters that no header may carry. Found here, because the
            HTTP library's own complaint would quote it.
    """
    value = key.reveal()
    if not value or not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigError(
            f"the API key for {provider} is empty or has spaces, line ends or non-ASCII "
            "characters; check how it was copied"
        )
    return value


def _url_problem(url: str) -> str:
    try:
        parts = urlsplit(url)
        port_is_valid = parts.port is None or parts.port > 0
    except ValueError as error:
        return f"is not a URL: {error}"
    if "://" not in url:
        return f"has no scheme; write 'https://{_shown(url)}' (or http://)"
    if parts.scheme not in ("http", "https"):
        return f"has the scheme {parts.scheme!r}; only http and https are spoken"
    if not parts.hostname or not port_is_valid:
        return "names no host; write it like 'http://localhost:11434/v1'"
    if parts.username is not None:
        return "carries a user name; pass the key as api_key="
    if parts.query or parts.fragment:
        return "has a query or a fragment; leave only scheme, host and path"
    return ""


def _shown(url: str) -> str:
    """The URL for a message: without what may be a password or a key."""
    head, _, _ = url.partition("?")
    scheme, separator, rest = head.rpartition("://")
    _, at, host = rest.rpartition("@")
    return f"{scheme}{separator}{'***@' if at else ''}{host}"
