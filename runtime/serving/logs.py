"""Log lines that can be told apart by run, and that quote nobody.

The library logs under `understudy.*` and leaves handlers and levels to the program. At INFO there
is one line for each run (`understudy.runs`), with what it used and how it ended; never a prompt, an
answer or an argument, and of an error only its type. (The traceback of an actor that has failed
unexpectedly says what its exception says, and DEBUG adds those of tools.) Whose run a line belongs
to stands in the record: the program's own lines, written inside of a tool, a step or an actor, get
it too.

    handler = logging.StreamHandler()
    handler.addFilter(RunIds())
    handler.setFormatter(logging.Formatter("%(asctime)s %(run_id)s %(message)s"))
"""

from __future__ import annotations

import logging
from typing import Any

from understudy.actors.kernel.context import in_hand
from understudy.messages.chat import Usage
from understudy.messages.codec import encode_json
from understudy.messages.envelope import Origin

runs = logging.getLogger("understudy.runs")
FIELDS = ("run_id", "trace_id", "tenant", "actor")
"""What `RunIds` adds to a record; `-` where there is none."""
_RUN_FIELDS = ("run", "status", "duration", "tokens", "error")


class RunIds(logging.Filter):
    """Adds `run_id`, `trace_id`, `tenant` and `actor` to each record; lets all of them pass.

    Add it to a handler, not to a logger: it has to see the records of all loggers, and to see them
    on the thread that wrote them (to the `QueueHandler`, where one is used).
    """

    def filter(self, record: logging.LogRecord) -> bool:
        """Add the fields that the record does not have."""
        hand = in_hand.get()
        origin = None if hand is None else hand.origin
        cell = None if hand is None else hand.cell
        found = {
            "run_id": getattr(origin, "run_id", None),
            "trace_id": getattr(origin, "trace_id", None),
            "tenant": getattr(origin, "tenant", None),
            "actor": None if cell is None else cell.path,
        }
        for field, value in found.items():
            if not hasattr(record, field):
                setattr(record, field, value or "-")
        return True


class JsonLines(logging.Formatter):
    """A JSON object a line: time, level, logger, message, the fields of `RunIds`, the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """One line."""
        RunIds().filter(record)
        line: dict[str, Any] = {  # Any: JSON
            "at": round(record.created, 3),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        for field in (*FIELDS, *_RUN_FIELDS):
            value = getattr(record, field, "-")
            if value not in ("-", None):
                line[field] = value
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return encode_json(line).decode()


def log_run(
    origin: Origin,
    name: str,
    *,
    status: str,
    duration: float,
    usage: Usage,
    error: BaseException | None,
) -> None:
    """The line of a run that has ended."""
    kind = None if error is None else type(error).__name__
    fields: dict[str, Any] = {  # Any: of the record
        "run_id": origin.run_id,
        "trace_id": origin.trace_id,
        "tenant": origin.tenant or "-",
        "run": name,
        "status": status,
        "duration": round(duration, 6),
        "tokens": usage.total_tokens,
        "error": kind,
    }
    runs.info(
        "run %s of %s: %s in %.3f s, %d tokens%s",
        origin.run_id,
        name,
        status,
        duration,
        usage.total_tokens,
        f": {kind}" if kind else "",
        extra=fields,
    )
