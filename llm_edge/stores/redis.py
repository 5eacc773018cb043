"""
Kept answers in a Redis or Valkey, shared by processes and machines.

A thread with an open lane at hand asks by itself. Where there is none a worker thread asks, so that names are looked
up and connections opened while the call waits no longer than it will. An event loop sends by itself and reads when
the whole answer has arrived; what comes in pieces, or under TLS, is read by a worker.
"""

from __future__ import annotations

import hashlib
import os
import socket
from collections.abc import Iterator
from functools import partial

from ..errors import ConfigError
from ..runtime import Awaiting, Clock, Runtime
from . import gets, lanes
from .entry import KEY
from .lanes import Client, Lane
from .places import Place
from .pool import PATIENCE, Pool
from .shelf import Lease, Stays
from .tier import SecondTier
from .tombstones import Marks
from .workers import Workers

PREFIX = "llm-edge:cache:"
# Of a question two things are known: who may ask just now, and who was the last to be given that right. Who writes an
# answer must be the last; one whose lease ran out, and who is late, would replace what came after it.
_CLAIM = """
if not redis.call('SET', KEYS[1], ARGV[1], 'NX', 'PX', ARGV[2]) then return 0 end
redis.call('SET', KEYS[2], ARGV[1], 'PX', ARGV[3])
return 1
"""
_PUT = """
if ARGV[4] ~= '' and redis.sha1hex(redis.call('GET', KEYS[1]) or '') ~= ARGV[4] then return 0 end
local last = ARGV[1] ~= '' and redis.call('GET', KEYS[2]) or ARGV[1]
if last and last ~= ARGV[1] or not last and redis.call('EXISTS', KEYS[1]) == 1 then return 0 end
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
return 1
"""
_RELEASE = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"
REMEMBERED = 3600.0
"""Seconds for which it is known who was the last to claim a key; no call takes longer."""
_LONG = 5.0
"""Seconds for what nobody's call waits for."""


class RedisShelf(Pool):
    """One Redis, Valkey or cluster of them."""

    def __init__(self, place: Place, *, prefix: str = PREFIX, patience: float = PATIENCE) -> None:
        super().__init__(place, patience)
        self._prefix = prefix
        self._one = place.shape != "cluster"
        # Under TLS a socket that can be read may have nothing to say, and on Windows no loop waits for a bare socket.
        self._over_loops = self._one and not place.tls and os.name == "posix"

    # ---- for the tier

    async def read(self, key: str, marks: bool, runtime: Runtime, workers: Workers, /) -> tuple[object, Marks | None]:
        apart = isinstance(runtime, Awaiting)
        lane = self._idle() if not marks and (self._over_loops if apart else self._one) else None
        if lane is not None:
            try:
                if apart:
                    return await self._over_loop(lane, key, runtime, workers), None
                return self._here(lane, key), None
            except ConnectionError:
                self.distrust()

        def work(client: Client) -> tuple[object, Marks | None]:
            return self._get(client, key), self._marks(client) if marks else None

        return await self.soon(work, runtime, workers)

    async def claim(self, key: str, token: str, seconds: float, runtime: Runtime, workers: Workers, /) -> bool:
        held, last = str(_milliseconds(seconds)), str(_milliseconds(seconds + REMEMBERED))

        def work(client: Client) -> bool:
            return bool(client.eval(_CLAIM, 2, self._name("claim", key), self._name("last", key), token, held, last))

        return await self.soon(work, runtime, workers)

    def release(self, key: str, token: str, /) -> None:
        self._write(lambda client: client.eval(_RELEASE, 1, self._name("claim", key), token))

    def put(self, key: str, data: bytes, seconds: float, lease: Lease | None, stays: Stays | None, /) -> bool:
        name, px = self._prefix + key, _milliseconds(seconds)
        if lease is None and stays is None:
            self._write(lambda client: client.set(name, data, px=px))
            return True
        claimed, token = lease or (key, "")
        last, done = self._name("last", claimed), list[object]()

        def work(client: Client) -> None:
            seen = ""
            if stays is not None:
                there = self._get(client, key)
                if stays(there):
                    return done.append(0)
                seen = _sha1(there)
            return done.append(client.eval(_PUT, 2, name, last, token, data, str(px), seen))

        self._write(work)
        return bool(done[-1])

    def _name(self, what: str, claimed: str) -> str:
        """A name in the same slot of a cluster as the entry itself, and with the same beginning."""
        key, _, form = claimed.partition(" ")
        return f"{self._prefix}{what}:{{{self._prefix}{key}}}{form}"

    def remove(self, key: str, /) -> None:
        self._write(lambda client: client.delete(self._prefix + key))

    def marks(self, *, patient: bool = False) -> Marks:
        return self.ask(self._marks, patience=_LONG if patient else None)

    def mark(self, marks: Marks, /) -> None:
        written = {tag: repr(moment) for tag, moment in marks.items()}
        self._write(lambda client: client.hset(f"{self._prefix}purges", mapping=written))

    def every(self) -> Iterator[tuple[str, object]]:
        begin, names = len(self._prefix), list[bytes]()
        self.ask(lambda client: names.extend(client.scan_iter(f"{self._prefix}*", count=1000)), patience=_LONG)
        for name in names:
            key = name.decode("utf-8", "replace")[begin:]
            if len(key) == KEY:
                yield key, self.ask(partial(self._get, key=key), patience=_LONG)

    # ---- what is asked

    def _get(self, client: Client, key: str) -> object:
        try:
            return client.get(self._prefix + key)
        except lanes.library().ResponseError as error:
            return _odd_or(error)

    def _marks(self, client: Client) -> Marks:
        name = f"{self._prefix}purges"
        try:
            found = client.hgetall(name)
        except lanes.library().ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            client.delete(name)
            return {}
        return {tag.decode("ascii", "replace"): _moment(raw) for tag, raw in found.items()}

    # ---- where a call waits

    def _here(self, lane: Lane, key: str) -> object:
        """One answer, read by the thread that asks."""
        with lane.in_use(self._patience):
            gets.ask(lane.limit.hurry(), self._prefix + key)
            data = gets.answer(lane.limit.read)
        self._put_back(lane)
        return data

    async def _over_loop(self, lane: Lane, key: str, runtime: Runtime, workers: Workers) -> object:
        """One answer on an event loop, read here when it has come whole."""
        with lane.in_use(self._patience):
            below, limit = lane.limit.hurry(), lane.limit
            gets.ask(below, self._prefix + key)
            below.setblocking(False)
            while (raw := _here_by_now(below)) is None:  # a Redis on this machine has often answered already
                await _readable(below, self._patience)
            below.settimeout(self._patience)
            try:
                data = gets.answer_in(raw)
            except BlockingIOError:
                data = await workers.run(lambda: gets.answer(limit.read, raw), runtime, self._patience)
        self._put_back(lane)
        return data


def _here_by_now(below: socket.socket) -> bytes | None:
    try:
        return below.recv(gets.PIECE)
    except BlockingIOError:
        return None


async def _readable(below: socket.socket, seconds: float) -> None:
    """Wait until the answer begins. TimeoutError."""
    import asyncio

    loop, door = asyncio.get_running_loop(), below.fileno()
    begins: asyncio.Future[None] = loop.create_future()

    def happen(error: Exception | None = None) -> None:
        if not begins.done():
            if error is None:
                begins.set_result(None)
            else:
                begins.set_exception(error)

    loop.add_reader(door, happen)
    timer = loop.call_later(seconds, happen, TimeoutError())
    try:
        await begins
    finally:
        timer.cancel()
        loop.remove_reader(door)


def _odd_or(error: Exception) -> bytes:
    """Somebody put a list there: as odd as any other bytes, and deleted like them. Any other error is raised."""
    if str(error).startswith("WRONGTYPE"):
        return b""
    raise error


def redis_tier(
    place: Place, *, secret: str, prefix: str = PREFIX, ttl: float = 3600.0, stale: float = 0.0,
    patience: float = PATIENCE, clock: Clock | None = None,
) -> SecondTier:  # fmt: skip
    """The second tier in a Redis. Raises ConfigError without a secret: others can write there."""
    if not secret:
        raise ConfigError(
            "cache.secret: is missing, and a Redis may be written by others: answers kept there must be signed."
            ' Under [cache] add the line secret = "env:LLM_EDGE_CACHE_SECRET", and set that variable to the same'
            " random text for all that share the Redis."
        )
    return SecondTier(
        RedisShelf(place, prefix=prefix, patience=patience),
        secret=secret.encode(),
        ttl=ttl,
        stale=stale,
        readers=16,
        clock=clock,
    )


def _sha1(there: object) -> str:
    """A name for what stands there, as scripts can make it, too; it need not be secure."""
    return hashlib.sha1(there if isinstance(there, bytes) else b"", usedforsecurity=False).hexdigest()


def _milliseconds(seconds: float) -> int:
    return max(int(seconds * 1000), 1)


def _moment(raw: bytes) -> float:
    try:
        return float(raw)
    except ValueError:
        return 0.0
