"""What calls cost that did not succeed.

A provider charges for the prompt as soon as it works on it, and for what it said before the
connection broke; a sum that counts only the attempt that succeeded is too low. Where the provider
did not say, it is estimated, and marked so (`Usage.measured`).
"""

from __future__ import annotations

from understudy.actors.rules.tokens import token_eighths, tokens_of
from understudy.messages.chat import Usage, text_of
from understudy.messages.errors import (
    ConnectError,
    ContentFilterError,
    DeadlineExceededError,
    ModelError,
    ResponseError,
    ServerError,
    StreamBrokenError,
    UnderstudyError,
)
from understudy.messages.models import Complete, Embed

_EIGHTHS_PER_MESSAGE = 32
"""What a provider adds for roles and separators: about four tokens."""
_WORKED_ON = (
    StreamBrokenError,
    ServerError,
    ResponseError,
    ContentFilterError,
    DeadlineExceededError,
)
NOTHING = Usage()


def estimate(request: Complete | Embed) -> int:
    """Tokens of a request's input, estimated; at least 1."""
    if isinstance(request, Embed):
        return max(1, tokens_of(sum(map(token_eighths, request.texts))))
    eighths = 0
    for message in request.messages:
        eighths += token_eighths(text_of(message)) + _EIGHTHS_PER_MESSAGE
    return max(1, tokens_of(eighths))


def spent_by(error: BaseException, request: Complete | Embed) -> Usage | None:
    """What a failed attempt used; None when nobody can know.

    Args:
        error: how it failed.
        request: what it asked.
    """
    if isinstance(error, UnderstudyError) and isinstance(error.usage, Usage):
        return error.usage
    if isinstance(error, ConnectError) or (isinstance(error, ModelError) and _refused(error)):
        return NOTHING
    if isinstance(error, _WORKED_ON):  # the prompt counts, and what had come
        said = error.partial if isinstance(error.partial, str) else ""
        output = tokens_of(token_eighths(said))
        return Usage(input_tokens=estimate(request), output_tokens=output, measured=False)
    return None


def _refused(error: ModelError) -> bool:
    return error.status is not None and error.status >= 400
