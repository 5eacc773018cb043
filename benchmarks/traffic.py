"""What the layers between the cache and the provider cost a call that goes well: limits, router, breaker, retry."""

from __future__ import annotations

import asyncio
import time
from statistics import median
from typing import Any

from llm_edge import EdgeClient
from llm_edge.build import House, traffic
from llm_edge.config import resolve
from llm_edge.message import Body, Handler, Request, Response
from llm_edge.providers.base import Target
from llm_edge.providers.table import key_env
from llm_edge.runtime import Awaiting, Blocking, drive

_CALLS, _ROUNDS = 3000, 9
_BODY = b'{"model":"r","messages":[{"role":"user","content":"' + b"x" * 900 + b'"}]}'
_ANSWER = Response(status=200, body=Body(b"{}"))
SECTIONS: dict[str, Any] = {
    "routes": {"r": {"targets": ["openai/gpt-4o", "groq/llama"]}},
    "limits": {"global": {"requests_per_second": 1e6, "concurrency": 1000}},
}


async def at_once(request: Request, /) -> Response:
    """Stands where the hop is."""
    return _ANSWER


def part(colour: str, **sections: Any) -> float:
    """Microseconds a call of 1 KB spends in this part of the chain, and nowhere else."""
    config = EdgeClient(**{**SECTIONS, **sections}, env={}).config
    house = House(config, resolve(config, {}, key_env()))
    runtime = Blocking() if colour == "sync" else Awaiting()

    def hop(target: Target) -> Handler:
        return at_once

    handler = traffic(house, runtime, hop)

    def requests() -> list[Request]:
        return [Request(body=Body(_BODY), model="r", route="r", deadline=1e12) for _ in range(_CALLS)]

    async def awaiting(asked: list[Request], ask: Handler) -> None:
        for request in asked:
            await ask(request)

    def once(ask: Handler) -> float:
        asked = requests()
        for request in asked:
            request.body.json  # noqa: B018  read by the cache before, in a real call
        began = time.process_time()
        if colour == "sync":
            for request in asked:
                drive(ask(request))
        else:
            asyncio.run(awaiting(asked, ask))
        return (time.process_time() - began) / _CALLS * 1e6

    with_it = median([once(handler) for _ in range(_ROUNDS + 1)][1:])
    return with_it - median([once(at_once) for _ in range(_ROUNDS + 1)][1:])


if __name__ == "__main__":
    for colour in ("sync", "async"):
        print(colour, f"{part(colour):.1f} µs; without limits {part(colour, limits={}):.1f} µs")
