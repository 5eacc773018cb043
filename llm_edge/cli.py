"""The `llm-edge` command. It prints and exits; what it knows, it asks of the library."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence

from .errors import ConfigError

GOOD, BAD = 0, 2


def main(arguments: Sequence[str] | None = None, env: Mapping[str, str] | None = None) -> int:
    """Runs one command and gives the exit code: 0 when all is well, 2 when the configuration cannot be used."""
    options = _parser().parse_args(arguments)
    try:
        return _check(options.file, options.environment, os.environ if env is None else env, options.without_secrets)
    except ConfigError as error:
        print(f"llm-edge: {error}", file=sys.stderr)
        return BAD


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="llm-edge", description="An LLM gateway inside the app's own process.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
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
    return parser


def _check(file: str, environment: str | None, env: Mapping[str, str], without_secrets: bool) -> int:
    from .config import EdgeConfig, resolve
    from .config.trees import Path
    from .config.writer import to_toml
    from .providers.table import key_env, setting_env

    config = EdgeConfig.load(file, env=env, environment=environment)
    if not without_secrets:
        for unused in resolve(config, env, key_env(), setting_env()).unusable.values():
            print(f"llm-edge: {unused} Nothing here uses it yet.", file=sys.stderr)

    def place(path: Path) -> str:
        found = config.place(path)
        return "" if found == "default" else found

    print(to_toml(config, note=place), end="")
    return GOOD
