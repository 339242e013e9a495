"""What is said about one line of the checklist."""

from __future__ import annotations

from typing import Literal

import msgspec

Verdict = Literal["ok", "change", "unknown"]
"""As the guide recommends; not so, and there is a key for it; a configuration does not say."""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """What to write where, so that a point becomes ok.

    Attributes:
        key: as in the file: `llm.max_tokens`.
        value: of the guide's examples or ranges, in TOML.
        why: one phrase.
    """

    key: str
    value: str
    why: str

    def __str__(self) -> str:
        return f"{self.key} = {self.value}: {self.why}"


class Point(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the checklist.

    Attributes:
        number: its place in the guide's list.
        title: the guide's words.
        found: what the configuration says, with where each value comes from.
        recommended: what the guide says about it.
        changes: what to change; none unless the verdict is `change`.
        elsewhere: where it is decided instead, when the verdict is `unknown`.
    """

    number: int = 0
    title: str = ""
    verdict: Verdict
    found: tuple[str, ...]
    recommended: str
    changes: tuple[Change, ...] = ()
    elsewhere: str = ""


class DoctorReport(msgspec.Struct, frozen=True, kw_only=True):
    """All points, in the guide's order, and how many there are of each verdict."""

    source: str
    ok: int
    change: int
    unknown: int
    points: tuple[Point, ...]


def judged(
    found: list[str], recommended: str, changes: list[Change] | tuple[Change, ...] = ()
) -> Point:
    """A point that can be judged: ok when there is nothing to change. Each key is named once."""
    by_key: dict[str, Change] = {}
    for change in changes:
        first = by_key.get(change.key)
        why = change.why if first is None else f"{first.why}; {change.why}"
        by_key[change.key] = msgspec.structs.replace(change, why=why)
    return Point(
        verdict="change" if by_key else "ok",
        found=tuple(found),
        recommended=recommended,
        changes=tuple(by_key.values()),
    )


def unknown(found: list[str], recommended: str, elsewhere: str) -> Point:
    """A point about which a configuration says nothing that could be judged."""
    return Point(
        verdict="unknown", found=tuple(found), recommended=recommended, elsewhere=elsewhere
    )
