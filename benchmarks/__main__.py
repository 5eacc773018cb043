"""Measures llm_edge beside what it stands on, and writes the results. Everything by default; see `--help`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from . import dialects, footprint, inside, kept as cache, report, rounds, telling, traffic
from .contenders import CONTENDERS
from .peers import PEERS
from .promises import Promise, kept, promises, translating

RESULTS = Path(__file__).parent / "results"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer rounds, at most 32 calls at once")
    parser.add_argument("--only", metavar="NAMES", help="contenders, by name: " + ", ".join([*CONTENDERS, *PEERS]))
    parser.add_argument(
        "--peers", nargs="?", const="", metavar="DIR", help="other gateways too; DIR is where they are installed"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the results go")
    parser.add_argument("--check", action="store_true", help="exit with 1 when a promise is not kept")
    options = parser.parse_args()
    names = [*CONTENDERS, *(PEERS if options.peers is not None else ())]
    if options.only:
        names = options.only.split(",")
        unknown = set(names) - {*CONTENDERS, *PEERS}
        if unknown:
            parser.error(f"nobody here is called {', '.join(sorted(unknown))}")
    print("Before the first call, and inside the chain...", file=sys.stderr, flush=True)
    foot = footprint.measure()
    hits = {colour: inside.hit(colour) for colour in ("sync", "async")}
    chunks = {colour: inside.chunk(colour) for colour in ("sync", "async")}
    peers = options.peers or None
    between = cache.measure(peers) + traffic.measure() + telling.measure() + translating(dialects.measure(peers))
    print("Calls...", file=sys.stderr, flush=True)
    results = rounds.measure(names, quick=options.quick, peers_folder=options.peers or None)
    rows = [*promises(results, hits, chunks, foot), *between]
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "results.md").write_text(report.page(rows, results, foot))
    (options.out / "results.json").write_text(report.data(rows, results, foot))
    report.picture(results, options.out / "results.png")
    show(rows)
    return 1 if options.check and not kept(rows) else 0


def show(rows: list[Promise]) -> None:
    width = max(len(row.what) for row in rows)
    for row in rows:
        print(f"{'yes' if row.kept else 'NO ':3}  {row.what:{width}}  {row.measured}  ({row.target})")


if __name__ == "__main__":
    sys.exit(main())
