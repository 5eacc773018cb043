"""What the workers know, added up and worked out for the dashboard."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..policy.sketch import Sketch
from .live import SLICES, SPREADS, Slice

_SHARES = (0.5, 0.95, 0.99)
ROWS = 100


def summed(told: Sequence[Mapping[str, Any]], seconds: int, time: float) -> dict[str, Any]:
    """The window up to now, its slices of so many seconds, and the calls; from what each worker has told."""
    last = int(time // seconds)
    numbers = range(last - SLICES + 1, last + 1)
    slices = {number: Slice() for number in numbers}
    whole = Slice()
    for worker in told:
        for number, part in worker["slices"].items():
            if number in slices:
                slices[number].join(part)
                whole.join(part)
    stories = sorted((story for worker in told for story in worker["stories"]), key=lambda story: -story["at"])
    under_way = [call for worker in told for call in worker["under_way"]]
    return {
        "window": {"seconds": seconds * SLICES, "step": seconds},
        "totals": _totals(whole),
        "series": _series(slices, seconds),
        "targets": _targets(whole, under_way),
        "under_way": {
            "calls": len(under_way), "streams": sum(call["stream"] for call in under_way),
            "longest": sorted(under_way, key=lambda call: -call["seconds"])[:20],
        },
        "calls": [row(story) for story in stories[:ROWS]],
    }  # fmt: skip


def _totals(whole: Slice) -> dict[str, Any]:
    return {
        "calls": whole.calls, "failed": whole.failed, "hits": whole.hits, "asked": whole.asked,
        "input_tokens": whole.input, "output_tokens": whole.output,
        "cost_usd": whole.cost / 1e9, "saved_usd": whole.saved / 1e9, "unpriced": whole.unpriced,
        **{f"{name}_ms": _percentiles(whole.spreads[name]) for name in SPREADS},
    }  # fmt: skip


def _percentiles(spread: Sketch) -> dict[str, float | None]:
    return dict(zip(("p50", "p95", "p99"), (_ms(found) for found in spread.within(*_SHARES)), strict=True))


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e3, 3)


def _series(slices: Mapping[int, Slice], seconds: int) -> dict[str, Sequence[float | None]]:
    """One column for each line of a chart; moments are the slices' beginnings, in seconds since 1970."""
    each = list(slices.values())
    took = [one.spreads["took"].within(*_SHARES) for one in each]
    return {
        "time": [number * seconds for number in slices],
        "calls": [one.calls for one in each],
        "failed": [one.failed for one in each],
        "hits": [one.hits for one in each],
        "input_tokens": [one.input for one in each],
        "output_tokens": [one.output for one in each],
        "cost_usd": [one.cost / 1e9 for one in each],
        "saved_usd": [one.saved / 1e9 for one in each],
        **{f"p{share * 100:.0f}": [_ms(one[at]) for one in took] for at, share in enumerate(_SHARES)},
    }


def _targets(whole: Slice, under_way: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    in_flight: dict[str, int] = {}
    for call in under_way:
        if call["target"]:
            in_flight[call["target"]] = in_flight.get(call["target"], 0) + 1
    made: list[dict[str, Any]] = []
    for name in sorted({*whole.targets, *in_flight}):
        (attempts, failed, cost), spread = whole.targets.get(name, ([0, 0, 0], Sketch()))
        made.append({
            "target": name, "attempts": attempts, "failed": failed, "cost_usd": cost / 1e9,
            "in_flight": in_flight.get(name, 0), "took_ms": _percentiles(spread),
        })  # fmt: skip
    return made


def row(told: Mapping[str, Any]) -> dict[str, Any]:
    """One call as a line of a table."""
    story = told["story"]
    usage: Mapping[str, Any] = story["usage"] or {}
    return {
        "n": told["n"], "at": told["at"], "tenant": told["tenant"], "status": told["status"], "stream": told["stream"],
        "id": story["request_id"], "model": story["route"] or story["model"], "operation": story["operation"],
        "target": story["target"] or (story["attempts"][-1]["target"] if story["attempts"] else None),
        "cache": story["cache"]["status"], "error": story["error"], "attempts": len(story["attempts"]),
        "ms": story["duration_ms"], "first_ms": story["first_byte_ms"], "added_ms": story["overhead_ms"],
        "input_tokens": usage.get("prompt_tokens"), "output_tokens": usage.get("completion_tokens"),
        "cost_usd": story["cost_usd"], "saved_usd": story["saved_usd"],
    }  # fmt: skip
