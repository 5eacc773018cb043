"""
Scripted providers for tests: the answers and the faults of an LLM API, without one.

A `Provider` plays a script, as a transport for httpx2 and httpx or as a real server on a
loopback socket, and remembers what it was asked. It never judges the app's requests: it
answers what its script says, also to requests a real provider would refuse.

Names load when first used, so that the pytest plugin costs a test run nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .call import Call as Call, Headers as Headers
    from .cassette import Cassette as Cassette
    from .certificates import Certificates as Certificates
    from .provider import Provider as Provider
    from .says import ToolCall as ToolCall, tool_call as tool_call
    from .server import Server as Server, nobody_listens as nobody_listens
    from .steps import (
        Step as Step,
        answer as answer,
        embeddings as embeddings,
        events as events,
        hang_up as hang_up,
        html as html,
        json_body as json_body,
        raw as raw,
        redirect as redirect,
        refused as refused,
        status as status,
        stream as stream,
    )

_HOMES = {
    "Call": "call",
    "Headers": "call",
    "Cassette": "cassette",
    "Certificates": "certificates",
    "Provider": "provider",
    "Server": "server",
    "Step": "steps",
    "ToolCall": "says",
    "answer": "steps",
    "embeddings": "steps",
    "events": "steps",
    "hang_up": "steps",
    "html": "steps",
    "json_body": "steps",
    "nobody_listens": "server",
    "raw": "steps",
    "redirect": "steps",
    "refused": "steps",
    "status": "steps",
    "stream": "steps",
    "tool_call": "says",
}

__all__ = [
    "Call",
    "Cassette",
    "Certificates",
    "Headers",
    "Provider",
    "Server",
    "Step",
    "ToolCall",
    "answer",
    "embeddings",
    "events",
    "hang_up",
    "html",
    "json_body",
    "nobody_listens",
    "raw",
    "redirect",
    "refused",
    "status",
    "stream",
    "tool_call",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
