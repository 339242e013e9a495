"""What the wire formats of all providers share: JSON in and out, refusals, schemas, pictures.

Guarantees: bytes from outside are checked for depth before they are decoded, and what is not the
JSON it should be is a `ResponseError` that shows its beginning. Unknown fields are ignored. Each
function is pure, so that every oddity of a server is one small test.
"""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Collection, Mapping
from typing import Any, Generic, TypeVar

import msgspec
from msgspec.structs import replace

from understudy.actors.models.failures import Refusal
from understudy.actors.rules.strict_schema import strict_schema
from understudy.messages.chat import Image, SystemMessage
from understudy.messages.codec import MAX_DEPTH
from understudy.messages.depth import json_too_deep
from understudy.messages.errors import ConfigError, ResponseError
from understudy.messages.models import Complete, OutputSchema, ToolDeclaration

BAD_JSON = (msgspec.DecodeError, UnicodeDecodeError)
"""What msgspec raises for bytes that are not the JSON it expects."""

JsonObject = dict[str, Any]  # Any: JSON values

T = TypeVar("T")

encode = msgspec.json.Encoder().encode


class JsonReader(Generic[T]):
    """Decodes payloads of one type.

    Args:
        kind: the type; every field of it optional.
        what: what a payload is, for the error: `a chat completion`.
    """

    def __init__(self, kind: type[T], what: str) -> None:
        self._decoder = msgspec.json.Decoder(kind)
        self._what = what

    def __call__(self, data: bytes) -> T:
        """The payload.

        Raises:
            ResponseError: it is too deep, or not the JSON that this format has.
        """
        if json_too_deep(data, MAX_DEPTH):
            raise ResponseError(f"the answer nests deeper than {MAX_DEPTH} levels")
        try:
            return self._decoder.decode(data)
        except BAD_JSON as error:
            start = data[:80].decode("utf-8", "replace")
            told = f"not {self._what} ({error}): it starts with {start!r}; is base_url right?"
            raise ResponseError(told) from None


# -- refusals --------------------------------------------------------------------------------------


class Violation(msgspec.Struct):
    """A quota of Google's that was exceeded."""

    quotaId: str | None = None  # noqa: N815 - Google's spelling


class ErrorFact(msgspec.Struct):
    """One of the details that Google adds: which quota, when to come back, what was wrong."""

    violations: list[Violation] | None = None
    retryDelay: str | None = None  # noqa: N815 - Google's spelling
    reason: str | None = None


class ErrorDetail(msgspec.Struct):
    """What went wrong, in the words of OpenAI, Anthropic or Google."""

    message: str | None = None
    type: str | None = None
    code: str | int | None = None
    status: str | int | None = None
    details: Any = None  # Any: Google's list of facts; others put there what they like


class ErrorBody(msgspec.Struct):
    """`{"error": {…}}`, `{"error": "…"}`, or the fields at the top (vLLM, FastAPI)."""

    error: ErrorDetail | str | None = None
    message: str | None = None
    detail: str | None = None
    type: str | None = None
    code: str | int | None = None


_error = msgspec.json.Decoder(ErrorBody)
_errors = msgspec.json.Decoder(list[ErrorBody])
_SECONDS = re.compile(r"(\d+(?:\.\d+)?)s")


def read_refusal(body: bytes) -> Refusal:
    """What an error body says; of one in no known form, its beginning."""
    try:
        if json_too_deep(body, MAX_DEPTH):
            found = ErrorBody()
        elif body.lstrip().startswith(b"["):  # Google's, where nobody asked for events
            found = next(iter(_errors.decode(body)), ErrorBody())
        else:
            found = _error.decode(body)
    except BAD_JSON:
        return Refusal(message=" ".join(body[:200].decode("utf-8", "replace").split()))
    if found.error is not None:
        return refusal_of(found.error)
    return Refusal(
        message=found.message or found.detail or "",
        code=str(found.code or ""),
        type=found.type or "",
    )


def refusal_of(error: ErrorDetail | str) -> Refusal:
    """The same, of an error inside a stream or a body."""
    if isinstance(error, str):
        return Refusal(message=error)
    facts = _facts(error.details)
    violated = [v.quotaId or "" for fact in facts for v in fact.violations or ()]
    waits = [_SECONDS.fullmatch(fact.retryDelay or "") for fact in facts]
    reasons = [fact.reason for fact in facts if fact.reason]
    status = error.status if isinstance(error.status, str) else ""
    return Refusal(
        message=error.message or "",
        code=next(iter(reasons), "") or status or str(error.code or ""),
        type=error.type or status,
        retry_after=next((float(wait[1]) for wait in waits if wait), None),
        spent=any("PerDay" in quota for quota in violated),
    )


def _facts(details: Any) -> list[ErrorFact]:  # Any: JSON
    try:
        return msgspec.convert(details or [], list[ErrorFact])
    except msgspec.ValidationError:
        return []


# -- requests --------------------------------------------------------------------------------------


def merged(body: JsonObject, extra: Mapping[str, Any], ours: Collection[str]) -> JsonObject:
    """The request with the caller's own fields in it; objects are merged, all else is replaced.

    Args:
        body: the request.
        extra: `extra=` of the call.
        ours: fields that `extra` may not set, because the answer would not be what was asked for.

    Raises:
        ConfigError: it sets one of them.
    """
    if not extra:
        return body
    for name in ours:
        if name in extra:
            raise ConfigError(f"extra= must not set {name!r}; use the field of that name")
    return _over(body, extra)


def declared(tool: ToolDeclaration, *, strict: bool = True) -> tuple[JsonObject, bool]:
    """The schema of a tool's arguments, and whether the provider can be told to enforce it."""
    parameters: JsonObject = tool.parameters or {"type": "object", "properties": {}}
    narrow = strict_schema(parameters) if tool.strict and strict else None
    return (parameters, False) if narrow is None else (narrow, True)


def shape(output: OutputSchema) -> tuple[JsonObject, bool]:
    """The schema of an answer, and whether it is one that can be enforced."""
    narrow = strict_schema(output.schema)
    return (output.schema, False) if narrow is None else (narrow, True)


def in_words(request: Complete) -> Complete:
    """The request with the shape of its answer told to the model, for whoever enforces none."""
    if request.output is None:
        return request
    schema = encode(request.output.schema).decode()
    told = f"Answer with one JSON object that matches this JSON Schema, and nothing else: {schema}"
    if request.tools and request.tool_choice != "none":
        told += " Call tools first, where you need them."
    return replace(request, messages=(SystemMessage(content=told), *request.messages))


def base64_of(image: Image) -> str:
    """The bytes of a picture, for JSON."""
    return b64encode(image.data or b"").decode()


def address_of(image: Image) -> str:
    """The address of a picture; of one that is given as bytes, a `data:` address."""
    return image.url or f"data:{image.media_type};base64,{base64_of(image)}"


def _over(body: JsonObject, extra: Mapping[str, Any]) -> JsonObject:
    both = dict(body)
    for name, value in extra.items():
        mine = both.get(name)
        both[name] = (
            _over(mine, value) if isinstance(mine, dict) and isinstance(value, dict) else value
        )
    return both
