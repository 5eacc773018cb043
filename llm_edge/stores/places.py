"""
Where a Redis or Valkey is, read from one address.

    redis://host:6379/0                            one server; rediss:// speaks TLS, unix:///path a socket
    redis+sentinel://host,host:26379/service/0     whoever the sentinels say is the master; rediss+sentinel:// with TLS
    redis+cluster://host:7000,host:7001            a cluster; rediss+cluster:// with TLS

User and password stand before an `@`, percent-encoded; they are for the servers, and sentinels are asked without.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, TypeAlias
from urllib.parse import unquote

from ..errors import ConfigError

Shape: TypeAlias = Literal["server", "socket", "sentinel", "cluster"]

_ADDRESS = re.compile(
    r"(?P<tls>rediss?)(?:\+(?P<shape>sentinel|cluster))?://(?:(?P<login>[^@/]*)@)?(?P<hosts>[^/?#@]+)(?P<path>/[^?#]*)?"
)
_SOCKET = re.compile(r"unix://(?:(?P<login>[^@/]*)@)?(?P<path>/[^?#]+)")
_HOST = re.compile(r"(?:\[(?P<six>[0-9A-Fa-f:.%]+)\]|(?P<name>[A-Za-z0-9._-]+))(?::(?P<port>[0-9]{1,5}))?")


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A Redis, and how to get there."""

    shape: Shape
    hosts: tuple[tuple[str, int], ...] = ()
    path: str = ""
    """Of a socket."""
    service: str = ""
    """What the sentinels call it."""
    database: int = 0
    tls: bool = False
    ca_file: Path | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)


def place(url: str, *, ca_file: Path | None = None) -> Place:
    """The place an address stands for. Raises ConfigError, which never repeats the address: it may hold a password."""
    if socket := _SOCKET.fullmatch(url):
        username, password = _login(socket["login"])
        return Place(shape="socket", path=unquote(socket["path"]), username=username, password=password)
    found = _ADDRESS.fullmatch(url)
    if found is None:
        raise _refused("is not the address of a Redis", 'Write it as in "redis://127.0.0.1:6379/0".')
    shape: Shape = found["shape"] or "server"  # type: ignore[assignment]  # the pattern knows these words only
    hosts = tuple(_host(each, 26379 if shape == "sentinel" else 6379) for each in found["hosts"].split(","))
    if shape == "server" and len(hosts) > 1:
        raise _refused("names several hosts", "Write redis+cluster:// or redis+sentinel://, or name one host.")
    service, database = _path(shape, (found["path"] or "").strip("/"))
    username, password = _login(found["login"])
    tls = found["tls"] == "rediss"
    if ca_file is not None and not tls:
        raise ConfigError("cache.redis.ca_file: is of no use without TLS. Write rediss:// in cache.redis.url.")
    return Place(
        shape=shape, hosts=hosts, service=service, database=database, tls=tls, ca_file=ca_file,
        username=username, password=password,
    )  # fmt: skip


def _host(text: str, port: int) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    if found is None or not 0 < int(found["port"] or port) < 2**16:
        raise _refused("names a host that cannot be one", "Write host or host:port; several are parted by commas.")
    return found["six"] or found["name"], int(found["port"] or port)


def _path(shape: Shape, path: str) -> tuple[str, int]:
    service, _, database = path.partition("/") if shape == "sentinel" else ("", "", path)
    if shape == "sentinel" and not service:
        raise _refused("names no service", 'Write it after the hosts, as in "redis+sentinel://host/mymaster".')
    if shape == "cluster" and database not in {"", "0"}:
        raise _refused("names a database", "A cluster has only database 0: leave it out.")
    if not re.fullmatch(r"[0-9]{0,4}", database):
        raise _refused("names a database that is no number", 'Write it as in "redis://127.0.0.1:6379/0".')
    return service, int(database or 0)


def _login(text: str | None) -> tuple[str | None, str | None]:
    if not text:
        return None, None
    user, colon, password = text.partition(":")
    if not colon:
        raise _refused("holds a name without a password", 'Write "user:password@", or ":password@".')
    return unquote(user) or None, unquote(password) or None


def _refused(what: str, fix: str) -> ConfigError:
    return ConfigError(f"cache.redis.url: {what}. {fix}")
