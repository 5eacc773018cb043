"""`llm-edge spend`: who spent what."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from .codes import GOOD


def add(commands: Any) -> None:
    """The options of the command."""
    spend = commands.add_parser(
        "spend", help="add up a usage log: who spent what", description="Adds up a usage log: who spent what."
    )
    spend.add_argument("file", nargs="?", default="usage.jsonl", help="the usage log (default: usage.jsonl)")
    spend.add_argument(
        "--by", default="tenant", choices=["tenant", "key", "user", "route", "model", "target", "day"],
        help="whose sums (default: tenant)",
    )  # fmt: skip
    spend.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    """Prints the sums."""
    import json
    from dataclasses import asdict
    from pathlib import Path

    from ..money.spend import read, summed, table

    rows = summed(read(Path(options.file)), options.by)
    if options.json:
        print(json.dumps([asdict(row) for row in rows]))
    else:
        print("\n".join(table(rows, options.by)))
    return GOOD
