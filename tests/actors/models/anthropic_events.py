"""What Anthropic's API sends, event by event."""

from typing import Any

USAGE = {
    "input_tokens": 10,
    "cache_creation_input_tokens": 5,
    "cache_read_input_tokens": 100,
    "output_tokens": 1,
}


def started(**fields: Any) -> dict[str, Any]:
    """How every stream begins."""
    message = {"id": "msg_1", "model": "claude-x", "content": [], "usage": USAGE, **fields}
    return {"type": "message_start", "message": message}


def block(index: int, start: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    """The events of one block."""
    return [
        {"type": "content_block_start", "index": index, "content_block": start},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def ended(reason: str = "end_turn", **usage: int) -> list[dict[str, Any]]:
    """How every stream ends."""
    usage = usage or {"output_tokens": 7}
    return [
        {"type": "message_delta", "delta": {"stop_reason": reason}, "usage": usage},
        {"type": "message_stop"},
    ]


def text(said: str, index: int = 0) -> list[dict[str, Any]]:
    """A block of text in one delta."""
    return block(index, {"type": "text", "text": ""}, {"type": "text_delta", "text": said})
