"""`python -m tests.chaos`: load, faults and thousands of seeds; ends with 1 when an invariant broke."""

from __future__ import annotations

import argparse
import sys
import time

from .memory import everybody_is_new
from .scenes import SCENES, play
from .simulation import INVARIANTS, simulate


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seeds", type=int, default=2000, help="worlds to simulate (default: 2000)")
    parser.add_argument("--seed", type=int, help="the first of them; a run tells the seed of each breach")
    parser.add_argument("--scale", type=float, default=1.0, help="how large the scenes are (default: 1)")
    options = parser.parse_args()
    first = int(time.time()) if options.seed is None else options.seed
    breaches: list[str] = []

    print(f"{options.seeds} worlds on virtual time, from seed {first}")
    began = time.perf_counter()
    report = simulate(range(first, first + options.seeds))
    print(f"  {report.outcomes.total()} calls, {report.upstream.total()} upstream, {time.perf_counter() - began:.0f} s")
    for name, words in INVARIANTS.items():
        broken = sum(f": {name} (" in breach for breach in report.breaches)
        print(f"  {name:4} {words:70} checked {report.checked[name]:8,}  broken {broken}")
    print(f"  ends: {dict(report.outcomes.most_common())}")
    breaches += report.breaches

    for scene in [*SCENES, everybody_is_new]:
        outcome = play(scene, options.scale)
        print(f"{outcome.name}")
        ends = dict(outcome.ends.most_common())
        print(f"  {outcome.asked:,} calls, {outcome.answered:.2%} answered, slowest {outcome.slowest:.2f} s; {ends}")
        breaches += outcome.breaches

    for breach in breaches[:50]:
        print(f"BROKEN {breach}")
    print(f"{len(breaches)} broken")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main())
