"""A provider on loopback (`ProviderServer`) and what can go wrong with it (the faults).

One file a protocol; what they share is in `script` (what is said), `exchange` (one request on its
way), `delivery` (when and how far) and `http` (onto the wire). `limits` are the account's, `mix`
draws faults at random, `process` runs a server in a process of its own.
"""

from understudy.testing.provider_server.faults import (
    NAMED,
    BadChunk,
    Blackhole,
    Drip,
    Fault,
    Huge,
    InvalidUtf8,
    Malformed,
    Refuse,
    Reset,
    Status,
    StreamFault,
    Truncate,
)
from understudy.testing.provider_server.limits import Limits
from understudy.testing.provider_server.mix import FaultMix
from understudy.testing.provider_server.process import ProviderProcess, provider_process
from understudy.testing.provider_server.records import Connections, RecordedRequest, ServerStats
from understudy.testing.provider_server.server import ProviderServer

__all__ = [
    "NAMED",
    "BadChunk",
    "Blackhole",
    "Connections",
    "Drip",
    "Fault",
    "FaultMix",
    "Huge",
    "InvalidUtf8",
    "Limits",
    "Malformed",
    "ProviderProcess",
    "ProviderServer",
    "RecordedRequest",
    "Refuse",
    "Reset",
    "ServerStats",
    "Status",
    "StreamFault",
    "Truncate",
    "provider_process",
]
