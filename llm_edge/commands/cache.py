"""`llm-edge cache`: looks into the second tier of the cache, empties, fills and copies it."""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from ..errors import ConfigError
from .codes import FAILED, GOOD

if TYPE_CHECKING:
    from ..client import EdgeClient


def add(commands: Any) -> None:
    """The options of the command."""
    cache = commands.add_parser(
        "cache",
        help="look into the cache on disk or in Redis, empty it, fill it, copy it",
        description="Works on the second tier that the configuration names (cache.disk or cache.redis). Processes that"
        " share it see each change within a second; what they hold in memory alone is theirs.",
    )
    cache.add_argument("--config", metavar="FILE", help="the configuration (default: variables and defaults)")
    acts = cache.add_subparsers(dest="act", required=True, metavar="ACT")
    stats = acts.add_parser("stats", help="how many answers are kept, how large, of which models")
    stats.add_argument("--json", action="store_true", help="print JSON")
    clear = acts.add_parser("clear", help="forget what has all of these, or everything")
    for name in ("tenant", "namespace", "model", "key"):
        clear.add_argument(f"--{name}")
    warm = acts.add_parser("warm", help="ask every request of a JSONL file, so that its answer is kept")
    warm.add_argument("requests", help='lines such as {"model": ..., "messages": [...]}')
    warm.add_argument("--concurrency", type=int, default=16, metavar="N", help="calls at once (default: 16)")
    warm.add_argument("--quiet", action="store_true", help="show no bar")
    acts.add_parser("export", help="write all answers to a file, signed with cache.secret").add_argument("file")
    acts.add_parser("import", help="take in what export wrote").add_argument("file")
    for act in acts.choices.values():  # where people put it as often
        act.add_argument("--config", metavar="FILE", default=argparse.SUPPRESS, help="the configuration")


def run(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    """Does what is asked. Raises ConfigError where there is no second tier, or a file cannot be used."""
    from ..client import EdgeClient

    edge = EdgeClient.from_file(options.config, env) if options.config else EdgeClient.from_env(env)
    with edge:
        if not edge.cache.shared:
            raise ConfigError(
                "cache: has no second tier, and this process has a memory of its own. Under [cache.disk] add a line"
                ' such as directory = "~/.cache/llm-edge", and give the file with --config.'
            )
        return _done(edge, options)


def _done(edge: EdgeClient, options: argparse.Namespace) -> int:
    if options.act == "stats":
        print(_stats(edge, as_json=options.json))
    elif options.act == "clear":
        if not edge.cache.clear(
            tenant=options.tenant, namespace=options.namespace, model=options.model, key=options.key
        ):
            print("llm-edge: the store cannot be told; nothing was forgotten", file=sys.stderr)
            return FAILED
    elif options.act == "warm":
        from ..bulk.lines import lines

        answered, failed = edge.cache.warm(
            lines(options.requests), concurrency=options.concurrency, progress=not options.quiet
        )
        print(f"{answered} answered, {failed} failed", file=sys.stderr)
        return FAILED if failed else GOOD
    elif options.act == "export":
        print(f"{edge.cache.export(options.file)} answers written", file=sys.stderr)
    else:
        print(f"{edge.cache.load(options.file)} answers taken in", file=sys.stderr)
    return GOOD


def _stats(edge: EdgeClient, *, as_json: bool) -> str:
    import json

    models: Counter[str] = Counter()
    size = cost = 0
    for entry in edge.cache.entries():
        models[entry.model] += 1
        size += len(entry.payload)
        cost += entry.cost or 0
    told: dict[str, Any] = {
        "entries": models.total(), "bytes": size, "cost_usd": cost / 1e9, "models": dict(models.most_common())
    }  # fmt: skip
    if as_json:
        return json.dumps(told)
    lines = [f"{told['entries']} answers, {size} bytes, {told['cost_usd']:.4f} USD to ask for again"]
    return "\n".join([*lines, *(f"{count:>8}  {model}" for model, count in models.most_common())])
