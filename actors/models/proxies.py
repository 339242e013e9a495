"""Which requests go through a proxy, and what the proxy is told.

Purpose: what users of httpx expect of the environment: `HTTP_PROXY`, `HTTPS_PROXY` and `ALL_PROXY`
(in either case) name the proxies, `NO_PROXY` the hosts that are reached without one. A proxy that
is given in the program counts instead, for every scheme.

Guarantees: the environment is read once. Loopback is never sent to the environment's proxy (as Go
and browsers do it, and httpx does not): a model server on this machine is not the proxy's business.
No error and no representation shows the proxy's user or password.

Assumptions: proxies speak HTTP, with or without TLS. One that speaks SOCKS is refused with a word,
when a request would need it.
"""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies_environment

import httpcore
import msgspec

from understudy.actors.models.seam import PORTS
from understudy.messages.errors import ConfigError


class Proxy(msgspec.Struct, frozen=True):
    """A proxy, without what is secret in its address where it is shown.

    Attributes:
        headers: what only the proxy reads: who asks.
    """

    host: str
    port: int
    secure: bool
    headers: tuple[tuple[bytes, bytes], ...] = ()

    def __repr__(self) -> str:
        return f"{'https' if self.secure else 'http'}://{self.host}:{self.port}"


class Proxies:
    """The proxy of each request.

    Args:
        proxy: for all requests; None: whatever the environment names.
        trust_env: whether the environment is read.
        environ: the environment's proxies, by scheme, with `no` for the exceptions; default: those
            of this process.

    Raises:
        ConfigError: `proxy` is not the address of a proxy.
    """

    def __init__(
        self,
        proxy: str | None = None,
        *,
        trust_env: bool = True,
        environ: Mapping[str, str] | None = None,
    ) -> None:
        self._given = None if proxy is None else _read(proxy)
        found = {}
        if trust_env and proxy is None:
            found = getproxies_environment() if environ is None else dict(environ)
        self._environ: dict[str, str] = found
        self.none = self._given is None and not found
        """No request has one."""

    def of(self, scheme: str, host: str, port: int) -> Proxy | None:
        """The proxy of a request, if it has one.

        Raises:
            httpcore.UnsupportedProtocol: the environment names something that is none.
        """
        if self._given is not None or self.none:
            return self._given
        address = self._environ.get(scheme) or self._environ.get("all")
        if not address or _is_loopback(host):
            return None
        if _is_exception(host, port, self._environ.get("no", "")):
            return None
        try:
            return _read(address if "://" in address else f"http://{address}")
        except ConfigError as error:
            told = f"{error} (from {scheme.upper()}_PROXY or ALL_PROXY)"
            raise httpcore.UnsupportedProtocol(told) from None


def _read(address: str) -> Proxy:
    try:
        parts = urlsplit(address)
        port = parts.port
    except ValueError:
        raise ConfigError("the proxy's address is not a URL") from None
    if parts.scheme not in PORTS or not parts.hostname:
        kind = parts.scheme or "nothing"
        told = "write http://host:port or https://host:port, with user:password@ where it asks"
        raise ConfigError(f"a proxy of the kind {kind!r} is not spoken: {told}")
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if parts.username is not None:
        who = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        headers = ((b"proxy-authorization", b"Basic " + base64.b64encode(who)),)
    return Proxy(parts.hostname, port or PORTS[parts.scheme], parts.scheme == "https", headers)


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _is_exception(host: str, port: int, exceptions: str) -> bool:
    """Whether `NO_PROXY` names the host: itself, a domain it is in, with or without the port."""
    host = host.lower()
    for part in exceptions.lower().split(","):
        name = part.strip().lstrip(".")
        if name == "*":
            return True
        for told in (host, f"{host}:{port}"):
            if name and (told == name or told.endswith(f".{name}")):
                return True
    return False
