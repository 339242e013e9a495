"""The console script: ``understudy`` and ``python -m understudy``.

A door of its own, apart from the command line behind it, so that a plain
``pip install understudy`` answers ``--version`` and says what to install for the rest, instead of
ending in a traceback about a package the user never heard of.
"""

import os
import sys
from importlib.util import find_spec

from understudy import __version__

_EXTRA = ("click", "rich")
_FAILED, _USAGE_ERROR = 1, 2


def main() -> int:
    """Run one command of the process's own arguments; return its exit code.

    ``--version`` needs nothing but the package; every other command needs the ``cli`` extra. A
    command may also end by ``SystemExit``, with the same codes.
    """
    _open_what_is_closed()
    if sys.argv[1:] in (["--version"], ["-V"]):
        from understudy.runtime.edge.cli.output import write

        wrong = write(f"understudy {__version__}\n".encode())
        if wrong:
            sys.stderr.write(f"understudy: {wrong}\n")
        return _FAILED if wrong else 0
    missing = [name for name in _EXTRA if find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"understudy: the command line needs {' and '.join(missing)}: "
            "pip install understudy[cli]\n"
        )
        return _USAGE_ERROR
    from understudy.runtime.edge.cli import main as command

    return command()


def _open_what_is_closed() -> None:
    """Give the process the standard streams that it was started without (`>&-`).

    Else the next file or socket that is opened takes the place of one, and what is meant for a
    reader goes there; uvloop ends the process when it closes such a one. Standard input cannot be
    read then and standard output not written, so that both are errors; what is said on standard
    error goes nowhere.
    """
    if sys.stdin is None:
        sys.stdin = open(os.open(os.devnull, os.O_WRONLY), encoding="utf-8")  # noqa: PTH123, SIM115
    if sys.stdout is None:
        sys.stdout = open(os.open(os.devnull, os.O_RDONLY), "w", encoding="utf-8")  # noqa: PTH123, SIM115
    if sys.stderr is None:
        sys.stderr = open(os.open(os.devnull, os.O_WRONLY), "w", encoding="utf-8")  # noqa: PTH123, SIM115


if __name__ == "__main__":
    sys.exit(main())
