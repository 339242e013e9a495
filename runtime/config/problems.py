"""Everything that is wrong with a configuration, collected before anything is raised."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterable

from understudy.messages.errors import ConfigError
from understudy.runtime.config.locate import Lines, Path

SHOWN = 12
"""Names that a suggestion lists at most."""


class Problems:
    """A list of sentences in the order of the file; `source` is how the file is called."""

    def __init__(self, source: str, lines: Lines) -> None:
        self.source = source
        self.lines = lines
        self._found: list[tuple[int, str]] = []
        self._paths: set[Path] = set()

    def at(self, path: Path, text: str) -> None:
        """Note what is wrong with the key or table at `path`."""
        line = self.lines.line(path)
        self._paths.add(path)
        self._found.append((line, f"line {line}: {shown(path)}: {text}"))

    def outside(self, where: str, text: str) -> None:
        """Note what is wrong with a value that is not in the file; these come last."""
        self._found.append((sys.maxsize, f"{where}: {text}"))

    def has(self, *paths: Path) -> bool:
        """True when something is noted at one of the paths already."""
        return not self._paths.isdisjoint(paths)

    def origin(self, path: Path) -> str:
        """Where a value of the file stands."""
        return f"{self.source} line {self.lines.line(path)}"

    def raise_any(self) -> None:
        """Raise one ConfigError for all of them; nothing when there are none."""
        if self._found:
            in_order = sorted(self._found, key=lambda found: found[0])
            raise config_error(self.source, [text for _, text in in_order])


def config_error(source: str, problems: list[str]) -> ConfigError:
    """One error whose sentence lists the problems, a line each."""
    count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
    listed = "".join(f"\n  {problem}" for problem in problems)
    return ConfigError(f"{source}: {count}{listed}", problems=tuple(problems))


def shown(path: Path) -> str:
    """A path as people write it: `workflows.digest.steps[0].after`."""
    text = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in path)
    return text.removeprefix(".")


def suggestion(wrong: str, known: Iterable[str]) -> str:
    """`; did you mean ...?`, or the names there are, or nothing."""
    names = list(dict.fromkeys(known))
    near = difflib.get_close_matches(wrong, names, 1)
    if near:
        return f"; did you mean {near[0]!r}?"
    listed = ", ".join(names if len(names) <= SHOWN else [*names[:SHOWN], "..."])
    return f"; known: {listed}" if names else ""
