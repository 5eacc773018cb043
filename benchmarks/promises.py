"""What we promise, each with a target, what was measured, and whether it is kept."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .dialects import Cost
from .footprint import Footprint
from .rounds import Cell, Results, added, ratio


@dataclass(frozen=True, slots=True)
class Promise:
    what: str
    target: str
    measured: str
    kept: bool


def promises(results: Results, hits: dict[str, float], chunks: dict[str, float], foot: Footprint) -> list[Promise]:
    return [*_faster_than_alone(results), *_direct(results), *_portable(results), *_inside(hits, chunks), *_there(foot)]


def _faster_than_alone(results: Results) -> Iterator[Promise]:
    for cell, by_name in results.items():
        if cell.cached or cell.stream or not {"openai", "openai+edge"} <= by_name.keys():
            continue
        ours, alone = by_name["openai+edge"], by_name["openai"]
        wall, cpu = ratio(ours.wall, alone.wall), ratio(ours.cpu, alone.cpu)
        what = f"openai SDK over llm_edge to the SDK alone, a miss, {cell.colour}, {cell.concurrent} at once"
        measured = f"{wall:.2f} and {cpu:.2f}"
        if "openai+pyreqwest" in by_name:
            least = by_name["openai+pyreqwest"]
            measured += f" (no gateway: {ratio(least.wall, alone.wall):.2f} and {ratio(least.cpu, alone.cpu):.2f})"
        yield Promise(what, "≤ 0.85 of its time and CPU", measured, max(wall, cpu) <= 0.85)


def _direct(results: Results) -> Iterator[Promise]:
    for concurrent in (1, 32, 256):
        by_name = results.get(Cell("async", concurrent), {})
        if not {"edge", "httpx2"} <= by_name.keys():
            continue
        share = ratio(by_name["edge"].cpu, by_name["httpx2"].cpu)
        what = f"`achat` to a bare httpx2 call, CPU, {concurrent} at once"
        yield Promise(what, "≤ 0.30", f"{share:.2f}", share <= 0.30)
        if "tensorzero" in by_name:
            share = ratio(by_name["edge"].cpu, by_name["tensorzero"].cpu)
            what = f"`achat` to TensorZero's embedded gateway, CPU, {concurrent} at once"
            yield Promise(what, "< 1", f"{share:.2f}", share < 1)


def _portable(results: Results) -> Iterator[Promise]:
    for colour in ("sync", "async"):
        by_name = results.get(Cell(colour, 1), {})
        for ours, alone, words in (
            ("openai+edge-httpx2", "openai", "under the openai SDK"), ("edge-httpx2", "httpx2", "a direct call")
        ):  # fmt: skip
            if {ours, alone} <= by_name.keys():
                more = added(by_name[ours].cpu, by_name[alone].cpu)
                what = f"a miss on the httpx2 engine adds, {words}, {colour}"
                yield Promise(what, "≤ 100 µs CPU", f"{more:+.0f} µs", more <= 100)


def _inside(hits: dict[str, float], chunks: dict[str, float]) -> Iterator[Promise]:
    for colour, most in (("sync", 15), ("async", 25)):
        yield Promise(
            f"a hit inside the chain, 1 KB, {colour}", f"≤ {most} µs", f"{hits[colour]:.1f} µs", hits[colour] <= most
        )
    for colour in ("sync", "async"):
        took = chunks[colour]
        yield Promise(f"a streamed chunk, {colour}", "≤ 3 µs", f"{took:.1f} µs", took <= 3)


def translating(cost: Cost) -> list[Promise]:
    """What is read of a call that keeps its dialect, and what it costs to change it."""
    return [*_translating(cost)]


def _translating(cost: Cost) -> Iterator[Promise]:
    for vendor, took in cost.read.items():
        what = f"what is read of a call that keeps its dialect, {vendor}, 1 KB"
        yield Promise(what, "≤ 20 µs", f"{took:.1f} µs", took <= 20)
    for vendor, took in cost.whole.items():
        measured = f"{took:.1f} µs" + (f" (litellm {cost.peer[vendor]:.0f} µs)" if vendor in cost.peer else "")
        yield Promise(f"OpenAI chat to {vendor} and back, 1 KB", "≤ 60 µs", measured, took <= 60)
    for vendor, took in cost.chunk.items():
        yield Promise(f"a streamed chunk from {vendor} to OpenAI chat", "≤ 15 µs", f"{took:.1f} µs", took <= 15)
    for vendor, took in cost.watched.items():
        yield Promise(f"a streamed chunk of {vendor}'s, watched", "≤ 3 µs", f"{took:.1f} µs", took <= 3)


def _there(foot: Footprint) -> Iterator[Promise]:
    yield Promise("`import llm_edge`", "≤ 60 ms", f"{foot.import_ms:.0f} ms", foot.import_ms <= 60)
    yield Promise("HTTP libraries loaded by `EdgeClient()`", "none", foot.libraries or "none", not foot.libraries)
    yield Promise("memory after `EdgeClient()`", "≤ 20 MiB", f"{foot.memory_mib:.1f} MiB", foot.memory_mib <= 20)


def kept(rows: list[Promise]) -> bool:
    return all(row.kept for row in rows)
