"""The command line. Data goes to standard output, everything else to standard error.

Exit codes: 0 ok, 1 the run failed (or a part of it did), 2 usage, 78 bad configuration, 130 and 143
for the two signals.
"""

from __future__ import annotations

import errno
import sys

EXIT_FAILED, EXIT_USAGE, EXIT_CONFIG, EXIT_INTERRUPTED, EXIT_TERMINATED = 1, 2, 78, 130, 143


def main() -> int:
    """Run one command of the process's arguments; its exit code."""
    import click

    from understudy.messages.errors import ConfigError, UnderstudyError
    from understudy.runtime.edge.cli.app import app
    from understudy.runtime.edge.cli.output import given_up
    from understudy.runtime.edge.cli.signals import TerminatedError

    try:
        code: object = app.main(prog_name="understudy", standalone_mode=False)
    except click.exceptions.Abort:
        sys.stderr.write("understudy: interrupted\n")
        return EXIT_INTERRUPTED
    except click.ClickException as error:
        error.show(file=sys.stderr)
        return error.exit_code
    except ConfigError as error:
        sys.stderr.write(f"understudy: {error}\n")
        return EXIT_CONFIG
    except UnderstudyError as error:
        sys.stderr.write(f"understudy: {error}\n")
        return EXIT_FAILED
    except TerminatedError:
        sys.stderr.write("understudy: terminated\n")
        return EXIT_TERMINATED
    except OSError as error:  # of the help: commands write their data with `write`
        if error.errno not in (errno.EBADF, errno.EIO, errno.ENOSPC):
            raise
        sys.stderr.write(f"understudy: {given_up(error)}\n")
        return EXIT_FAILED
    return code if isinstance(code, int) else 0
