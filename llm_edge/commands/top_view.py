"""What `llm-edge top` shows, line by line."""

from __future__ import annotations

from collections.abc import Iterator

from ..telemetry.overview import ModelLine, Overview

_MOST = 30
"""Models that are shown."""


def lines(found: Overview, source: str) -> Iterator[str]:
    """The whole view."""
    span = "since its process began" if found.seconds is None else f"in the last {found.seconds:.1f} s"
    yield f"llm_edge  {source}  {span}"
    yield ""
    yield (
        f"calls     {_rate(found.rate)}  {found.calls:.0f} in all, failed {_share(found.failed)},"
        f" p95 {_time(found.p95)}, {found.under_way:.0f} under way, {found.streams:.0f} streams"
    )
    yield (
        f"cache     hit rate {_share(found.hit_rate)}, {found.hits:.0f} hits in all, {found.entries:.0f} answers kept"
        f" ({_size(found.bytes)}), saved ${found.saved:.4f}"
    )
    hourly = "" if found.usd_an_hour is None else f", ${found.usd_an_hour:.4f} an hour"
    yield f"cost      ${found.usd:.4f} in all{hourly}; {found.unpriced:.0f} calls without a price"
    yield (
        f"trouble   {found.retries:.0f} retries, {found.fallbacks:.0f} fallbacks, {found.refused:.0f} refused here,"
        f" {found.store_errors:.0f} of stores"
    )
    yield f"overhead  p50 {_time(found.overhead[0])}, p95 {_time(found.overhead[1])}"
    yield ""
    yield (
        f"{'model':<40} {'calls/s':>8} {'calls':>9} {'failed':>7} {'p95':>9} {'tokens':>11} {'usd':>10} {'usd/h':>9}"
        f" breaker"
    )
    for line in found.models[:_MOST]:
        yield _model(line)
    if len(found.models) > _MOST:
        yield f"... and {len(found.models) - _MOST} more"
    if found.budgets:
        yield ""
        yield f"{'budget':<40} used"
        for name, share in found.budgets:
            yield f"{_plain(name, 40):<40} {share:>5.0%} {'#' * min(round(share * 20), 20)}"


def _model(line: ModelLine) -> str:
    return (
        f"{_plain(line.name, 40):<40} {_number(line.rate, 1):>8} {line.calls:>9.0f} {_share(line.failed):>7}"
        f" {_time(line.p95):>9} {line.tokens:>11.0f} {line.usd:>10.4f} {_number(line.usd_an_hour, 3):>9} {line.breaker}"
    ).rstrip()


def _plain(text: str, most: int) -> str:
    """A name from a page, with nothing in it that a terminal would obey."""
    return "".join(each if each.isprintable() else "?" for each in text)[:most]


def _rate(value: float | None) -> str:
    return f"{_number(value, 1)}/s" if value is not None else "-"


def _number(value: float | None, digits: int) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value * 100:.1f}%"


def _time(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    if seconds < 1e-3:
        return f"{seconds * 1e6:.0f} us"
    return f"{seconds * 1e3:.1f} ms" if seconds < 1 else f"{seconds:.2f} s"


def _size(amount: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if amount < 1024:
            return f"{amount:.0f} {unit}"
        amount /= 1024
    return f"{amount:.1f} GiB"
