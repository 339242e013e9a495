"""What of a conversation is still said: the last messages, or as many as fit a window of tokens.

Gives the part of a history that is sent with the next prompt. Two bounds, which may be combined: a
number of messages (`limit`) and a weight (`window`, in whatever unit `weigh` gives).

Guarantees: the order stays; a tool call is never without its results, nor a result without its
call; system messages at the beginning are always kept; both bounds are kept by what is left; what
is left (but for the system messages) begins with a user's message where the history did. It looks
only at what is kept and one turn more, so a long history costs no more than a short one.

A turn goes as a whole: from a user's message to before the next. Only where not even the last turn
fits, the user's message of it is kept with its last answers. Why not cut between any two messages:
providers refuse a result without its call, and some a conversation that the assistant begins.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from understudy.messages.chat import AssistantMessage, Message, SystemMessage, UserMessage

Weigh = Callable[[Message], int]
Messages = Sequence[Message]


def weightless(message: Message) -> int:
    """What a message weighs where only their number counts."""
    del message
    return 0


def trim(
    messages: Messages,
    *,
    limit: int | None = None,
    window: int | None = None,
    weigh: Weigh = weightless,
    keep_first: bool = False,
) -> tuple[Message, ...]:
    """The messages that are kept, oldest first.

    Args:
        messages: the history, oldest first.
        limit: messages to keep, at most; system messages at the beginning do not count.
        window: weight of all that is kept, at most; they do count here.
        weigh: the weight of one message.
        keep_first: the first turn is kept too (what a conversation is about is often said there),
            if it fits.
    """
    size = len(messages)
    head = 0
    while head < size and isinstance(messages[head], SystemMessage):
        head += 1
    if window is None and (limit is None or size - head <= limit):
        return tuple(messages)
    room = Room(limit, window, weigh)
    system = tuple(messages[:head])
    room.force(system)
    floor = head
    if keep_first:
        end = _next_turn(messages, head)
        if room.take(messages[head:end]):
            floor = end
    start = size
    while start > floor:
        begin = _turn_of(messages, start - 1, floor)
        if not room.take(messages[begin:start]):
            break
        start = begin
    first, last = tuple(messages[head:floor]), tuple(messages[start:])
    if start == size > floor:
        last = _last_words(messages[_turn_of(messages, size - 1, floor) :], room)
    return (*system, *first, *last)


class Room:
    """What there is still place for."""

    __slots__ = ("_limit", "_weigh", "_window")

    def __init__(self, limit: int | None, window: int | None, weigh: Weigh) -> None:
        self._limit = limit
        self._window = window
        self._weigh = weigh

    def force(self, messages: Messages) -> None:
        """Take what has to be there, which counts only by its weight."""
        if self._window is not None:
            self._window -= sum(map(self._weigh, messages))

    def take(self, messages: Messages) -> bool:
        """Take all of them, or none: False when there is no place."""
        limit = None if self._limit is None else self._limit - len(messages)
        if limit is not None and limit < 0:
            return False
        window = self._window
        if window is not None:
            for message in messages:
                window -= self._weigh(message)
                if window < 0:
                    return False
        self._limit, self._window = limit, window
        return True


def _turn_of(messages: Messages, index: int, floor: int) -> int:
    """Where the turn begins that `messages[index]` belongs to."""
    while index > floor and not isinstance(messages[index], UserMessage):
        index -= 1
    return index


def _next_turn(messages: Messages, start: int) -> int:
    """Where the turn ends that begins at `start`."""
    end = start + 1
    while end < len(messages) and not isinstance(messages[end], UserMessage):
        end += 1
    return min(end, len(messages))


def _last_words(turn: Messages, room: Room) -> tuple[Message, ...]:
    """Of a turn that does not fit: what the user said, and the last answers, calls with results."""
    if not isinstance(turn[0], UserMessage) or not room.take(turn[:1]):
        return ()
    end = len(turn)
    while end > 1:
        begin = end - 1
        while begin > 1 and not isinstance(turn[begin], AssistantMessage):
            begin -= 1
        if not room.take(turn[begin:end]):
            break
        end = begin
    return (turn[0], *turn[end:]) if end < len(turn) else ()
