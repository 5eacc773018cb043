"""`llm-edge health`: whether a sidecar is ready for work. For containers, which have no curl."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from .codes import FAILED, GOOD


def add(commands: Any) -> None:
    """The options of the command."""
    health = commands.add_parser(
        "health",
        help="say whether the sidecar is ready",
        description="Asks a running sidecar whether it is ready for work; exits with 1 when it is not.",
    )
    health.add_argument(
        "--url", help="where it is (default: http://127.0.0.1:$PORT, https where $TLS_CERT_PATH is set)"
    )
    health.add_argument("--timeout", type=float, default=2.0, metavar="SECONDS", help="(default: 2)")


def run(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    """Asks `/health/ready`, and prints what it says."""
    from ..serve.asked import ready

    well, words = ready(options.url or here(env), options.timeout)
    print(words, file=sys.stdout if well else sys.stderr)
    return GOOD if well else FAILED


def here(env: Mapping[str, str]) -> str:
    """Where the sidecar of this machine is, by the variables that it reads itself."""
    port = env.get("PORT") or env.get("SERVER_ADDRESS", "").rpartition(":")[2] or "8080"
    secure = env.get("TLS_CERT_PATH") and env.get("ENABLE_TLS", "true").lower() not in {"false", "0", "no", "off"}
    return f"{'https' if secure else 'http'}://127.0.0.1:{port}"
