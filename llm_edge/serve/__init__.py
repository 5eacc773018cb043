"""
The sidecar: the same chain over HTTP, for apps in other languages and for teams.

`create_app(edge)` gives an ASGI app to mount anywhere; `python -m llm_edge.serve` runs it. This room decides who may
come in and how much may come in at once; what happens to a call is the chain's affair. It will not route, cache, retry
or count anything of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .app import Sidecar as Sidecar, create_app as create_app

__all__ = ["Sidecar", "create_app"]


def __getattr__(name: str) -> object:
    # Starlette is loaded only by those who serve.
    if name in __all__:
        from . import app

        return getattr(app, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
