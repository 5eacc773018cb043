"""What the cache costs: its key, a hit in memory and on disk, a shared call. `python -m benchmarks.kept`"""

from __future__ import annotations

import asyncio
import json
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


def follower() -> float:
    """What each of 256 tasks that ask the same costs beyond the one call they share."""

    async def many(handler: Handler, number: int, mark: str) -> float:
        requests = [_request(900, mark) for _ in range(number)]
        began = time.process_time()
        await asyncio.gather(*map(handler, requests))
        return (time.process_time() - began) * 1e6

    def once(turn: int) -> float:
        handler = EdgeClient(env={}).front("async", Instant("application/json", [_answer(900)])).handler
        with asyncio.Runner() as runner:
            runner.run(many(handler, 1, f"first {turn}"))
            one = runner.run(many(handler, 1, f"one {turn}"))
            return (runner.run(many(handler, _ASKERS, f"all {turn}")) - one) / (_ASKERS - 1)

    return median([once(turn) for turn in range(_ROUNDS)])


def main() -> None:
    rows = [
        ("key, 1 KB", "≤ 5 µs", key(900)),
        ("key, 100 KB", "≤ 130 µs", key(100_000)),
        ("hit in memory, 1 KB, sync", "≤ 15 µs", hit(900)),
        ("hit in memory, 100 KB, sync", "≤ 60 µs", hit(100_000)),
        ("hit on disk, 1 KB, sync, wall", "≤ 110 µs", disk_hit()),
        ("one of 256 that share a call, everything it costs", "≤ 10 µs beyond a call of its own", follower()),
    ]
    for what, target, took in rows:
        print(f"{what:<52} {took:8.1f} µs   {target}")


if __name__ == "__main__":
    main()
