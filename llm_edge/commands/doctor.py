"""`llm-edge doctor`: what is wrong between here and each provider."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from .codes import FAILED, GOOD


def add(commands: Any) -> None:
    """The options of the command."""
    doctor = commands.add_parser(
        "doctor",
        help="ask each provider one tiny question and say what is wrong",
        description="Asks each provider that is configured, or has a key in its variable, one tiny question: whether"
        " the key is taken, the model known, streaming works, the clocks agree, and what stands between. It costs a"
        " few tokens each.",
    )
    doctor.add_argument("file", nargs="?", help="the configuration (default: edge.toml, where there is one)")
    doctor.add_argument("--environment", metavar="NAME", help="the environment to use (default: $LLM_EDGE_ENV)")
    doctor.add_argument(
        "--provider", action="append", default=[], metavar="NAME", help="only this one; may be repeated"
    )
    doctor.add_argument(
        "--model", action="append", default=[], metavar="PROVIDER/MODEL",
        help="the model to ask for, in place of the one that routes name; may be repeated",
    )  # fmt: skip
    doctor.add_argument("--every", action="store_true", help="ask for every model that a route names")
    doctor.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    """Asks, and prints what was found."""
    import json
    from pathlib import Path

    from ..config import EdgeConfig
    from ..doctor.examine import examine
    from ..doctor.findings import as_json, as_text

    file = options.file or ("edge.toml" if Path("edge.toml").is_file() else None)
    config = EdgeConfig.load(file, env=env, environment=options.environment)
    found = examine(config, env, only=options.provider, models=options.model, every=options.every)
    told = as_json(found)
    print(json.dumps(told, indent=2) if options.json else "\n".join(as_text(found)))
    return GOOD if told["well"] else FAILED
