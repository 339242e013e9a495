"""For whom things are done: the tenant and the session of whatever is begun in a block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import msgspec

from understudy.actors.kernel.origins import origin_in_hand, under
from understudy.messages.envelope import Origin
from understudy.messages.memories import check_name


class Scoping:
    """The part of a Runtime that says for whom."""

    @contextmanager
    def scope(self, *, tenant: str | None = None, session: str | None = None) -> Iterator[None]:
        """Whatever is started in this block is for this tenant, or this session of it.

        Raises:
            ConfigError: one of them is no text.
        """
        around = origin_in_hand() or Origin()
        for name, value in (("tenant", tenant), ("session", session)):
            check_name(name, value or "")
        changed = msgspec.structs.replace(
            around,
            tenant=around.tenant if tenant is None else tenant,
            session=around.session if session is None else session,
            named=around.named if session is None else bool(session),
        )
        with under(changed):
            yield
