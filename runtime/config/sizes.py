"""Sizes as people write them: `"64MiB"`, `"1.5GB"`; a number is bytes.

KiB, MiB and GiB are powers of 1024, kB, MB and GB of 1000, as the standards have it.
"""

from __future__ import annotations

import re

from understudy.messages.errors import ConfigError

UNITS = {
    "B": 1,
    "kB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}
_SIZE = re.compile(rf"(\d+(?:\.\d+)?)\s*({'|'.join(UNITS)})", re.ASCII)


def parse_size(value: object) -> int:
    """Bytes of a size with its unit, or of a number of bytes.

    Raises:
        ConfigError: it is neither.
    """
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    match = _SIZE.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise ConfigError(
            f'{value!r} is not a size; write a number of bytes, or with its unit: "64MiB", "1GB"'
        )
    return int(float(match[1]) * UNITS[match[2]])
