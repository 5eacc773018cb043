"""
What the server costs without a gateway: an app that reads, hashes, and answers from a dict; bare, or as a route.

`python -m benchmarks.sidecar.bare PORT WORKERS bare|route`
"""

from __future__ import annotations

import hashlib
import sys
from typing import Any

from granian.constants import Interfaces, Loops
from granian.log import LogLevels
from granian.server.mp import MPServer
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ..provider import ANSWER

BODY = ANSWER.partition(b"\r\n\r\n")[2]
PATH = "/v1/chat/completions"
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", str(len(BODY)).encode())]
_KEPT: dict[bytes, bytes] = {}


def _answer(raw: bytes) -> bytes:
    return _KEPT.setdefault(hashlib.sha256(raw).digest(), BODY)


async def bare(scope: Any, receive: Any, send: Any) -> None:
    message = await receive()
    raw = message["body"]
    while message.get("more_body"):
        message = await receive()
        raw += message["body"]
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": _answer(raw)})


async def routed(request: Request) -> Response:
    return Response(_answer(await request.body()), media_type="application/json")


APPS: dict[str, Any] = {"bare": bare, "route": Starlette(routes=[Route(PATH, routed, methods=["POST"])])}


def main(port: int, workers: int, which: str) -> None:
    server = MPServer(  # pyright: ignore[reportUnknownMemberType]  # one of its types is of a library not here
        which, address="127.0.0.1", port=port, workers=workers, interface=Interfaces.ASGINL, loop=Loops.uvloop,
        log_level=LogLevels.warning, backlog=1024,
    )  # fmt: skip
    server.serve(target_loader=lambda *_, **__: APPS[which], wrap_loader=False)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3])
