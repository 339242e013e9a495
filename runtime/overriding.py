"""`agent.override(...)`: other fields of an agent for whatever is begun in a block.

The changes travel with the origin of the work, as tenant and session do: to the runs that the block
begins and to whatever these cause, on any loop or thread. So there is no variable to set back, and
a task or thread that was not begun in the block does not see them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import msgspec

from understudy.actors.kernel.origins import origin_in_hand, under
from understudy.messages.envelope import Origin
from understudy.runtime.options import with_changes


@contextmanager
def overriding(agent: Any, changes: dict[str, Any]) -> Iterator[Any]:  # Any: a spec and its fields
    """Within the block `agent` has other fields; gives the agent that runs instead."""
    if "model" in changes:  # a fake that fails shall not wake up a real one
        changes = {"fallback": (), **changes}
    changed = with_changes(agent, changes)
    around = origin_in_hand() or Origin()
    overrides = (*around.overrides, (agent, changes))
    with under(msgspec.structs.replace(around, overrides=overrides)):
        yield changed


def changes_for(spec: Any) -> dict[str, Any]:  # Any: as above
    """What the blocks around say of `spec`; of a field that several name, the innermost counts."""
    origin = origin_in_hand()
    found: dict[str, Any] = {}
    if origin is not None and origin.overrides:
        for agent, changes in origin.overrides:
            if agent is spec or agent == spec:
                found.update(changes)
    return found


def as_called(spec: Any, options: dict[str, Any]) -> Any:  # Any: as above
    """`spec` with the fields of one call; those of a block around it win."""
    origin = origin_in_hand()
    if origin is not None and origin.overrides:
        options = {**options, **changes_for(spec)}
    return with_changes(spec, options) if options else spec
