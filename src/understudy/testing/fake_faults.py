"""What a provider does wrong, as `FakeModel` plays it.

The faults are `ProviderServer`'s own (`understudy.testing.provider_server`), so one script serves
both: here they become the errors that the client makes of them, with status, `retry_after` and
whether a retry may help. What only bytes can do (a chunk without a length, a huge body) needs the
server.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator

from understudy.actors.models.failures import Refusal, classify
from understudy.messages.errors import (
    ConfigError,
    ConnectError,
    ModelError,
    ResponseError,
    StreamBrokenError,
)
from understudy.testing.provider_server.faults import (
    Blackhole,
    Fault,
    Malformed,
    Refuse,
    Reset,
    Status,
    StreamFault,
    Truncate,
    name_of,
)


async def befall(fault: Fault, tokens: Iterable[str], name: str) -> Iterator[str]:
    """The answer of these tokens, as far as it comes before `fault` breaks it off.

    Raises:
        ModelError: nothing comes of it.
        ConfigError: it takes bytes to do that.
    """
    if isinstance(fault, Blackhole):
        await asyncio.Event().wait()  # until who asked has had enough
    after = 0
    if isinstance(fault, (Truncate, StreamFault, Reset)):
        after = fault.after or 0
    error = _error_of(fault, name)
    if not after:
        raise error
    return _broken_off(tokens, after, error)


def _broken_off(tokens: Iterable[str], after: int, error: ModelError) -> Iterator[str]:
    for _, token in zip(range(after), tokens, strict=False):
        yield token
    raise error


def _error_of(fault: Fault, name: str) -> ModelError:
    if isinstance(fault, Status):
        headers = {each.lower(): value for each, value in fault.headers.items()}
        if fault.retry_after is not None:
            headers["retry-after"] = str(fault.retry_after)
        refusal = Refusal(message=fault.message, code=fault.code, type=fault.type)
        return classify(refusal, provider=name, model=name, status=fault.status, headers=headers)
    if isinstance(fault, StreamFault):
        code = "" if fault.code is None else str(fault.code)
        refusal = Refusal(message=fault.message, code=code, type=fault.type)
        return classify(refusal, provider=name, model=name, status=None, headers={})
    if isinstance(fault, Malformed):
        told = f"{name}: the answer is no JSON: {fault.body[:40]!r}"
        return ResponseError(told, provider=name, model=name, status=200)
    if isinstance(fault, Refuse) or (isinstance(fault, Reset) and fault.after is None):
        told = f"{name}: no connection (a fault of the test)"
        return ConnectError(told, provider=name, model=name, retryable=True)
    if isinstance(fault, (Truncate, Reset)):
        told = f"{name}: the stream ended before its end marker (a fault of the test)"
        return StreamBrokenError(told, provider=name, model=name, retryable=True)
    msg = f"FakeModel: {name_of(fault)!r} is made of bytes: use a ProviderServer for it"
    raise ConfigError(msg)
