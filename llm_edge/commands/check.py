"""`llm-edge check`: a configuration, checked and shown as a whole."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from .codes import GOOD


def add(commands: Any) -> None:
    """The options of the command."""
    check = commands.add_parser(
        "check",
        help="check a configuration and print what it comes to, secrets hidden",
        description="Checks a configuration file together with the variables around it, and prints every setting,"
        " with secrets hidden and with the place of each one that is not a default.",
    )
    check.add_argument("file", nargs="?", default="edge.toml", help="the file to check (default: edge.toml)")
    check.add_argument("--environment", metavar="NAME", help="the environment to check (default: $LLM_EDGE_ENV)")
    check.add_argument(
        "--without-secrets", action="store_true", help="do not follow env: and file:, for machines without the secrets"
    )


def run(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    """Prints the configuration. Raises ConfigError when a client could not be made of it."""
    from ..chains import http_settings
    from ..config import EdgeConfig, resolve
    from ..config.trees import Path
    from ..config.writer import to_toml
    from ..http.senders import refuse
    from ..providers.table import key_env, setting_env
    from ..targets import Targets

    config = EdgeConfig.load(options.file, env=env, environment=options.environment)
    if not options.without_secrets:
        secrets = resolve(config, env, key_env(), setting_env())
        for unused in secrets.unusable.values():
            print(f"llm-edge: {unused} Nothing here uses it yet.", file=sys.stderr)
        Targets(config, secrets)
        refuse(http_settings(config, secrets))

    def place(path: Path) -> str:
        found = config.place(path)
        return "" if found == "default" else found

    print(to_toml(config, note=place), end="")
    return GOOD
