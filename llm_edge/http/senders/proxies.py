"""Which proxy a call goes through: the one configured, or the one the environment names."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from .settings import HttpSettings


class Proxies:
    """Answers for every address; reads the environment once, when first asked."""

    def __init__(self, settings: HttpSettings) -> None:
        self._fixed = settings.proxy
        self._trust_env = settings.trust_env and settings.proxy is None
        self._named: Mapping[str, str] | None = None

    def __call__(self, scheme: str, host: str, port: int) -> str | None:
        if not self._trust_env:
            return self._fixed
        if self._named is None:
            from urllib.request import getproxies

            self._named = getproxies()
        return proxy_for(self._named, scheme, host, port)


def proxy_for(named: Mapping[str, str], scheme: str, host: str, port: int) -> str | None:
    """The proxy for an address, given what the environment says by scheme: `http`, `https`, `all`, `no`."""
    proxy = named.get(scheme) or named.get("all")
    if not proxy or bypassed(named.get("no", ""), host, port):
        return None
    return proxy if "://" in proxy else f"http://{proxy}"


def bypassed(no_proxy: str, host: str, port: int) -> bool:
    """Whether NO_PROXY names this host: itself, its domain, its network, or `*` for all."""
    host = host.strip("[]").lower().rstrip(".")
    for entry in no_proxy.lower().split(","):
        entry = entry.strip()
        if entry == "*":
            return True
        name, _, named_port = entry.partition(":") if entry.count(":") == 1 else (entry, "", "")
        if named_port and named_port != str(port):
            continue
        name = name.strip("[]").removeprefix("*").lstrip(".")
        if name and (host == name or host.endswith(f".{name}") or _within(name, host)):
            return True
    return False


def _within(network: str, host: str) -> bool:
    if "/" not in network:
        return False
    try:
        return ipaddress.ip_address(host) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


def without_credentials(url: str) -> tuple[str, tuple[str, str] | None]:
    """A proxy's address, and the user and password that were written into it."""
    from urllib.parse import unquote

    parts = urlsplit(url)
    if parts.username is None:
        return url, None
    plain = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    return plain, (unquote(parts.username), unquote(parts.password or ""))
