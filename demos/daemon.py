"""A daemon that digests what is put into a folder: python demos/daemon.py SPOOL [CONFIG.toml].

Documents in SPOOL/incoming are digested by a supervised pool; results are in SPOOL/done, what
failed in SPOOL/failed (`understudy.tools.spool` says what is promised). SIGTERM and SIGINT finish
what is in work and leave the rest where it is; SIGHUP reloads the configuration. After a kill it
digests again what was in work, and says so.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import msgspec

from understudy import (
    Actor,
    ConfigError,
    JsonLines,
    Reply,
    RunCancelledError,
    Runtime,
    RuntimeStoppedError,
    UnderstudyError,
    child,
)  # fmt: skip
from understudy.runtime.pool.handle import PoolHandle
from understudy.tools.spool import Spool

log = logging.getLogger("daemon")


class Digest(msgspec.Struct, frozen=True):
    """Digest the document at `path`."""

    path: Path


class Look(msgspec.Struct, frozen=True):
    """Look into the spool."""


class Digester(Actor):
    """Digests one document at a time, on a thread of its own: it reads and writes files."""

    def __init__(self, rt: Runtime, spool: Spool) -> None:
        self._rt, self._spool = rt, spool

    def on_receive(self, message: Digest) -> None:
        """Claim it, digest it, and end the claim."""
        if self._rt.health().stopping or (claim := self._spool.claim(message.path)) is None:
            return None
        if claim.attempt > 1:
            log.warning("%s was in work at a kill: attempt %d", claim.name, claim.attempt)
        try:
            if claim.worn_out:
                return claim.fail("it was in work whenever the process was killed")
            if claim.done:
                return claim.finish({})
            result = self._rt.run(self._rt.config.agents["digester"], claim.text())
            claim.finish({"digest": result.output, "model": result.model, "run": result.run_id})
            log.info("%s digested", claim.name, extra={"run_id": result.run_id})
        except (RunCancelledError, RuntimeStoppedError):
            claim.give_back()  # it had no fault in that
        except OSError:
            claim.give_back()  # nor in a full disk, which the pool waits out, longer each time
            raise
        except (UnderstudyError, ValueError) as error:
            log.error("%s failed: %s", claim.name, type(error).__name__)  # noqa: TRY400
            claim.fail(f"{type(error).__name__}: {error}")


class Watcher(Actor):
    """Looks into the spool once a second and hands out what it finds."""

    def __init__(self, spool: Spool, pool: PoolHandle) -> None:
        self._spool, self._pool = spool, pool
        self._interrupted = spool.interrupted()
        self._handed: dict[Path, Reply[None]] = {}

    def on_start(self) -> None:
        """Take up what a kill has interrupted, and begin to look."""
        self.timer(Look(), every=1.0)
        self.ref.tell(Look())

    def on_receive(self, _: Look) -> None:
        """Hand out what nobody has yet; what the pool refuses waits for the next look."""
        self._interrupted = [path for path in self._interrupted if path.exists()]
        self._handed = {path: it for path, it in self._handed.items() if not it.done}
        for path in (*self._interrupted, *self._spool.waiting()):
            if path not in self._handed:
                self._handed[path] = self._pool.submit(Digest(path), timeout=3600)


def main(root: str, config: str = str(Path(__file__).with_name("daemon.toml"))) -> int:
    """Serve until a signal."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    with Spool(Path(root)) as spool, Runtime.from_toml(config, name="daemon") as rt:
        pool = rt.pool("digesters", child(Digester, rt, spool), size=(1, 4), queue=100)
        rt.spawn(child(Watcher, spool, pool), name="watcher")
        return rt.serve().exit_code


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:3]))
    except ConfigError as error:
        sys.stderr.write(f"daemon: {error}\n")
        sys.exit(78)  # EX_CONFIG: starting it again changes nothing
