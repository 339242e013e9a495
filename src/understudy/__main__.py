"""The console script: ``understudy`` and ``python -m understudy``.

A door of its own, apart from the command line behind it, so that a plain
``pip install understudy`` answers ``--version`` and says what to install for the rest, instead of
ending in a traceback about a package the user never heard of.
"""

import sys
from importlib.util import find_spec

from understudy import __version__

_EXTRA = ("click", "rich")
_USAGE_ERROR = 2


def main() -> int:
    """Run one command of the process's own arguments; return its exit code.

    ``--version`` needs nothing but the package; every other command needs the ``cli`` extra. A
    command may also end by ``SystemExit``, with the same codes.
    """
    if sys.argv[1:] in (["--version"], ["-V"]):
        sys.stdout.write(f"understudy {__version__}\n")
        return 0
    missing = [name for name in _EXTRA if find_spec(name) is None]
    if missing:
        sys.stderr.write(
            f"understudy: the command line needs {' and '.join(missing)}: "
            "pip install understudy[cli]\n"
        )
        return _USAGE_ERROR
    from understudy.runtime.edge.cli import main as command

    return command()


if __name__ == "__main__":
    sys.exit(main())
