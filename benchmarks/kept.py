"""What the cache costs: its key, a hit in memory, on disk and in Redis, a shared call. `python -m benchmarks.kept`"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

from llm_edge import EdgeClient
from llm_edge.message import Handler
from llm_edge.policy.keys import answer_key
from llm_edge.runtime import drive

from . import kept_stores as stores
from .contenders import KEY
from .inside import Instant
from .kept_stores import answer, request
from .promises import Promise
from .provider import MODEL, running

_ROUNDS, _CALLS, _ASKERS = 9, 500, 256
_AT_ONCE = 2**17
"""
Bytes of requests that are made before they are measured. More would no longer lie in the processor's cache, and when
they all go at once the C library hands their memory back to the system: a third of the time was then the system's, for
giving it again page by page, which no app pays whose calls come and go one by one.
"""


def _timed(work: Callable[[Any], object], given: Callable[[], list[Any]], rounds: int = _ROUNDS) -> float:
    """Microseconds of CPU for one, the median of several rounds."""

    def once() -> float:
        items = given()
        began = time.process_time()
        for item in items:
            work(item)
        return (time.process_time() - began) / len(items) * 1e6

    return median([once() for _ in range(rounds + 1)][1:])


def key(size: int) -> float:
    """The key of a request of this size, from its bytes."""
    return _timed(
        lambda asked: answer_key(asked.body, asked.dialect, asked.url),
        lambda: [request(size) for _ in range(min(_CALLS, _AT_ONCE // size))],
        rounds=10 * _ROUNDS,
    )


def hit(size: int) -> float:
    """A hit in memory whose answer has this size, from the top of the chain, sync."""
    sender = Instant("application/json", [answer(size)])
    handler = EdgeClient(env={}).front("sync", sender).handler
    drive(handler(request(900)))
    return _timed(lambda asked: drive(handler(asked)), lambda: [request(900) for _ in range(_CALLS)])


def follower() -> tuple[float, float]:
    """What each of 256 tasks that ask the same costs: when they share one call, and when they find its answer."""

    async def many(handler: Handler, mark: str) -> float:
        requests = [request(900, mark) for _ in range(_ASKERS)]
        began = time.process_time()
        await asyncio.gather(*map(handler, requests))
        return (time.process_time() - began) / _ASKERS * 1e6

    def once(turn: int) -> tuple[float, float]:
        handler = EdgeClient(env={}).front("async", Instant("application/json", [answer(900)])).handler
        with asyncio.Runner() as runner:
            runner.run(many(handler, f"first {turn}"))
            return runner.run(many(handler, f"all {turn}")), runner.run(many(handler, f"all {turn}"))

    rounds = [once(turn) for turn in range(3 * _ROUNDS)]
    return median([shared for shared, _ in rounds]), median([found for _, found in rounds])


def under_the_sdk() -> tuple[float, float]:
    """A call of the openai SDK that is a hit, and one whose transport has the answer in its hand."""
    import httpx2
    from openai import OpenAI

    from llm_edge.http._clients_httpx2 import Client
    from llm_edge.http._httpx2 import Transport

    raw = answer(900)

    class Canned(httpx2.BaseTransport):
        def handle_request(self, request: httpx2.Request) -> httpx2.Response:
            return httpx2.Response(200, headers={"content-type": "application/json"}, content=raw, request=request)

    front = EdgeClient(env={}).front("sync", Instant("application/json", [raw]))
    asked: Any = {"model": MODEL, "messages": [{"role": "user", "content": "x" * 900}]}

    def once(sdk: OpenAI) -> float:
        began = time.process_time()
        for _ in range(20):
            sdk.chat.completions.create(**asked)
        return (time.process_time() - began) / 20 * 1e6

    clients = [Client(Transport(front)), httpx2.Client(transport=Canned())]  # ours as `edge.http_client()` gives it
    over, alone = (OpenAI(api_key=KEY, base_url="http://127.0.0.1:9/v1", http_client=client) for client in clients)
    rounds = [(once(over), once(alone)) for _ in range(4 * _ROUNDS)][_ROUNDS:]
    return median([ours for ours, _ in rounds]), median([theirs for _, theirs in rounds])


def direct() -> float:
    """A direct call that is a hit: what an app pays in all."""
    asked: Any = {"model": f"bench/{MODEL}", "messages": [{"role": "user", "content": "x" * 900}]}
    with running() as url:
        places: Any = {"bench": {"kind": "openai", "base_url": f"{url}/v1", "api_key": KEY}}
        with EdgeClient(providers=places, env={}) as edge:
            edge.chat(**asked)
            return _timed(lambda _: edge.chat(**asked).text, lambda: [None] * _CALLS)


def measure(peers_folder: str | None = None, *, calls: int = 60_000) -> list[Promise]:
    """All rows of the cache; `calls` is how many different ones memory is looked at over."""
    rows = [
        _within("the key of a 1 KB request", 5, key(900)),
        _within("the key of a 100 KB request", 130, key(100_000)),
        _within("a hit in memory, 100 KB, sync", 60, hit(100_000)),
    ]
    shared, found = follower()
    measured = f"{shared - found:.1f} µs ({shared:.1f} and {found:.1f})"
    rows.append(Promise("one of 256 that share a call, beyond a hit", "≤ 10 µs", measured, shared - found <= 10))
    ours, alone = under_the_sdk()
    measured = f"{ours / alone:.2f} ({ours:.0f} and {alone:.0f} µs)"
    rows.append(Promise("a hit under the openai SDK to a canned transport", "≤ 1.05", measured, ours / alone <= 1.05))
    for colour, took in stores.disk().items():
        rows.append(_within(f"a hit on disk, 1 KB, {colour}, wall", 110, took))
    for colour, pair in stores.valkey().items():
        share = pair.ours / pair.bare
        measured = f"{share:.2f} ({pair.ours:.0f} and {pair.bare:.0f} µs)"
        rows.append(Promise(f"a hit in Valkey to a bare GET, {colour}, wall", "≤ 1.5", measured, share <= 1.5))
    rows += _beside(peers_folder)
    if Path("/proc/self/statm").exists():
        more = stores.growth(calls)
        what = f"memory grown by over {calls:,} different calls, the cache full"
        rows.append(Promise(what, "≤ 1 MiB", f"{more:.2f} MiB", more <= 1))
    return rows


def _within(what: str, most: float, took: float) -> Promise:
    return Promise(what, f"≤ {most} µs", f"{took:.1f} µs", took <= most)


def _beside(folder: str | None) -> Iterator[Promise]:
    """A hit of ours, by a direct call, beside other libraries' as they are called by an app."""
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, [folder, os.environ.get("PYTHONPATH")]))}
    command = [sys.executable, "-m", "benchmarks.kept_peers"]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else {}
    ours = direct() if found else 0.0
    for name, took in found.items():
        measured = f"{ours / took:.2f} ({ours:.0f} and {took:.0f} µs)"
        # No promise: GPTCache looks up a text and gives a text, of which there is little to be saved.
        yield Promise(f"a direct call that is a hit in memory, to {name}, CPU", "told beside it", measured, True)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kept", description=__doc__)
    parser.add_argument("--million", action="store_true", help="look at memory over a million different calls")
    parser.add_argument("--peers", metavar="DIR", help="where other libraries are installed")
    options = parser.parse_args()
    for row in measure(options.peers, calls=1_000_000 if options.million else 60_000):
        print(f"{'yes' if row.kept else 'NO ':3}  {row.what:<66} {row.measured}  ({row.target})")


if __name__ == "__main__":
    main()
