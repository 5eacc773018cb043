"""The `llm-edge` command. It prints and exits; what it knows, it asks of the library."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping, Sequence

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


def parser() -> argparse.ArgumentParser:
    """The words and options of all commands."""
    words = argparse.ArgumentParser(prog="llm-edge", description="An LLM gateway inside the app's own process.")
    words.add_argument("--version", action="version", version=f"llm-edge {__version__}")
    commands = words.add_subparsers(dest="command", metavar="COMMAND")
    for command in COMMANDS.values():
        command.add(commands)
    return words
