"""What a worker's process gets to know of ours: its environment and its command line.

The environment is an allow-list, because keys of providers live in environment variables and a tool
has no business with them. That is hygiene and no sandbox: the process runs as the same user.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping

from understudy.messages.errors import ConfigError

_NAMES = frozenset(("PATH", "HOME", "LANG", "TMPDIR", "VIRTUAL_ENV", "SYSTEMROOT"))
_PREFIXES = ("LC_", "PYTHON")


def child_environment(environ: Mapping[str, str], extra: Mapping[str, str]) -> dict[str, str]:
    """The allowed variables of `environ`, and all of `extra`, which wins."""
    allowed = {
        name: value
        for name, value in environ.items()
        if name in _NAMES or name.startswith(_PREFIXES)
    }
    return allowed | dict(extra)


def child_command(fd: int) -> list[str]:
    """The command that serves calls on the socket `fd`, with the same import path as ours.

    Raises:
        ConfigError: there is no Python to start.
    """
    if not sys.executable or getattr(sys, "frozen", False):
        raise ConfigError(
            "this program has no Python interpreter to start (sys.executable); "
            "use isolation='thread' here"
        )
    path = [str(entry) for entry in sys.path]
    code = (
        f"import sys; sys.path[:] = {path!r}; "
        f"from understudy.actors.processes.child import serve; serve({fd})"
    )
    # -u: what the function printed is in the log before it is killed.
    return [sys.executable, "-u", "-c", code]
