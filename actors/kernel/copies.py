"""Messages as copies, to find out who shares what may change (`Runtime(debug=True)`).

Messages travel by reference and are frozen by convention. In debug mode a user's actor gets what
comes out of msgpack instead, as it would in another process: what a sender changes afterwards
changes nothing here, and a field that does not encode is said, once for each type. What does not
encode as a whole (functions, open files) is handed over as it is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec

from understudy.messages.codec import decode, encode
from understudy.messages.errors import UnderstudyError

logger = logging.getLogger("understudy.kernel")


def copying(path: str, receive: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A handler that is given copies."""
    said: set[type] = set()

    def handle(message: Any) -> Any:  # Any: what handlers take and return
        kind = type(message)
        if isinstance(message, (msgspec.Struct, list, dict, set, tuple)):
            try:
                message = decode(encode(message), kind)
            except (UnderstudyError, TypeError, ValueError) as error:
                if kind not in said:
                    said.add(kind)
                    logger.warning(
                        "%s was sent a %s that does not encode, and shares it with its sender: %s",
                        path,
                        kind.__name__,
                        error,
                    )
        return receive(message)

    return handle
