from typing import TYPE_CHECKING

import pytest

from understudy.actors.kernel.dead_letters import DeadLetters
from understudy.actors.kernel.options import MailboxOptions
from understudy.messages.envelope import Envelope
from understudy.messages.errors import ConfigError
from understudy.messages.events import DeadLettered

if TYPE_CHECKING:
    from tests.actors.kernel.conftest import Stage

pytestmark = pytest.mark.anyio


async def test_every_loss_is_on_record(stage: "Stage") -> None:
    """With message, receiver, reason and time, and as an event of the same number."""
    ref = await stage.doer(name="gone")
    await ref.stop()
    assert not ref.tell("hello")
    (letter,) = stage.system.dead_letters.recent()
    assert (letter.message, letter.receiver, letter.reason) == ("hello", "/user/gone", "closed")
    assert letter.at == stage.clock.wall()
    (event,) = [each for each in stage.heard.events if isinstance(each, DeadLettered)]
    assert (event.id, event.receiver, event.reason) == (letter.id, "/user/gone", "closed")


async def test_the_store_is_bounded(stage: "Stage") -> None:
    """The oldest go first; the total counts all of them."""
    letters = DeadLetters(stage.system, bound=3)
    for number in range(5):
        letters.add(Envelope(number), "/user/x", "full")
    assert [letter.message for letter in letters.recent()] == [2, 3, 4]
    assert letters.total == 5


async def test_a_letter_can_be_sent_again(stage: "Stage") -> None:
    """It leaves the store when it was accepted, and stays when it was not."""
    ref = await stage.doer(mailbox=MailboxOptions(capacity=1))
    got: list[str] = []
    assert ref.tell(lambda _: got.append("first"))
    assert not ref.tell(lambda _: got.append("second"))
    letters = stage.system.dead_letters
    (letter,) = letters.recent()
    assert not letters.resend(letter.id)
    assert letters.recent()[0] == letter
    await stage.until(lambda: got)
    assert letters.resend(letter.id)
    await stage.until(lambda: got == ["first", "second"])
    assert letter not in letters.recent()
    with pytest.raises(ConfigError, match="no dead letter 1 "):
        letters.resend(letter.id)


async def test_an_answer_cannot_be_sent_again(stage: "Stage") -> None:
    """A late reply has no receiver any more."""
    ref = await stage.doer()
    reply = ref.request("x")
    await reply
    reply.set("again")
    (letter,) = stage.system.dead_letters.recent()
    with pytest.raises(ConfigError):
        stage.system.dead_letters.resend(letter.id)
