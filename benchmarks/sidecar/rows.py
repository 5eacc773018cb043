"""
What is promised of the sidecar, and what other gateways do in the same run.

Rates are those of all workers that are asked for. What a call takes longer is measured at a load that one worker
carries with ease, and promised of a sidecar of one worker: so it starts unless told otherwise. With two workers, the
provider and who asks there are more processes than two cores have room for, and each worker, asked half as often, finds
the processor's caches in the others' hands; that, too, is told, in a row of its own.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles

from ..promises import Promise
from . import peers, servers
from .load import Took, body, full, generator, held, timed
from .servers import PATH, Server

TENSORZERO = 3300
"""Answers a second of TensorZero's gateway, uncached, once measured on two such cores; it has no package to install."""


MODERATE = 0.004
"""Seconds between two calls, whole or streamed, where the load is moderate: 250 a second."""


@dataclass(slots=True)
class Measured:
    """Everything one run found."""

    took: dict[str, list[Took]] = field(default_factory=dict[str, list[Took]])
    added_p95: list[float] = field(default_factory=list[float])
    added_first: list[float] = field(default_factory=list[float])
    """Milliseconds that a sidecar of one worker adds, which is how it starts unless told otherwise."""
    idle: float = 0.0
    """MB of the largest worker."""
    stream: float = 0.0
    """KB of each open stream."""
    missing: list[str] = field(default_factory=list[str])
    """Peers that are not installed, with the reason."""
    shared_p95: list[float] = field(default_factory=list[float])
    shared_first: list[float] = field(default_factory=list[float])
    """What is added by a sidecar with all the workers that are asked for."""

    def rate(self, what: str) -> float:
        return median(each.rate for each in self.took[what])

    def cpu(self, what: str) -> float:
        return median(each.cpu for each in self.took[what])

    def share(self, what: str, of: str) -> float:
        """The median of the rounds' ratios: what disturbs one round disturbs both of its measurements."""
        pairs = zip(self.took[what], self.took[of], strict=True)
        return median(one.rate / other.rate for one, other in pairs)


def measure(*, rounds: int = 3, seconds: float = 2.0, workers: int = 2, folder: Path | None = None) -> Measured:
    """One run. Raises RuntimeError where there is no load generator."""
    if generator() is None:
        raise RuntimeError("neither wrk nor h2load is installed")
    found = Measured()
    with ExitStack() as running, tempfile.TemporaryDirectory() as scratch:
        home = Path(scratch)
        upstream = running.enter_context(servers.provider())
        off = running.enter_context(servers.ours(upstream.url, home, workers, cached=False))
        on = running.enter_context(servers.ours(upstream.url, home, workers, cached=True))
        found.idle = max([*on.memory(), *off.memory()])
        bare = running.enter_context(servers.bare("bare", workers))
        route = running.enter_context(servers.bare("route", workers))
        jobs: list[tuple[str, Server, str, bytes | None]] = [
            ("the provider alone", upstream, PATH, body(upstream)),
            ("/health", on, "/health", None),
            ("cached", on, PATH, body(on)),
            ("bare ASGI", bare, PATH, body(bare)),
            ("a Starlette route", route, PATH, body(route)),
            ("uncached", off, PATH, body(off)),
            ("streams of 50 chunks", off, PATH, body(off, stream=True)),
        ]
        for turn in range(rounds + 1):
            for what, server, path, raw in jobs:
                took = full(server, path, raw, seconds if turn else 1, home)
                if took.failed or not took.rate:
                    raise RuntimeError(f"{what}: errors, or no answers at all")
                if turn:  # the first only warms up
                    found.took.setdefault(what, []).append(took)
        alone = running.enter_context(servers.ours(upstream.url, home, 1, cached=False))
        for stream in (False, True):
            full(alone, PATH, body(alone, stream=stream), 1, home)  # warms it up, as the others are by now
        asyncio.run(_latency(found, upstream, alone, off, rounds))
        found.stream = asyncio.run(held(off, 200))
    _peers(found, folder, rounds, seconds)
    return found


async def _latency(found: Measured, upstream: Server, alone: Server, shared: Server, rounds: int) -> None:
    """Each round asks the provider and the sidecars in turn, for whole answers and for streams at the same pace."""
    for _ in range(rounds + 2):
        for stream, at in ((False, _p95), (True, median)):
            direct, single, many = [
                at(await timed(each, body(each, stream=stream), every=MODERATE, count=400)) * 1e3
                for each in (upstream, alone, shared)
            ]
            (found.added_first if stream else found.added_p95).append(single - direct)
            (found.shared_first if stream else found.shared_p95).append(many - direct)


def _p95(seconds: list[float]) -> float:
    return quantiles(seconds, n=20)[-1]


def _peers(found: Measured, folder: Path | None, rounds: int, seconds: float) -> None:
    """One after the other, for some take all the memory there is."""
    for peer in peers.PEERS:
        with ExitStack() as running, tempfile.TemporaryDirectory() as scratch:
            try:
                upstream = running.enter_context(servers.provider())
                server = running.enter_context(peer.running(folder, upstream.url, Path(scratch)))
                home = Path(scratch)
                asyncio.run(timed(server, body(server), every=0.0, count=40))  # the first take some of them seconds
                full(server, server.path, body(server), 1.0, home)
                for _ in range(rounds):
                    took = full(server, server.path, body(server), seconds, home)
                    found.took.setdefault(peer.name, []).append(took)
                if any(took.failed for took in found.took[peer.name]):
                    found.missing.append(f"{peer.name}: it answers with errors")
                    del found.took[peer.name]
            except (RuntimeError, OSError) as error:
                found.missing.append(f"{peer.name}: {error}")


def promises(found: Measured) -> list[Promise]:
    """Each promise, judged."""
    return [*_rates(found), *_shares(found), *_others(found)]


def _rates(found: Measured) -> Iterator[Promise]:
    for what, least in (
        ("/health", 20_000), ("cached", 10_000), ("uncached", 3_500), ("streams of 50 chunks", 1_500)
    ):  # fmt: skip
        rate = found.rate(what)
        measured = f"{rate:,.0f} a second, {found.cpu(what):.0f} µs CPU each"
        yield Promise(f"sidecar: {what}", f"≥ {least:,} a second", measured, rate >= least)


def _shares(found: Measured) -> Iterator[Promise]:
    share = found.share("cached", "bare ASGI")
    yield Promise("sidecar: cached, to a bare ASGI app on the same server", "≥ 0.6", f"{share:.2f}", share >= 0.6)
    # No promise: it only tells what a route of the framework costs beside the bare app.
    share = found.share("cached", "a Starlette route")
    yield Promise("sidecar: cached, to the same app as a Starlette route", "told beside it", f"{share:.2f}", True)
    for peer in peers.PEERS:
        if peer.promised and peer.name in found.took:
            times = found.rate("uncached") / found.rate(peer.name)
            measured = f"{times:.1f} times its {found.rate(peer.name):,.0f} a second"
            yield Promise(f"sidecar: uncached, to {peer.name}", "> 1", measured, times > 1)
    rate = found.rate("uncached")
    what = f"sidecar: uncached, to the {TENSORZERO:,} a second once measured of TensorZero's gateway"
    yield Promise(what, "> 1", f"{rate / TENSORZERO:.2f}", rate > TENSORZERO)


def _others(found: Measured) -> Iterator[Promise]:
    p95, first = median(found.added_p95), median(found.added_first)
    yield Promise("sidecar: added p95 at 250 calls a second, one worker", "≤ 1.1 ms", f"{p95:.2f} ms", p95 <= 1.1)
    yield Promise("sidecar: added to a stream's first byte, one worker", "≤ 1 ms", f"{first:.2f} ms", first <= 1)
    words = f"{median(found.shared_p95):.2f} and {median(found.shared_first):.2f} ms"
    yield Promise("sidecar: both, with all workers of this run", "told beside it", words, True)
    yield Promise("sidecar: memory of a worker, idle", "≤ 70 MB", f"{found.idle:.0f} MB", found.idle <= 70)
    yield Promise("sidecar: memory of an open stream", "≤ 100 KB", f"{found.stream:.0f} KB", found.stream <= 100)
