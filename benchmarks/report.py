"""The results as a page, as data and as a picture."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from .contenders import CONTENDERS
from .footprint import Footprint
from .peers import PEERS
from .promises import Promise
from .rounds import Cell, Results, typical

LABELS = {name: contender.label for name, contender in {**CONTENDERS, **PEERS}.items()}
_PACKAGES = ("llm_edge", "openai", "httpx2", "pyreqwest", "httptools", "orjson", "pydantic", "moka-py")


def facts() -> dict[str, str]:
    """The machine and the versions; nothing that names a place or a person."""
    found = {"cores": str(os.cpu_count()), "python": platform.python_version(), "system": platform.system()}
    if hasattr(os, "getloadavg"):  # others may work on this machine, too
        found["load average"] = f"{os.getloadavg()[0]:.1f}"
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def page(rows: list[Promise], results: Results, foot: Footprint) -> str:
    """The page for people."""
    lines = [
        "# What llm_edge costs",
        "",
        "Written by `nox -s bench`. A provider on loopback answers at once. Every contender has a process of its own",
        "and makes the same calls in interleaved rounds. Microseconds per call, the median of the rounds: wall time,",
        "then the CPU of all threads. Ratios are medians of the rounds' ratios. Our defaults are on: cache, retry,",
        "breaker, deadline. A stream has 35 events. `no gateway` is a transport that only sends, by pyreqwest: under",
        "an SDK nothing costs less.",
        "",
        ", ".join(f"{name} {value}" for name, value in facts().items()) + ".",
        "",
        "## What we promise",
        "",
        "| | target | measured | kept |",
        "|---|---|---|---|",
        *(f"| {row.what} | {row.target} | {row.measured} | {'yes' if row.kept else 'no'} |" for row in rows),
        "",
    ]
    for colour in ("sync", "async"):
        for stream, cached in ((False, False), (True, False), (False, True), (True, True)):
            lines += _table(results, colour, stream, cached)
    lines += [
        "## Before the first call",
        "",
        f"`import llm_edge` takes {foot.import_ms:.0f} ms; with `EdgeClient()` it is {foot.client_ms:.0f} ms and",
        f"{foot.memory_mib:.1f} MiB over a bare interpreter.",
        "",
    ]
    return "\n".join(lines)


def _table(results: Results, colour: str, stream: bool, cached: bool) -> list[str]:
    chosen = {cell.concurrent: by_name for cell, by_name in results.items()
              if (cell.colour, cell.stream, cell.cached) == (colour, stream, cached)}  # fmt: skip
    names = list(dict.fromkeys(name for by_name in chosen.values() for name in by_name))
    if not names:
        return []
    lines = [
        f"## {colour}, {Cell(colour, 1, stream, cached).words}",
        "",
        "| | " + " | ".join(f"{concurrent} at once" for concurrent in chosen) + " |",
        "|---|" + "---:|" * len(chosen),
    ]
    for name in names:
        told = [_told(by_name, name) for by_name in chosen.values()]
        lines.append(f"| {LABELS[name]} | " + " | ".join(told) + " |")
    return [*lines, ""]


def _told(by_name: dict[str, Any], name: str) -> str:
    series = by_name.get(name)
    return f"{typical(series.wall):,.0f} / {typical(series.cpu):,.0f}" if series else "–"


def data(rows: list[Promise], results: Results, foot: Footprint) -> str:
    """Every round, for those who want to reckon themselves."""
    measured = [
        {**asdict(cell), "contender": name, "wall_us": _rounded(series.wall), "cpu_us": _rounded(series.cpu)}
        for cell, by_name in results.items()
        for name, series in by_name.items()
    ]
    whole = {"facts": facts(), "promises": [asdict(row) for row in rows], "footprint": asdict(foot), "calls": measured}
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def _rounded(values: list[float]) -> list[float]:
    return [round(value, 1) for value in values]


def picture(results: Results, file: Path) -> None:
    """CPU per call of a miss, a panel for each colour."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    colours = [colour for colour in ("sync", "async") if Cell(colour, 1) in results]
    figure, panels = pyplot.subplots(1, len(colours), figsize=(7 * len(colours), 5), squeeze=False)
    for panel, colour in zip(panels[0], colours, strict=True):
        at_once = [cell.concurrent for cell in results if cell == Cell(colour, cell.concurrent)]
        names = list(results[Cell(colour, 1)])
        for number, concurrent in enumerate(at_once):
            by_name = results[Cell(colour, concurrent)]
            places = [row + number * 0.8 / len(at_once) for row in range(len(names))]
            values = [typical(by_name[name].cpu) for name in names]
            panel.barh(places, values, height=0.8 / len(at_once), label=f"{concurrent} at once")
        panel.set_yticks([row + 0.27 for row in range(len(names))], [LABELS[name] for name in names])
        panel.invert_yaxis()
        panel.set_xlabel("CPU per call, microseconds")
        panel.set_title(f"{colour}: one chat call, not cached")
        panel.legend()
    figure.tight_layout()
    figure.savefig(file, dpi=110)
