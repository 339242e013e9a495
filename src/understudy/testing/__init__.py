"""The testing kit: what a program that uses understudy needs to test itself without a provider.

Nothing of it is imported by the library itself, and each name is loaded when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from understudy.testing.clock import ManualClock
    from understudy.testing.dict_storage import DictStorage
    from understudy.testing.fake_model import FakeModel, call
    from understudy.testing.network import block_network
    from understudy.testing.probe import Probe
    from understudy.testing.provider_server import ProviderServer, provider_process
    from understudy.testing.quiet import assert_quiet
    from understudy.testing.scripted_transport import ScriptedTransport
    from understudy.testing.sim import (
        Fault,
        Faults,
        SimRuntime,
        SimulatedCrashError,
        SimulationDeadlockError,
        SimulationError,
    )

__all__ = [
    "DictStorage",
    "FakeModel",
    "Fault",
    "Faults",
    "ManualClock",
    "Probe",
    "ProviderServer",
    "ScriptedTransport",
    "SimRuntime",
    "SimulatedCrashError",
    "SimulationDeadlockError",
    "SimulationError",
    "assert_quiet",
    "block_network",
    "call",
    "provider_process",
]

_HOMES = {
    "DictStorage": "dict_storage",
    "FakeModel": "fake_model",
    "Fault": "sim",
    "Faults": "sim",
    "ManualClock": "clock",
    "Probe": "probe",
    "ProviderServer": "provider_server",
    "ScriptedTransport": "scripted_transport",
    "SimRuntime": "sim",
    "SimulatedCrashError": "sim",
    "SimulationDeadlockError": "sim",
    "SimulationError": "sim",
    "assert_quiet": "quiet",
    "block_network": "network",
    "call": "fake_model",
    "provider_process": "provider_server",
}


def __getattr__(name: str) -> Any:  # Any: whatever is exported under that name
    home = _HOMES.get(name)
    if home is None:
        msg = f"module {__name__!r} has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return list(__all__)
