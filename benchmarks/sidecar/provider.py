"""
The provider behind every gateway: answers at once, with a stream of 50 events in one write, or one that never ends.

`python -m benchmarks.sidecar.provider PORT`
"""

from __future__ import annotations

import asyncio
import re
import sys

from .. import provider
from ..provider import ANSWER, Connection

CHUNKS = 50


def _stream(held: bool = False) -> bytes:
    """The other benchmarks' stream, with as many events as this one promises."""
    events = re.findall(rb"data: .*\n\n", provider.STREAM)
    first, word, last = events[:1], events[1], events[-3:]
    all_of_them = [*first, *[word] * (CHUNKS - 4), *last]
    pieces = [b"%x\r\n%b\r\n" % (len(event), event) for event in ([*first, word] if held else all_of_them)]
    head = provider.STREAM.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    return head + b"".join(pieces) + (b"" if held else b"0\r\n\r\n")


STREAM, HELD = _stream(), _stream(held=True)


class Fast(Connection):
    """One client of it."""

    def answer(self, request: bytes) -> bytes:
        if b'"stream":true' not in request:
            return ANSWER
        return HELD if b"hold" in request else STREAM


async def _serve(port: int) -> None:
    server = await asyncio.get_running_loop().create_server(Fast, "127.0.0.1", port, backlog=1024)
    await server.serve_forever()


if __name__ == "__main__":
    import uvloop  # of the extra `serve`; twice as fast

    try:
        uvloop.run(_serve(int(sys.argv[1])))
    except KeyboardInterrupt:
        pass
