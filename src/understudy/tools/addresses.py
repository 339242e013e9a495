"""Which addresses on the internet a tool may connect to.

A model decides what `fetch_url` fetches, and what a model reads may come from anybody. So nothing
that only this machine or its network can see may be reached: loopback, private and link-local
networks (where clouds keep their credentials), and what is reserved. An address that carries
another one inside (IPv4 in IPv6, as mapped, 6to4 and NAT64 do) is judged by both.

The check is made on what a connection is then opened to, not on a name that could resolve to
something else a moment later.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from understudy.actors.models.resolver import Lookup, Resolver, system_lookup
from understudy.messages.errors import ConfigError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")


class RefusedAddressError(PermissionError):
    """The address is not one that may be connected to."""


class Addresses:
    """What may be connected to: the public internet, and the networks that are allowed.

    Args:
        allow: further networks, such as `"10.1.0.0/16"` or `"127.0.0.1"`.

    Raises:
        ConfigError: one of them is no network.
    """

    def __init__(self, allow: Iterable[str] = ()) -> None:
        networks: list[Network] = []
        for text in (allow,) if isinstance(allow, str) else allow:
            try:
                networks.append(ipaddress.ip_network(text))
            except ValueError as error:
                raise ConfigError(
                    f"allow={text!r}: {error}; write a network such as '10.1.0.0/16'"
                ) from error
        self._allowed = tuple(networks)

    def check(self, text: str) -> None:
        """Do nothing for an address that may be connected to, and for what is no address.

        Raises:
            RefusedAddressError: says what kind of address it is.
        """
        try:
            address = ipaddress.ip_address(text.partition("%")[0])
        except ValueError:
            return
        for each in _carried(address):
            if any(each in network for network in self._allowed):
                continue
            kind = _kind(each)
            if kind is not None:
                raise RefusedAddressError(f"{text} is {kind}, which this tool must not reach")


class CheckingResolver(Resolver):
    """Gives only addresses that may be connected to, also for hosts that are addresses already."""

    def __init__(self, addresses: Addresses, lookup: Lookup = system_lookup) -> None:
        super().__init__(lookup)
        self._addresses = addresses

    async def resolve(self, host: str, port: int) -> list[str]:
        """See `Resolver.resolve`.

        Raises:
            RefusedAddressError: none of them may be connected to.
        """
        permitted: list[str] = []
        refused: RefusedAddressError | None = None
        for address in await super().resolve(host, port):
            try:
                self._addresses.check(address)
            except RefusedAddressError as error:
                refused = error
            else:
                permitted.append(address)
        if refused is not None and not permitted:
            raise refused
        return permitted


def _carried(address: Address) -> list[Address]:
    """The address, and those inside it."""
    if isinstance(address, ipaddress.IPv4Address):
        return [address]
    inner: list[Address] = []
    if address.ipv4_mapped is not None:
        return [address.ipv4_mapped]  # it is nothing else
    if address.sixtofour is not None:
        inner.append(address.sixtofour)
    if address in _NAT64:
        inner.append(ipaddress.IPv4Address(int(address) & 0xFFFFFFFF))
    return [address, *inner] if not inner or address not in _NAT64 else inner


def _kind(address: Address) -> str | None:
    """Why an address is not public; None when it is."""
    for said, is_so in (
        ("a loopback address", address.is_loopback),
        ("a link-local address", address.is_link_local),
        ("a multicast address", address.is_multicast),
        ("an unspecified address", address.is_unspecified),
        ("a private address", address.is_private),
        ("no public address", not address.is_global),
    ):
        if is_so:
            return said
    return None
