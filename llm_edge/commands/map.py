"""`llm-edge map`: a file of requests in, a file of answers out."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from .codes import FAILED, GOOD, STOPPED


def add(commands: Any) -> None:
    """The options of the command."""
    bulk = commands.add_parser(
        "map",
        help="ask every request of a JSONL file, and go on where an earlier run ended",
        description="Asks every request of a JSONL file and writes one line for each answer, as OpenAI's batches do."
        " Run again, it asks only for what is not answered yet.",
    )
    bulk.add_argument("requests", help='lines such as {"model": ..., "messages": [...]}, or those of OpenAI\'s batches')
    bulk.add_argument("answers", help="where the answers go; answers that stand there are not asked for again")
    bulk.add_argument("--config", metavar="FILE", help="the configuration (default: variables and defaults)")
    bulk.add_argument("--concurrency", type=int, default=16, metavar="N", help="calls at once (default: 16)")
    bulk.add_argument("--rpm", type=float, metavar="N", help="calls begun per minute, at most")
    bulk.add_argument("--quiet", action="store_true", help="show no bar")


def run(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    """Asks them all. Raises ConfigError for a file that cannot be used, InvalidRequest for a senseless line."""
    from ..bulk.lines import lines
    from ..client import EdgeClient

    edge = EdgeClient.from_file(options.config, env) if options.config else EdgeClient.from_env(env)
    requests = lines(options.requests)
    answered = failed = 0
    with edge:
        try:
            for result in edge.map(
                requests, concurrency=options.concurrency, rpm=options.rpm, ordered=False,
                resume=options.answers, progress=not options.quiet,
            ):  # fmt: skip
                answered += result.error is None
                failed += result.error is not None
        except KeyboardInterrupt:
            print(f"llm-edge: stopped after {answered} answers; run it again to go on", file=sys.stderr)
            return STOPPED
    print(f"{answered} answered, {failed} failed", file=sys.stderr)
    return FAILED if failed else GOOD
