"""A provider on loopback (`ProviderServer`) and what can go wrong with it (the faults).

One file a protocol; what they share is in `script` (what is said), `delivery` (when and how far)
and `http` (onto the wire).
"""

from understudy.testing.provider_server.faults import (
    Blackhole,
    Drip,
    Fault,
    Malformed,
    Reset,
    Status,
    StreamFault,
    Truncate,
)
from understudy.testing.provider_server.records import Connections, RecordedRequest
from understudy.testing.provider_server.server import ProviderServer

__all__ = [
    "Blackhole",
    "Connections",
    "Drip",
    "Fault",
    "Malformed",
    "ProviderServer",
    "RecordedRequest",
    "Reset",
    "Status",
    "StreamFault",
    "Truncate",
]
