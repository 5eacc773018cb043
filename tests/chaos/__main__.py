"""`python -m tests.chaos`: load, faults and thousands of seeds; ends with 1 when an invariant broke."""

from __future__ import annotations

import argparse
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from itertools import chain

from .disks import DISKS, live_through
from .invariants import Tally
from .memory import everybody_is_new
from .scenes import SCENES, play
from .simulation import Report, simulate


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="worlds to simulate (default: 2000)")
    parser.add_argument("--seed", type=int, help="the first of them; a run tells the seed of each breach")
    parser.add_argument("--scale", type=float, default=1.0, help="how large the scenes are (default: 1)")
    options = parser.parse_args()
    first = int(time.time()) if options.seed is None else options.seed
    whole = Tally()

    print(f"{options.seeds} worlds on virtual time, from seed {first}")
    began = time.perf_counter()
    report = _simulated(first, first + options.seeds)
    print(f"  {report.outcomes.total()} calls, {report.upstream.total()} upstream, {time.perf_counter() - began:.0f} s")
    print(f"  ends: {dict(report.outcomes.most_common())}\n{report.table()}")
    whole.add(report)

    played = (play(scene, options.scale) for scene in [*SCENES, everybody_is_new])
    for outcome in chain(played, (live_through(scene, options.scale) for scene in DISKS)):
        ends = dict(outcome.ends.most_common())
        print(f"{outcome.name}\n  {outcome.asked:,} calls, {outcome.answered:.2%} answered, ", end="")
        print(f"slowest {outcome.slowest:.2f} s, loop {outcome.lag:.2f} s late; {ends}\n{outcome.table()}", flush=True)
        whole.add(outcome)

    print(f"All together\n{whole.table()}")
    for breach in whole.breaches[:50]:
        print(f"BROKEN {breach}")
    print(f"{len(whole.breaches)} broken")
    return 1 if whole.breaches else 0


def _simulated(first: int, last: int) -> Report:
    """So many worlds, on all processors."""
    whole, parts = Report(), [range(at, min(at + 25, last)) for at in range(first, last, 25)]
    with ProcessPoolExecutor() as processes:
        for report in processes.map(simulate, parts):
            whole.add(report)
            whole.outcomes += report.outcomes
            whole.upstream += report.upstream
    return whole


if __name__ == "__main__":
    sys.exit(main())
