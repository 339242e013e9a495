"""What a worker's process prints, line by line in the log.

Logger `understudy.processes`, level INFO, standard output and errors in one stream, as they came.
The last lines are kept too, for the error of a process that ended unasked.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections import deque
from io import FileIO

logger = logging.getLogger("understudy.processes")
_CHUNK = 64 * 1024
_LONGEST = 8 * 1024
"""Bytes of a line that are logged in one piece."""
_LAST_CHUNKS = 16
"""Chunks read after the end; what is still there then is a stranger's, or too much."""


class Output:
    """Reads the pipe `file` until `close`.

    Args:
        loop: where it is read.
        file: our end, unbuffered.
        name: stands in front of every line.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, file: FileIO, name: str) -> None:
        self._loop = loop
        self._file = file
        self._fd = file.fileno()
        self._name = name
        self._rest = b""
        self.last: deque[str] = deque(maxlen=10)
        """The last lines."""
        os.set_blocking(self._fd, False)
        loop.add_reader(self._fd, self._readable)

    def close(self) -> None:
        """Log what is left and close."""
        if self._file.closed:
            return
        for _ in range(_LAST_CHUNKS):
            if self._take() <= 0:
                break
        if self._rest:
            self._log(self._rest)
            self._rest = b""
        self._loop.remove_reader(self._fd)
        self._file.close()

    def _readable(self) -> None:
        if self._take() == 0:
            self._loop.remove_reader(self._fd)

    def _take(self) -> int:
        """Log a chunk: its bytes, 0 at the end of the pipe, -1 when it is empty."""
        try:
            data = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            return -1
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > _LONGEST:
            lines.append(self._rest)
            self._rest = b""
        for line in lines:
            for begin in range(0, max(1, len(line)), _LONGEST):
                self._log(line[begin : begin + _LONGEST])
        return len(data)

    def _log(self, line: bytes) -> None:
        text = line.decode("utf-8", "backslashreplace").rstrip("\r")
        self.last.append(text)
        logger.info("%s: %s", self._name, text)
