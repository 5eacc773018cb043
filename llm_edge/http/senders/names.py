"""Host names and their addresses."""

from __future__ import annotations

import ipaddress
import socket
import threading
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, TypedDict

if TYPE_CHECKING:
    import asyncio


def addresses(host: str, port: int, seconds: float | None) -> list[str]:
    """
    The addresses of a name. Raises what the system says (OSError, UnicodeError), and TimeoutError.

    Asked for in a thread, as nobody can tell the system's resolver to hurry.
    """
    try:
        ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return [host]
    answer: SimpleQueue[list[str] | Exception] = SimpleQueue()

    def resolve() -> None:
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            answer.put(list(dict.fromkeys(str(address[0]) for *_, address in found)))
        except Exception as error:
            answer.put(error)

    threading.Thread(target=resolve, name="llm_edge-resolver", daemon=True).start()
    try:
        result = answer.get(timeout=seconds)
    except Empty:
        raise TimeoutError from None
    if isinstance(result, Exception):
        raise result
    return result


def all_public(found: list[str]) -> list[str]:
    """The same addresses. OSError when one of them is not of the public internet, or hides one that is not."""
    if not found or not all(map(_is_public, found)):
        raise OSError("its name leads into a network of its own")
    return found


def _is_public(text: str) -> bool:
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, ipaddress.IPv6Address):
        hidden = address.ipv4_mapped or address.sixtofour or (address.teredo or (None, None))[1]
        if address in _TRANSLATED:
            hidden = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        if hidden is not None and not _is_public(str(hidden)):
            return False
        if address.ipv4_mapped is not None:
            return True
    return address.is_global and not address.is_multicast


_TRANSLATED = ipaddress.IPv6Network("64:ff9b::/96")
"""IPv4 addresses as NAT64 writes them (RFC 6052)."""


class Racing(TypedDict, total=False):
    """How the addresses of one name are tried."""

    happy_eyeballs_delay: float | None


def racing(loop: asyncio.AbstractEventLoop, host: str) -> Racing:
    """How a name's addresses are tried, in the words that this loop understands: uvloop has none for it."""
    import asyncio

    return Racing(happy_eyeballs_delay=_stagger(host)) if isinstance(loop, asyncio.BaseEventLoop) else Racing()


def _stagger(host: str) -> float | None:
    """Seconds between attempts at a name's addresses; None for an address, which is only one."""
    # A name may have an address of each kind, and one kind may lead nowhere: try both. That takes tasks.
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return 0.25
    return None
