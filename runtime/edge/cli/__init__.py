"""The command line. Data goes to standard output, everything else to standard error.

Exit codes: 0 ok, 1 the run failed (or a part of it did), 2 usage, 78 bad configuration, 130 and 143
for the two signals.
"""

from __future__ import annotations

import sys

EXIT_FAILED, EXIT_USAGE, EXIT_CONFIG, EXIT_INTERRUPTED, EXIT_TERMINATED = 1, 2, 78, 130, 143


def main() -> int:
    """Run one command of the process's arguments; its exit code."""
    import click

    from understudy.messages.errors import ConfigError
    from understudy.runtime.edge.cli.app import app

    try:
        code: object = app.main(standalone_mode=False)
    except click.exceptions.Abort:
        return EXIT_INTERRUPTED
    except click.ClickException as error:
        error.show(file=sys.stderr)
        return error.exit_code
    except ConfigError as error:
        sys.stderr.write(f"understudy: {error}\n")
        return EXIT_CONFIG
    except BrokenPipeError:
        sys.stderr.close()  # whoever read the output has gone; there is nobody to tell
        return EXIT_FAILED
    return code if isinstance(code, int) else 0
