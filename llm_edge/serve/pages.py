"""
The pages for people, and what they are made of: files of ours beside this module, read when they are first asked for.

No script or style stands in the pages themselves, nothing is fetched from elsewhere, and scripts may not make markup
of text: what a call or a key is named can be no more than text in them. The pages hold no numbers and no names; those
come from paths that ask for a key.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib import metadata, resources

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from .. import exact
from .problems import NoSuchPath

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self';"
    " base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script';"
    " trusted-types 'none'"
)
HEADERS = {
    "content-security-policy": _POLICY,
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
MOUNTED = "llm_edge.mounted"
"""Under which name a scope says where the sidecar is mounted."""
_KINDS = {
    "html": "text/html; charset=utf-8", "js": "text/javascript; charset=utf-8", "css": "text/css; charset=utf-8",
    "svg": "image/svg+xml", "txt": "text/plain; charset=utf-8",
}  # fmt: skip


_ASSETS = resources.files("llm_edge.serve").joinpath("assets")


@lru_cache(maxsize=64)
def _file(name: str) -> bytes:
    return _ASSETS.joinpath(name).read_bytes()


@lru_cache(maxsize=1)
def _names() -> frozenset[str]:
    """The files there are: no other is ever looked for."""
    return frozenset(each.name for each in _ASSETS.iterdir() if each.is_file())


def page(name: str, *, open_door: bool = False) -> Response:
    """One of the files as an answer."""
    raw = _file(name).replace(b'data-door="locked"', b'data-door="open"') if open_door else _file(name)
    return Response(raw, headers={**HEADERS, "content-type": _KINDS[name.rpartition(".")[2]]})


async def asset(request: Request) -> Response:
    """What a page is made of."""
    name = request.path_params["name"]
    if name not in _names():
        raise NoSuchPath("nothing is served under this path")
    return page(name)


def _version() -> str:
    """Of the package, where it is installed; a source tree on the path has none."""
    try:
        return metadata.version("llm_edge")
    except metadata.PackageNotFoundError:
        return "unreleased"


def _without_kinds(path: str) -> str:
    """A path as the description writes it: `{name:path}` is `{name}`."""
    return re.sub(r":\w+}", "}", path)


def routes(*, dashboard: bool, docs: bool, open_door: bool) -> list[BaseRoute]:
    """The pages that are switched on; they know from the start whether a key is asked for."""

    async def see_dashboard(request: Request) -> Response:
        return page("dashboard.html", open_door=open_door)

    async def see_docs(request: Request) -> Response:
        return page("docs.html", open_door=open_door)

    async def describe(request: Request) -> Response:
        # Not before it is asked for: models and their schemas take a while to make.
        from .openapi import Document

        served = frozenset(_without_kinds(route.path) for route in request.app.routes if isinstance(route, Route))
        document = Document(_version(), open_door, served | {"/health/live"})
        return Response(
            exact.write(document.written(request.scope.get(MOUNTED) or request.scope.get("root_path", ""))),
            media_type="application/json",
        )

    made: list[BaseRoute] = []
    if dashboard:
        made.append(Route("/dashboard", see_dashboard))
    if docs:
        made += [Route("/docs", see_docs), Route("/openapi.json", describe)]
    return [*made, Route("/assets/{name}", asset)] if made else []
