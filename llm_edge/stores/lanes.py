"""
Open connections to a Redis, each used by one asker at a time, and punctual.

redis-py's own settings make a call wait a minute for a server that hangs, and send a command up to eleven times. Here
nothing is sent twice, a connection opens within 100 ms or not at all, and all the reads of an answer share one moment.
"""

from __future__ import annotations

import importlib
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any, Protocol, cast

from .places import Place

CONNECT = 0.1
"""Seconds for a connection."""
NEVER = float("inf")


class Client(Protocol):
    """What is used of redis-py, whose own types are those of sync and async at once."""

    def get(self, name: str) -> object: ...
    def set(self, name: str, value: bytes | str, *, px: int, nx: bool = False) -> object: ...
    def delete(self, name: str) -> object: ...
    def scan_iter(self, match: str, *, count: int) -> Iterator[bytes]: ...
    def hgetall(self, name: str) -> Mapping[bytes, bytes]: ...
    def hset(self, name: str, *, mapping: Mapping[str, str]) -> object: ...
    def eval(self, script: str, keys: int, *given: str | bytes) -> object: ...
    def close(self) -> None: ...


class Limit:
    """The moment up to which a lane may wait, and the socket that it waits at."""

    __slots__ = ("moment", "socket")

    def __init__(self) -> None:
        self.moment = NEVER
        self.socket: socket.socket | None = None
        """None to a cluster, where it has several."""

    def hurry(self) -> socket.socket:
        """The socket, told how long it may wait now. TimeoutError when the moment has passed."""
        below = self.socket
        assert below is not None, "a lane is an open connection"
        if self.moment != NEVER:
            left = self.moment - time.monotonic()
            if left <= 0:
                raise TimeoutError
            below.settimeout(left)
        return below

    def read(self, size: int) -> bytes:
        """Some of what has come."""
        return self.hurry().recv(size)


class Lane:
    """One open connection. After any failure it is closed, and never used again."""

    __slots__ = ("_close", "age", "client", "limit")

    def __init__(self, client: Client, close: Callable[[], None], limit: Limit, age: int) -> None:
        self.client, self._close, self.limit, self.age = client, close, limit, age

    def in_use(self, seconds: float) -> _InUse:
        """The client, for so long: `with` it TimeoutError, ConnectionError and redis-py's own errors are raised."""
        self.limit.moment = time.monotonic() + seconds
        return _InUse(self)

    def close(self) -> None:
        try:
            self._close()
        except Exception:  # noqa: S110  it was broken
            pass


class _InUse:
    def __init__(self, lane: Lane) -> None:
        self._lane = lane

    def __enter__(self) -> Client:
        return self._lane.client

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        self._lane.limit.moment = NEVER
        if error is None:
            return
        self._lane.close()
        if isinstance(error, library().TimeoutError):
            raise TimeoutError from None
        if isinstance(error, library().ConnectionError):
            raise ConnectionError from None


class _Punctual:
    """A socket whose reads end at a moment, however many of them an answer takes; redis-py bounds each by itself."""

    def __init__(self, below: socket.socket, limit: Limit) -> None:
        self._below, self._limit = below, limit
        limit.socket = below

    def __getattr__(self, name: str) -> Any:  # whatever redis-py asks of a socket
        return getattr(self._below, name)

    def recv(self, size: int) -> bytes:
        return self._limit.hurry().recv(size)

    def recv_into(self, buffer: bytearray | memoryview, size: int = 0) -> int:
        return self._limit.hurry().recv_into(buffer, size)


def library() -> Any:
    """redis-py; see `Client` for its types."""
    return importlib.import_module("redis")


def opened(place: Place, seconds: float, age: int) -> Lane:
    """A new lane. TimeoutError or OSError when there is none to be had."""
    limit = Limit()
    try:
        client, close = _connected(place, limit, seconds)
    except library().TimeoutError:
        raise TimeoutError from None
    except (library().RedisError, OSError):
        raise OSError("the connection could not be opened") from None
    return Lane(client, close, limit, age)


def _connected(place: Place, limit: Limit, seconds: float) -> tuple[Client, Callable[[], None]]:
    """An open connection, and how to close it. Raises redis-py's errors."""
    redis = library()
    common = _settings(place, seconds)
    if place.shape == "cluster":
        nodes = [redis.cluster.ClusterNode(host, port) for host, port in place.hosts]
        cluster: Any = redis.RedisCluster(startup_nodes=nodes, **common, **_tls(place))
        return cast("Client", cluster), cluster.close
    if place.shape == "sentinel":
        pool = _sentinel_pool(place, limit, common)
    else:
        where = _where(place)
        pool = redis.ConnectionPool(
            connection_class=_on_time(_name(place)), limit=limit, db=place.database, **where, **common, **_tls(place)
        )
    client: Any = redis.Redis(connection_pool=pool, single_connection_client=True)

    def close() -> None:
        client.close()
        pool.disconnect()

    return cast("Client", client), close


def _sentinel_pool(place: Place, limit: Limit, common: Mapping[str, Any]) -> Any:
    sentinel = importlib.import_module("redis.sentinel")
    quiet = {name: value for name, value in common.items() if name not in {"username", "password"}}
    tls = {"ssl": True, **_tls(place)} if place.tls else {}
    watchers = sentinel.Sentinel(place.hosts, sentinel_kwargs={**quiet, **tls})
    return sentinel.SentinelConnectionPool(
        place.service, watchers, connection_class=_on_time(_name(place)), limit=limit, db=place.database,
        **({"ssl": True} if place.tls else {}), **common, **_tls(place),
    )  # fmt: skip


def _settings(place: Place, seconds: float) -> dict[str, Any]:
    retry, backoff = importlib.import_module("redis.retry"), importlib.import_module("redis.backoff")
    return {
        "username": place.username, "password": place.password, "protocol": 2, "socket_connect_timeout": CONNECT,
        "socket_timeout": seconds, "retry": retry.Retry(backoff.NoBackoff(), 0), "health_check_interval": 0,
    }  # fmt: skip


def _tls(place: Place) -> dict[str, Any]:
    if not place.tls:
        return {}
    ca_file = None if place.ca_file is None else str(place.ca_file)
    tls: dict[str, Any] = {"ssl_cert_reqs": "required", "ssl_check_hostname": True, "ssl_ca_certs": ca_file}
    return {"ssl": True, **tls} if place.shape == "cluster" else tls


def _where(place: Place) -> dict[str, Any]:
    if place.shape == "socket":
        return {"path": place.path}
    ((host, port),) = place.hosts
    return {"host": host, "port": port}


def _name(place: Place) -> str:
    if place.shape == "socket":
        return "UnixDomainSocketConnection"
    return {
        "sentinel": "SentinelManagedSSLConnection" if place.tls else "SentinelManagedConnection",
    }.get(place.shape, "SSLConnection" if place.tls else "Connection")


@cache
def _on_time(name: str) -> Any:
    """redis-py's connection of that name, over a `_Punctual` socket."""
    base: Any = getattr(importlib.import_module("redis.sentinel" if "Sentinel" in name else "redis.connection"), name)

    class OnTime(base):  # type: ignore[misc]  # known only when redis-py is imported
        def __init__(self, *given: Any, limit: Limit, **named: Any) -> None:  # redis-py's own arguments
            self._limit = limit
            base.__init__(self, *given, **named)

        def _connect(self) -> Any:
            return _Punctual(base._connect(self), self._limit)

    return OnTime
