"""
Where callers come from, and how often each address may ask.

The address is that of the connection. Only where that one is a proxy we were told to trust is the header field that
proxies write read, from the right: each proxy adds who came to it, and what stands left of the first address that we
do not trust may be made up. Counts are of one process: they keep a flood from one place away from the door, where
nothing is known yet about who it is; what a caller may ask is held to `[limits]`.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from typing import Any, TypeAlias

from ..config import ServeAddressesConfig
from ..errors import RateLimited
from ..runtime import Clock
from .wire import RawPairs, Scope

MOST = 65_536
"""Addresses that are remembered; the one that was quiet for longest goes first."""
_HOPS = 32
_PAIR = re.compile(r'\s*([\w-]+)=("[^"]*"|[^";,\s]*)\s*(?:;|$)')
Address: TypeAlias = "ipaddress.IPv4Address | ipaddress.IPv6Address"
Network: TypeAlias = "ipaddress.IPv4Network | ipaddress.IPv6Network"


@dataclass(slots=True)
class Addresses:
    """Knows the address of each caller, and holds each to its pace."""

    config: ServeAddressesConfig
    clock: Clock
    _trusted: Sequence[Network] = ()
    _due: dict[str, float] = field(default_factory=dict[str, float])

    def __post_init__(self) -> None:
        self._trusted = [ipaddress.ip_network(each) for each in self.config.trusted_proxies]

    @property
    def limited(self) -> bool:
        return self.config.requests_per_minute is not None

    def of(self, scope: Scope) -> str:
        """Where a request comes from, as text; empty when nobody can say (a socket in the file system)."""
        client: Any = scope.get("client")
        near = _address(client[0]) if client else None
        if near is None:
            return ""
        if not self._trusted or not self._trusts(near):
            return str(near)
        return str(self._behind(near, scope["headers"]))

    def admit(self, scope: Scope) -> None:
        """Counts a request. Raises RateLimited when its address asks too often."""
        pace, where = self.config.requests_per_minute, self.of(scope)
        if pace is None or not where:
            return
        whose, now, every = _whose(where), self.clock.now(), 60.0 / pace
        due = max(self._due.pop(whose, now), now)
        burst = self.config.burst or max(pace // 5, 1)
        wait = due - now - every * (burst - 1)
        late = wait > 1e-9  # less is lost in the rounding of the clock
        self._due[whose] = due if late else due + every
        if len(self._due) > MOST:
            del self._due[next(iter(self._due))]
        if late:
            raise RateLimited(f"this address asks more than {pace} times a minute", retry_after=wait)

    def _behind(self, near: Address, headers: RawPairs) -> Address:
        """The nearest address that is not a proxy of ours; the last one that can be read, where one cannot."""
        name = self.config.header.encode()
        told = b",".join([value for key, value in headers if key.lower() == name]).decode("latin-1")
        for part in islice(_from_the_right(told), _HOPS):
            text = part.strip()
            found = _address(_forwarded_for(text) if self.config.header == "forwarded" else text)
            if found is None:
                return near
            near = found
            if not self._trusts(near):
                return near
        return near

    def _trusts(self, address: Address) -> bool:
        return any(address in network for network in self._trusted)


def _from_the_right(told: str) -> Iterator[str]:
    """What stands between commas, but for those in quotes, in which a proxy writes what its caller chose."""
    end, quoted = len(told), False
    for at in range(end - 1, -1, -1):
        if told[at] == '"':
            quoted = not quoted
        elif told[at] == "," and not quoted:
            yield told[at + 1 : end]
            end = at
    yield told[:end]


def _forwarded_for(element: str) -> str:
    found, at = "", 0
    while at < len(element):
        pair = _PAIR.match(element, at)
        if pair is None:
            return ""
        if pair[1].lower() == "for":
            found = found or pair[2].strip('"')
        at = pair.end()
    return found


@lru_cache(maxsize=1024)
def _address(text: str) -> Address | None:
    """An address, with or without a port; one of the old kind in new clothes is one of the old."""
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        found = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return (found.ipv4_mapped or found) if found.version == 6 else found


@lru_cache(maxsize=1024)
def _whose(address: str) -> str:
    """Who is counted: in IPv6 one line has all addresses of a /64."""
    if ":" not in address:
        return address
    return str(ipaddress.ip_network(f"{address}/64", strict=False).network_address)
