"""`llm-edge serve`: the sidecar."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from ..serve.__main__ import add_options, serve


def add(commands: Any) -> None:
    """The options of the command."""
    add_options(
        commands.add_parser("serve", help="run the sidecar", description="Serves the gateway over HTTP until stopped.")
    )


def run(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    """Serves until told to stop; the sidecar reads the process's own environment."""
    return serve(options)
