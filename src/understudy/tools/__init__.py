"""Ready-made tools and functions.

`fetch_url` (and `fetcher`, which makes one with other bounds) is a tool for agents. The rest are
functions that a workflow names by import path, as in `understudy.tools.digest:write_digest`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from understudy.tools.fetch import fetch_url, fetcher

__all__ = ["fetch_url", "fetcher"]


def __getattr__(name: str) -> Any:  # Any: whatever is exported under that name
    if name not in __all__:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    from understudy.tools import fetch

    value = getattr(fetch, name)
    globals()[name] = value
    return value
