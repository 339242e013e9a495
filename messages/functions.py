"""Functions as data: a callable is its import path, `package.module:function`.

Guarantees: a path that `function_path` gives leads back to the very same object, and nothing is
imported until somebody calls `load_function`. Decoding a spec therefore runs no code of its
sender's choice: it yields `FunctionRef`s, and whoever trusts the sender loads them.

Pickle finds functions by name too, but its bytes can name any callable together with arguments.
"""

from __future__ import annotations

import difflib
import importlib
import re
import sys
from collections.abc import Callable
from types import MethodType
from typing import Any

import msgspec

from understudy.messages.errors import ConfigError

_PATH = re.compile(r"(?P<module>[^\W\d]\w*(?:\.[^\W\d]\w*)*):(?P<name>[^\W\d]\w*(?:\.[^\W\d]\w*)*)")


class FunctionRef(msgspec.Struct, frozen=True, tag_field="kind", tag="function"):
    """A function by its import path, as a spec carries it between processes."""

    path: str


def function_path(
    function: Callable[..., Any],  # Any: a function takes what it likes
    *,
    being_defined: bool = False,
) -> str:
    """The import path of a function, or of a tool that was made of it under its name.

    Args:
        function: the function.
        being_defined: its module does not hold it yet, as in a decorator.

    Raises:
        ConfigError: for a lambda, a closure, a method of an object, whatever `__main__` defines and
            whatever its module does not hold under its name: no other process could find it.
    """
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        raise ConfigError(f"{_shown(function)} has no import path; pass a module-level function")
    if "<" in name:
        kind = "a lambda" if name.endswith("<lambda>") else "defined inside a function"
        raise ConfigError(
            f"{module}:{name} is {kind} and cannot be found by another process; "
            "define it at the top level of a module"
        )
    if module == "__main__":
        raise ConfigError(
            f"{name} is defined in __main__, which is another program in another process; "
            "move it into a module that can be imported"
        )
    found: object = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if not (being_defined and found is None) and not _is(found, function):
        raise ConfigError(
            f"{module}:{name} is not the function given ({_shown(function)}); "
            "pass one that its module holds under its own name"
        )
    return f"{module}:{name}"


def load_function(path: str) -> Callable[..., Any]:  # Any: a function takes what it likes
    """Import the function that `package.module:function` names; this runs the module's code.

    Raises:
        ConfigError: names the path and says why it leads nowhere.
    """
    match = _PATH.fullmatch(path)
    if match is None:
        raise ConfigError(f"{path!r} is not of the form 'package.module:function'")
    if match["module"] == "__main__":
        raise ConfigError(f"{path!r} names __main__; move the function into a module of its own")
    try:
        found: object = importlib.import_module(match["module"])
    except (Exception, SystemExit) as error:  # whatever a foreign module raises is the reason
        reason = f"{type(error).__name__}: {error}"
        raise ConfigError(f"{path!r} cannot be imported: {reason}") from error
    for part in match["name"].split("."):
        holder = found
        found = getattr(holder, part, None)
        if found is None:
            near = difflib.get_close_matches(part, dir(holder), 1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise ConfigError(f"{path!r} cannot be imported: there is no {part!r}{hint}")
    if not callable(found):
        raise ConfigError(f"{path!r} is a {type(found).__name__}, not a function")
    return found


def _is(found: object, function: Callable[..., Any]) -> bool:  # Any: as above
    if found is function or getattr(found, "function", None) is function:
        return True
    return isinstance(function, MethodType) and found == function


def _shown(function: object) -> str:
    return f"an object of type {type(function).__name__}"
