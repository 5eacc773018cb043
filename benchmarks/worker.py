"""
One contender in one process: `python -m benchmarks.worker NAME COLOUR URL`.

Reads a line of JSON for each round from its input (`{"calls": …, "concurrent": …, "stream": …, "cached": …}`) and
writes one with what the round took: wall and CPU seconds, the CPU of all its threads.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from typing import Any

from .contenders import CONTENDERS, Ask, AsyncAsk
from .peers import PEERS
from .provider import WORDS

_PADDING = "Tell me about the history of the place where I live. " * 17
"""Makes the request about 1 KB."""
_numbers = count()


def prompts(calls: int, cached: bool) -> Iterator[str]:
    """What to ask: always the same, or something new each time."""
    return iter([_PADDING if cached else f"{_PADDING}{next(_numbers)}" for _ in range(calls)])


def measured(run: Callable[[Iterator[str], bool, int], None], round_: dict[str, Any]) -> dict[str, float]:
    """One round, timed."""
    asked = prompts(round_["calls"], round_["cached"])
    gc.collect()
    wall, cpu = time.perf_counter(), time.process_time()
    run(asked, round_["stream"], round_["concurrent"])
    return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}


def checked(text: str) -> None:
    if WORDS[0] not in text or WORDS[-1].strip() not in text:
        raise SystemExit(f"not the provider's answer: {text[:200]!r}")


def sync_rounds(ask: Ask, pool: ThreadPoolExecutor) -> Callable[[Iterator[str], bool, int], None]:
    def work(asked: Iterator[str], stream: bool) -> None:
        for prompt in asked:
            checked(ask(prompt, stream))

    def run(asked: Iterator[str], stream: bool, concurrent: int) -> None:
        if concurrent == 1:
            return work(asked, stream)
        for done in [pool.submit(work, asked, stream) for _ in range(concurrent)]:
            done.result()
        return None

    return run


def async_rounds(ask: AsyncAsk, runner: asyncio.Runner) -> Callable[[Iterator[str], bool, int], None]:
    async def work(asked: Iterator[str], stream: bool) -> None:
        for prompt in asked:
            checked(await ask(prompt, stream))

    async def together(asked: Iterator[str], stream: bool, concurrent: int) -> None:
        await asyncio.gather(*(work(asked, stream) for _ in range(concurrent)))

    return lambda asked, stream, concurrent: runner.run(together(asked, stream, concurrent))


def serve(run: Callable[[Iterator[str], bool, int], None]) -> None:
    run(prompts(3, False), False, 1)
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        print(json.dumps(measured(run, json.loads(line))), flush=True)


def main(name: str, colour: str, url: str) -> None:
    contender = {**CONTENDERS, **PEERS}[name]
    if colour == "sync":
        if contender.sync is not None:
            with contender.sync(url) as ask, ThreadPoolExecutor(256) as pool:
                serve(sync_rounds(ask, pool))
        return
    with asyncio.Runner() as runner:
        place = contender.asynchronous(url)
        ask_async = runner.run(place.__aenter__())
        serve(async_rounds(ask_async, runner))
        runner.run(place.__aexit__(None, None, None))


if __name__ == "__main__":
    main(*sys.argv[1:4])
