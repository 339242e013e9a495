"""Standard output: the data of a run, and nothing else."""

from __future__ import annotations

import os
import sys


def write(data: bytes) -> str:
    """Write all of it; what went wrong, as a sentence, or "" when nothing did."""
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except OSError as error:
        return given_up(error)
    return ""


def given_up(error: OSError) -> str:
    """What went wrong with standard output, as a sentence.

    Afterwards there is nothing left to write, so that Python, which writes what is still buffered
    when the process ends, does not fail once more for a reader that has gone (`| head`).
    """
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return f"standard output cannot be written: {error.strerror}"
