"""The `llm-edge` command. It prints and exits; what it knows, it asks of the library."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from . import __version__
from .commands import COMMANDS
from .commands.codes import BAD
from .errors import ConfigError, InvalidRequest, Rejected


def main(arguments: Sequence[str] | None = None, env: Mapping[str, str] | None = None) -> int:
    """Runs one command and gives the exit code: 0 when all is well, 1 when calls failed, 2 when it cannot begin."""
    words = parser()
    options = words.parse_args(arguments)
    if options.command is None:
        words.print_help(sys.stderr)
        return BAD
    try:
        return COMMANDS[options.command].run(options, os.environ if env is None else env)
    except (ConfigError, InvalidRequest, Rejected) as error:
        print(f"llm-edge: {error}", file=sys.stderr)
        return BAD


class Words(argparse.ArgumentParser):
    """Tells what is one word too many beside its own usage; argparse leaves that to the outermost, which has none."""

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride]  # what argparse's overloads come to
        self, args: Any = None, namespace: Any = None
    ) -> tuple[Any, list[str]]:
        known, unknown = super().parse_known_args(args, namespace)
        if unknown:
            self.error(f"unrecognized arguments: {' '.join(unknown)}")
        return known, unknown


def parser() -> argparse.ArgumentParser:
    """The words and options of all commands."""
    words = Words(prog="llm-edge", description="An LLM gateway inside the app's own process.")
    words.add_argument("--version", action="version", version=f"llm-edge {__version__}")
    commands = words.add_subparsers(dest="command", metavar="COMMAND")
    for command in COMMANDS.values():
        command.add(commands)
    return words
