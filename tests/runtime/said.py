"""What was said in a conversation, for the tests of sessions and memories."""

from typing import Any


def texts(messages: Any) -> list[str]:
    """What was said."""
    return [str(each.content) for each in messages]
