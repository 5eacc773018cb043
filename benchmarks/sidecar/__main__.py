"""Measures the sidecar under load. `--peers DIR` measures other gateways too; `peers.py` says how to install them."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from ..promises import Promise, kept
from .load import generator
from .rows import Measured, measure, promises

RESULTS = Path(__file__).parents[1] / "results"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sidecar", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each measurement")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--peers", type=Path, metavar="DIR", help="where other gateways are installed")
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the results go")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a promise is not kept")
    options = parser.parse_args()
    try:
        found = measure(
            rounds=options.rounds, seconds=options.seconds, workers=options.workers, folder=options.peers
        )  # fmt: skip
    except RuntimeError as error:
        print(f"The sidecar was not measured: {error}.", file=sys.stderr)
        return 0 if generator() is None else 1
    rows = promises(found)
    text = page(found, rows, options.workers)
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "sidecar.md").write_text(text)
    print(text)
    return 1 if options.check and not kept(rows) else 0


def page(found: Measured, rows: list[Promise], workers: int) -> str:
    """The results for people."""
    load = f", load average {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    lines = [
        "# The sidecar under load",
        "",
        f"{os.cpu_count()} cores{load}, {workers} workers; {generator()}, the provider and the sidecar share them.",
        "",
        "| | answers a second | µs of CPU each |",
        "|---|---|---|",
        *(f"| {what} | {found.rate(what):,.0f} | {found.cpu(what):.0f} |" for what in found.took),
        "",
        "| promise | target | measured | kept |",
        "|---|---|---|---|",
        *(f"| {row.what} | {row.target} | {row.measured} | {'yes' if row.kept else 'no'} |" for row in rows),
        "",
    ]
    lines += [f"Not measured: {words}." for words in found.missing]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    sys.exit(main())
