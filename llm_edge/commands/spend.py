"""`llm-edge spend`: who spent what, and how budgets stand."""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .codes import FAILED, GOOD

if TYPE_CHECKING:
    from ..budgets import BudgetStanding

_BY = ("tenant", "key", "user", "route", "model", "provider", "target", "hour", "day", "month")
_ONLY = ("tenant", "key", "user", "route", "model", "target")


def add(commands: Any) -> None:
    """The options of the command."""
    spend = commands.add_parser(
        "spend",
        help="add up a usage log: who spent what",
        description="Adds up a usage log, of lines (usage.jsonl) or a database (usage.db): who spent what. With"
        " --budgets it tells how the budgets of a configuration stand, where their counts are shared.",
    )
    spend.add_argument("file", nargs="?", help="the usage log (default: that of the configuration, or usage.jsonl)")
    spend.add_argument("--by", default="tenant", choices=_BY, help="whose sums (default: tenant)")
    spend.add_argument("--since", metavar="WHEN", help="from then on: 2026-11-21, 2026-11-21T10:00, or 24h, 7d back")
    spend.add_argument("--until", metavar="WHEN", help="up to then, and without it")
    for name in _ONLY:
        spend.add_argument(f"--{name}", metavar="NAME", help=f"of this {name} alone")
    spend.add_argument("--config", metavar="FILE", help="the configuration (default: edge.toml, where there is one)")
    spend.add_argument("--budgets", action="store_true", help="how the budgets stand, in place of who spent what")
    spend.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    """Prints the sums, or the budgets."""
    return _budgets(options, env) if options.budgets else _sums(options, env)


def _sums(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    from ..money.spend import asked, summed, table
    from ..money.usage_log import read

    only = {name: value for name in _ONLY if (value := getattr(options, name)) is not None}
    question = asked(options.by, options.since, options.until, only, now=time.time())
    path = Path(options.file) if options.file else _log(options, env)
    rows = summed(read(path, question), question)
    print(json.dumps([asdict(row) for row in rows]) if options.json else "\n".join(table(rows, options.by)))
    return GOOD


def _log(options: argparse.Namespace, env: Mapping[str, str]) -> Path:
    from ..config import EdgeConfig

    file = _file(options)
    return (EdgeConfig.load(file, env=env).telemetry.usage_log if file else None) or Path("usage.jsonl")


def _file(options: argparse.Namespace) -> str | None:
    return options.config or ("edge.toml" if Path("edge.toml").is_file() else None)


def _budgets(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    from ..client import EdgeClient
    from ..config import EdgeConfig
    from ..errors import ConfigError, EdgeError

    config = EdgeConfig.load(_file(options), env=env)
    if config.store.kind == "memory":
        raise ConfigError(
            "store.kind: the budgets count in each process alone, and no other can see them. Set [store] kind ="
            ' "redis", or ask in the process: edge.budgets().'
        )
    subjects = [f"{name}:{value}" for name in _ONLY if (value := getattr(options, name)) is not None]
    with EdgeClient(config, env=env) as edge:
        try:
            found = edge.budgets(*subjects)
        except ConfigError:
            raise
        except EdgeError as error:
            print(f"llm-edge: {error}", file=sys.stderr)
            return FAILED
    print(json.dumps([asdict(each) for each in found]) if options.json else "\n".join(_standings(found)))
    return GOOD


def _standings(found: Sequence[BudgetStanding]) -> Iterator[str]:
    yield f"{'budget':<32} {'period':<7} {'limit':>12} {'spent':>12} {'reserved':>10} {'unconfirmed':>12} {'used':>6}"
    for each in found:
        name = f"{each.budget.partition(':')[0]}:{each.subject}" if each.subject else each.budget
        limit, spent, reserved, unconfirmed = (
            f"{nano / 1e9:.6f}"
            for nano in (each.limit_nano_usd, each.spent_nano_usd, each.reserved_nano_usd, each.unconfirmed_nano_usd)
        )
        yield (
            f"{name[:32]:<32} {each.period:<7} {limit:>12} {spent:>12} {reserved:>10} {unconfirmed:>12}"
            f" {each.share:>6.0%}"
        )
