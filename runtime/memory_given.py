"""What is given to the verbs of a memory, as what it should be; each mistake is named."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from understudy.actors.kernel.origins import origin_in_hand
from understudy.messages.chat import (
    AssistantMessage,
    Message,
    SystemMessage,
    ToolMessage,
    UserMessage,
)
from understudy.messages.errors import ConfigError
from understudy.messages.memories import Document, check_name

Documents = Mapping[str, str] | Iterable[Document | str]
_MESSAGES = (SystemMessage, UserMessage, AssistantMessage, ToolMessage)


def tenant_of(given: str | None) -> str:
    """That tenant, or the one of the scope."""
    if given is not None:
        return check_name("tenant", given)
    origin = origin_in_hand()
    return "" if origin is None else origin.tenant


def session_of(given: str) -> str:
    """The name of a session."""
    if not check_name("session", given):
        msg = "session='': name the conversation"
        raise ConfigError(msg)
    return given


def messages_of(messages: Iterable[Message] | Message) -> tuple[Message, ...]:
    """Messages, one or several."""
    given = (messages,) if isinstance(messages, _MESSAGES) else tuple(messages)
    for each in given:
        if not isinstance(each, _MESSAGES):
            raise ConfigError(
                f"append({each!r}): give UserMessage, AssistantMessage, ToolMessage or "
                "SystemMessage"
            )
    return given


def documents_of(given: Documents) -> tuple[Document, ...]:
    """Documents, in whatever way they were written down."""
    if isinstance(given, (str, Document)):
        given = [given]
    if isinstance(given, Mapping):
        given = [Document(name=name, text=text) for name, text in given.items()]
    found = []
    for each in given:
        document = each
        if isinstance(each, str):
            from hashlib import blake2b

            digest = blake2b(each.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
            document = Document(name=f"text-{digest}", text=each)
        if not isinstance(document, Document) or not isinstance(document.text, str):
            raise ConfigError(
                f"ingest({type(each).__name__}): give texts, Documents, or a table of name: text"
            )
        if not check_name("document", document.name):
            msg = "ingest(): a document has a name"
            raise ConfigError(msg)
        found.append(document)
    return tuple(found)
