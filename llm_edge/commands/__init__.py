"""
What `llm-edge` can do, one module for each command.

Each has `add(commands)`, which tells argparse of its options, and `run(options, env)`, which does it and gives the
exit code. What a command needs is imported where it runs, so that `llm-edge --help` stays quick.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from . import (
    breakers,
    cache,
    check,
    doctor,
    health,
    import_,
    keys,
    map,  # noqa: A004  the command is called so
    serve,
    spend,
    top,
)

Commands: TypeAlias = Any  # argparse keeps the type of its subparsers to itself


@dataclass(frozen=True, slots=True)
class Command:
    """One of the words after `llm-edge`."""

    add: Callable[[Commands], None]
    run: Callable[[argparse.Namespace, Mapping[str, str]], int]


COMMANDS: dict[str, Command] = {
    "breakers": Command(breakers.add, breakers.run),
    "cache": Command(cache.add, cache.run),
    "check": Command(check.add, check.run),
    "doctor": Command(doctor.add, doctor.run),
    "health": Command(health.add, health.run),
    "import": Command(import_.add, import_.run),
    "keys": Command(keys.add, keys.run),
    "map": Command(map.add, map.run),
    "serve": Command(serve.add, serve.run),
    "spend": Command(spend.add, spend.run),
    "top": Command(top.add, top.run),
}
