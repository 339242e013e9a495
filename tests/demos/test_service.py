"""The unit file keeps what the daemon promises and needs."""

import shlex
from configparser import ConfigParser
from pathlib import Path

from understudy.runtime.config.durations import parse_duration
from understudy.runtime.config.load import load_config

ROOT = Path(__file__).parents[2]


def service() -> dict[str, str]:
    """The keys of `[Service]`."""
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(ROOT / "deploy" / "understudy.service")
    assert parser.sections() == ["Unit", "Service", "Install"]
    return dict(parser["Service"])


def test_a_drain_has_the_time_it_takes() -> None:
    """Systemd kills later than the runtime gives up by itself."""
    config = load_config(ROOT / "demos" / "daemon.toml", {})
    assert parse_duration(service()["TimeoutStopSec"]) > config.runtime.shutdown + 2


def test_it_is_told_what_the_daemon_tells() -> None:
    """Ready, reload and the watchdog come over the socket of the main process."""
    found = service()
    assert found["Type"] == "notify-reload"
    assert found["NotifyAccess"] == "main"
    assert parse_duration(found["WatchdogSec"]) > 10
    assert found["KillSignal"] == "SIGTERM"
    assert found["RestartPreventExitStatus"] == "78"


def test_it_starts_what_there_is() -> None:
    """The program of the demos, with a spool that it may write to."""
    found = service()
    _, program, spool, config = shlex.split(found["ExecStart"])
    assert (ROOT / program).is_file()
    assert found["ReadWritePaths"] == spool
    assert Path(config).name == "daemon.toml"
