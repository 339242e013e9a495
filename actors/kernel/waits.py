"""Who waits for whom: deadlocks, named.

A handler that waits for the answer of another actor is an edge in a graph; an edge that closes a
cycle would never be answered, so it is refused in the handler that closes it. A deferred answer
adds no edge for the actor that deferred it, and neither does a task beside the handlers: they keep
nobody waiting.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from understudy.actors.kernel.context import in_hand
from understudy.messages.errors import DeadlockError

if TYPE_CHECKING:
    from understudy.actors.kernel.cell import Cell
    from understudy.actors.kernel.reply import Reply


def asks(reply: Reply[Any], cell: Cell) -> Cell | None:
    """Note that the handler in hand waits for `cell`; the waiting actor, or None outside of one.

    Raises:
        DeadlockError: `cell` waits, over however many others, for this very handler.
    """
    hand = in_hand.get()
    if hand is None or hand.cell is None or hand.cell.current is not hand:
        return None  # not a handler: a task beside it may well wait
    asker: Cell = hand.cell
    if asker.waits_for is None:
        asker.waits_for = []
    # Note first, look then: of two threads that close a circle at once, one sees the other.
    asker.waits_for.append(reply)
    if cell is asker or cell.waits_for:
        cycle = _cycle(asker, cell)
        if cycle:
            asker.waits_for.remove(reply)
            reply.cancel()
            paths = tuple(each.path for each in cycle)
            raise DeadlockError(" -> ".join(paths), cycle=paths, actor=asker.path)
    return asker


def chain_of(reply: Reply[Any] | None) -> tuple[str, ...]:
    """Whom the requests go to that wait for one another, the outermost first."""
    found: list[str] = []
    while reply is not None:
        if reply._cell is not None:
            found.append(reply._cell.path)
        reply = reply._parent
    return tuple(reversed(found))


def _cycle(asker: Cell, target: Cell) -> list[Cell]:
    """The path from `asker` over `target` back to `asker`, or nothing."""
    seen: set[int] = set()
    stack = [[asker, target]]
    while stack:
        path = stack.pop()
        last = path[-1]
        if last is asker:
            return path
        if id(last) not in seen:
            seen.add(id(last))
            # Who has an answer, and has only not woken up yet, waits for nobody any more.
            waits = [each for each in list(last.waits_for or ()) if not each._state]
            stack.extend([*path, each._cell] for each in waits if each._cell is not None)
    return []
