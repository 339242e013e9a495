"""The connection that the required dependencies bring: HTTP/1.1 parsed in Python, by h11.

h11 comes with httpx, by way of httpcore. It refuses what it cannot write, and what it must not
read.
"""

from __future__ import annotations

import h11
import httpcore

from understudy.actors.models.http1 import LARGEST_HEAD, Http1Connection
from understudy.actors.models.proxies import Proxy
from understudy.actors.models.seam import Outgoing


class H11Connection(Http1Connection):
    """See `Http1Connection`."""

    def __init__(self, forward: Proxy | None = None) -> None:
        super().__init__(forward)
        self._h11 = h11.Connection(h11.CLIENT, max_incomplete_event_size=LARGEST_HEAD)

    def _begin(self, outgoing: Outgoing) -> bytes:
        target, headers = self._lines(outgoing)
        http = self._h11
        try:
            if http.our_state is h11.DONE:
                http.start_next_cycle()
            request = h11.Request(method=outgoing.method, target=target, headers=list(headers))
            return http.send(request) or b""
        except h11.LocalProtocolError as error:
            raise httpcore.LocalProtocolError(str(error)) from error

    def _frame(self, part: bytes) -> bytes:
        return self._say(h11.Data(data=part))

    def _finish(self) -> bytes:
        return self._say(h11.EndOfMessage())

    def _say(self, event: h11.Event) -> bytes:
        try:
            return self._h11.send(event) or b""
        except h11.LocalProtocolError as error:
            raise httpcore.LocalProtocolError(str(error)) from error

    def _parse(self, data: bytes) -> None:
        http = self._h11
        try:
            http.receive_data(data)
            while True:
                event = http.next_event()
                if isinstance(event, h11.Data):
                    part = bytes(event.data)
                    self._parts.append(part)
                    self._unread += len(part)
                elif isinstance(event, h11.Response):
                    self.headers = event.headers.raw_items()
                    self.reason = event.reason
                    self.version = b"HTTP/" + event.http_version
                    self.status = event.status_code
                elif isinstance(event, h11.EndOfMessage):
                    self.over = True
                    # Half a request would swallow the next, and so would what came behind this.
                    self._keep = (
                        self._sent
                        and http.our_state is http.their_state is h11.DONE
                        and not http.trailing_data[0]
                    )
                    return
                elif not isinstance(event, h11.InformationalResponse):
                    return  # more is needed
        except h11.RemoteProtocolError as error:
            raise httpcore.RemoteProtocolError(str(error)) from error

    def _ends(self) -> None:
        self._parse(b"")
