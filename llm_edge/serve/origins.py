"""
Which pages in browsers are our own.

A browser names the page that asks in `origin`. Ours is the one whose host is the host that is asked. That alone says
little where everybody is let in: a page of a foreign name may have that name lead to this machine (DNS rebinding), and
then both are the same. An address cannot be led elsewhere, nor can `localhost`; a foreign page has no key of ours.
"""

from __future__ import annotations

import ipaddress

from ..message import Headers


def own_page(origin: str, headers: Headers, *, open_door: bool) -> bool:
    """Whether a request comes from a page that was served here."""
    scheme, _, host = origin.partition("://")
    if scheme not in {"http", "https"} or not host or host != headers.get("host", ""):
        return False
    return not open_door or here(headers)


def here(headers: Headers) -> bool:
    """Whether it was asked for by a name that nobody can lead elsewhere."""
    host = headers.get("host", "")
    if host.startswith("["):
        name = host[1:].partition("]")[0]
    else:
        name = host.partition(":")[0]
    if name.lower() == "localhost":
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
