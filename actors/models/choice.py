"""Which HTTP transport a Runtime uses: the plain one, or the fast one of the extra `fast`.

`auto` takes the fast one where it is installed. It is the same transport with another parser under
it (see `transport` and ADR 004), held to the same tests, so what is installed decides about speed
and nothing else. `fast` insists and says what is missing; `plain` never looks. A transport object
is taken as it is.

Imports neither httpx nor httptools until a transport is made.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import TYPE_CHECKING, Literal, get_args

from understudy.messages.errors import ConfigError

if TYPE_CHECKING:
    import httpx

TransportName = Literal["auto", "plain", "fast"]


def transport_maker(
    given: httpx.AsyncBaseTransport | str | None,
) -> Callable[[], httpx.AsyncBaseTransport]:
    """What makes the transport of a Runtime, when the first provider needs it.

    Raises:
        ConfigError: nothing has that name, or it needs an extra that is not installed.
    """
    if given is None:
        given = "auto"
    if not isinstance(given, str):
        taken = given
        if not callable(getattr(taken, "handle_async_request", None)):
            told = f"transport={taken!r} is no httpx.AsyncBaseTransport and no name of one"
            raise ConfigError(told)
        return lambda: taken
    if given not in get_args(TransportName):
        known = ", ".join(map(repr, get_args(TransportName)))
        raise ConfigError(f"transport={given!r}: there are {known}, or give a transport object")
    fast = given != "plain" and find_spec("httptools") is not None
    if given == "fast" and not fast:
        raise ConfigError("transport='fast' needs httptools: pip install 'understudy[fast]'")
    return _fast if fast else _plain


def _plain() -> httpx.AsyncBaseTransport:
    from understudy.actors.models.transport import LeasedTransport

    return LeasedTransport()


def _fast() -> httpx.AsyncBaseTransport:
    from understudy.actors.models.transport import LeasedTransport

    return LeasedTransport(parser="llhttp")
