"""Dead letters: what was sent and will not be handled, and why.

A bounded store (the oldest go first), to be looked at and sent again; every loss is also an event.
Reasons: `full`, `closed`, `overflow`, `killed`, `expired`, `cancelled`, `late_reply`, `shutdown`.
"""

from __future__ import annotations

import itertools
from _thread import allocate_lock
from collections import deque
from typing import TYPE_CHECKING

from understudy.actors.kernel.deferred import Result
from understudy.messages.control import DeadLetter
from understudy.messages.envelope import Envelope
from understudy.messages.errors import ConfigError
from understudy.messages.events import DeadLettered

if TYPE_CHECKING:
    from understudy.actors.kernel.system import ActorSystem


class DeadLetters:
    """The last `bound` dead letters of a runtime; any thread."""

    def __init__(self, system: ActorSystem, bound: int = 1000) -> None:
        self._system = system
        self._letters: deque[tuple[DeadLetter, Envelope]] = deque(maxlen=bound)
        self._ids = itertools.count(1)
        self._lock = allocate_lock()
        self.total = 0

    def add(self, env: Envelope, receiver: str, reason: str) -> None:
        """Keep one; called by the kernel."""
        system = self._system
        message = env.message.message if isinstance(env.message, Result) else env.message
        with self._lock:
            number = next(self._ids)
            self.total = number
            letter = DeadLetter(
                id=number,
                message=message,
                receiver=receiver,
                reason=reason,
                at=system.clock.wall(),
            )
            self._letters.append((letter, env))
        if system.events.wants(DeadLettered):
            event = DeadLettered(at=letter.at, id=number, receiver=receiver, reason=reason)
            system.events.publish(event)

    def recent(self) -> list[DeadLetter]:
        """What is kept, oldest first."""
        with self._lock:
            return [letter for letter, _ in self._letters]

    def resend(self, number: int) -> bool:
        """Tell the message to its receiver again; True when it was accepted.

        Raises:
            ConfigError: no dead letter with that id is kept (any more), or it was an answer.
        """
        with self._lock:
            found = next((pair for pair in self._letters if pair[0].id == number), None)
        if found is None or found[1].cell is None:
            msg = f"there is no dead letter {number} to send again; see dead_letters.recent()"
            raise ConfigError(msg)
        letter, env = found
        accepted: bool = env.cell.ref.tell(letter.message)
        if accepted:
            with self._lock:
                self._letters = deque(
                    (pair for pair in self._letters if pair[0].id != number),
                    maxlen=self._letters.maxlen,
                )
        return accepted
