"""`llm-edge keys`: makes, lists, rotates and ends the keys that callers of the sidecar show."""

from __future__ import annotations

import argparse
import getpass
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ..config import TIERS, EdgeConfig
from ..errors import ConfigError
from ..runtime import ThreadClock
from ..serve.callers import CALL, PERMISSIONS
from .codes import GOOD

if TYPE_CHECKING:
    from ..serve.keys import Key


def add(commands: Any) -> None:
    """The options of the command."""
    keys = commands.add_parser(
        "keys",
        help="make, list, rotate and revoke keys for the sidecar's callers",
        description="Works on the keys where serve.auth says they are: in a database, or in a Redis. A running sidecar"
        " sees each change within a second.",
    )
    keys.add_argument("--config", metavar="FILE", help="the configuration (default: variables and defaults)")
    acts = keys.add_subparsers(dest="act", required=True, metavar="ACT")
    create = acts.add_parser("create", help="make a key and show it, this once")
    create.add_argument("--name", default="", help="what it is for")
    create.add_argument("--tenant", default="", help="whose limits and budgets it shares (default: its own)")
    create.add_argument("--tier", default="", help="the set of limits it is held to")
    create.add_argument(
        "--permission", action="append", choices=sorted(PERMISSIONS), help=f"what it may do (default: {CALL})"
    )
    create.add_argument("--model", action="append", help="a model it may ask; * stands for anything (default: all)")
    create.add_argument("--days", type=float, help="how long it opens (default: until it is revoked)")
    create.add_argument(
        "--bring", action="store_true", help="take a key that is in use elsewhere, from standard input, as it is"
    )
    acts.add_parser("list", help="all keys, without the keys themselves")
    rotate = acts.add_parser("rotate", help="make a new key in place of one, which opens a while longer")
    rotate.add_argument("id")
    rotate.add_argument("--overlap", type=float, default=24.0, metavar="HOURS", help="how long (default: 24)")
    revoke = acts.add_parser("revoke", help="end a key")
    revoke.add_argument("id")


def run(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    """Does what is asked. Raises ConfigError, or InvalidRequest for what makes no sense."""
    print("\n".join(_lines(options, env)))
    return GOOD


def _lines(options: argparse.Namespace, env: Mapping[str, str]) -> list[str]:
    try:
        from ..serve.auth import store_of
    except ImportError as error:
        raise ConfigError(f"keys need more packages ({error}): pip install 'llm_edge[serve]'") from None
    config = EdgeConfig.load(options.config, env=env, serving=True)
    store, who = store_of(config, env, ThreadClock()), f"cli:{_user()}"
    if store is None:
        raise ConfigError(
            "serve.auth.database (default): says where keys are kept, and is not set. Under [serve.auth] add the line"
            ' database = "~/.local/share/llm-edge/keys.db", and give the file with --config.'
        )
    try:
        if options.act == "create":
            text, made = store.create(
                who, name=options.name, tenant=options.tenant, tier=options.tier, days=options.days,
                permissions=options.permission or [CALL], models=options.model or [],
                brought=sys.stdin.readline().rstrip("\r\n") if options.bring else None,
            )  # fmt: skip
            if vain := _vain(config, options.tier):
                print(f"llm-edge: {vain}", file=sys.stderr)
            if options.bring:
                return [f"# {made.id} is the key that was brought"]
            return [text, f"# {made.id}, shown this once"]
        if options.act == "rotate":
            text, made = store.rotate(who, options.id, options.overlap * 3600)
            return [text, f"# {made.id}, shown this once; {options.id} opens for {options.overlap:g} h more"]
        if options.act == "revoke":
            store.revoke(who, options.id)
            return [f"{options.id} opens no more"]
        now = time.time()
        return [_line(key, now) for key in store.every()]
    finally:
        store.close()


def _line(key: Key, now: float) -> str:
    parts = [
        f"{key.id}  {key.state(now):8}  tenant {key.tenant}",
        f"tier {key.tier}" if key.tier else "",
        ",".join(key.permissions),
        f"models {','.join(key.models)}" if key.models else "",
        "" if key.expires is None else f"until {datetime.fromtimestamp(key.expires, UTC):%Y-%m-%d}",
        key.name,
    ]
    return "  ".join(filter(None, parts))


def _vain(config: EdgeConfig, tier: str) -> str:
    """Why this tier of a key counts for nothing here; empty where it does."""
    known = sorted({**TIERS, **config.tiers})
    if tier and tier not in known:
        return f"--tier: {tier} is a tier that this configuration does not have. Known are {', '.join(known)}."
    if tier and not any(limit.tier for limit in config.limits.values()):
        return '--tier: no limit has a tier, so a key\'s own counts for nothing yet. Set [limits.key] tier = "free".'
    return ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"  # a container without a user of that number
