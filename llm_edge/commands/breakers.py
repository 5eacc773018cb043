"""`llm-edge breakers`: how a running sidecar's breakers stand, and set by hand."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlsplit

from ..errors import ConfigError
from ..exact import is_object
from .codes import FAILED, GOOD

_PATIENCE = 10.0
"""Seconds for an answer."""
_LARGEST = 4 * 2**20


def add(commands: Any) -> None:
    """The options of the command."""
    breakers = commands.add_parser(
        "breakers",
        help="look at a sidecar's breakers, and set them by hand",
        description="Lists the breakers of a running sidecar, or sets one: open takes a target out of service until"
        " told otherwise, off lets every call pass, closed ends either. The key of an admin stands in LLM_EDGE_KEY.",
    )
    breakers.add_argument("target", nargs="?", help="provider/model (default: all)")
    breakers.add_argument("state", nargs="?", choices=["open", "closed", "off"], help="what to set it to")
    breakers.add_argument(
        "--url", default="http://127.0.0.1:8080", help="the sidecar's address (default: http://127.0.0.1:8080)"
    )
    breakers.add_argument("--json", action="store_true", help="print JSON")


def run(options: argparse.Namespace, env: Mapping[str, str]) -> int:
    """Prints how they stand, or the one that was set; 1 when the sidecar refuses. Raises ConfigError."""
    url: str = options.url
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname:
        raise ConfigError("--url: is no address of a sidecar. Write it as in http://127.0.0.1:8080.")
    path = "/admin/breakers" + (f"/{quote(options.target)}" if options.state else "")
    status, said = _asked(url.rstrip("/") + path, env.get("LLM_EDGE_KEY", ""), options.state)
    if status != 200:
        print(f"llm-edge: the sidecar refuses ({status}): {_why(said)}", file=sys.stderr)
        return FAILED
    states: Any = {said["target"]: said["state"]} if options.state else said["breakers"]
    if options.target and not options.state:
        if options.target not in states:
            print(f"llm-edge: {options.target} has not been asked yet; its breaker is closed")
            return GOOD
        states = {options.target: states[options.target]}
    print(json.dumps(states) if options.json else "\n".join(_table(states)))
    return GOOD


def _asked(url: str, key: str, state: str | None) -> tuple[int, Any]:
    import urllib.error
    import urllib.request

    body = None if state is None else json.dumps({"state": state}).encode()
    request = urllib.request.Request(url, body, method="GET" if state is None else "PUT")  # noqa: S310  http(s), see above
    request.add_header("content-type", "application/json")
    if key:
        request.add_header("authorization", f"Bearer {key}")
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE) as answer:  # noqa: S310  as above
            status, said = answer.status, answer.read(_LARGEST)
    except urllib.error.HTTPError as error:
        with error:
            status, said = error.code, error.read(_LARGEST)
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise ConfigError(f"{url} cannot be asked: {reason}.") from None
    try:
        return status, json.loads(said)
    except ValueError:
        raise ConfigError(f"{url} does not answer as a sidecar does ({status}). Is it the right address?") from None


def _why(said: Any) -> str:
    error = said.get("error") if is_object(said) else None
    return str(error.get("message", "")) if is_object(error) else "it does not say why"


def _table(states: Mapping[str, str]) -> list[str]:
    if not states:
        return ["no target has been asked yet"]
    width = max(map(len, states))
    return [f"{name:{width}}  {state}" for name, state in sorted(states.items())]
