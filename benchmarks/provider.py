"""
The provider every contender asks: a process of its own that answers at once, at a few dozen microseconds of CPU.

It reads no JSON: a request that says `"stream":true` gets the stream, any other the answer. Both are made once.
"""

from __future__ import annotations

import asyncio
import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

WORDS = [f"word{number:02d} " for number in range(32)]
TEXT = "".join(WORDS)
MODEL = "gpt-5.4-mini"

_LENGTH = re.compile(rb"content-length: *([0-9]+)", re.IGNORECASE)
_STREAM = re.compile(rb'"stream": ?true')
_COMMON = {"id": "chatcmpl-0", "created": 1795000000, "model": MODEL, "system_fingerprint": None}
_USAGE = {"prompt_tokens": 200, "completion_tokens": 32, "total_tokens": 232}


def _answer() -> bytes:
    message = {"role": "assistant", "content": TEXT, "refusal": None}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
    body = _dumped({**_COMMON, "object": "chat.completion", "choices": [choice], "usage": _USAGE})
    return _head("application/json", f"content-length: {len(body)}") + body


def _stream() -> bytes:
    events = [_event(_chunk({"role": "assistant", "content": ""}))]
    events += [_event(_chunk({"content": word})) for word in WORDS]
    events.append(_event(_chunk({}, "stop")))
    events.append(_event({**_chunk({}), "choices": [], "usage": _USAGE}))
    events.append(b"data: [DONE]\n\n")
    chunks = [b"%x\r\n%b\r\n" % (len(event), event) for event in events]
    return _head("text/event-stream", "transfer-encoding: chunked") + b"".join(chunks) + b"0\r\n\r\n"


def _head(kind: str, framing: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"content-type: {kind}", "x-request-id: req_0", framing]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _chunk(delta: dict[str, str], reason: str | None = None) -> dict[str, object]:
    choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
    return {**_COMMON, "object": "chat.completion.chunk", "choices": [choice]}


def _event(data: dict[str, object]) -> bytes:
    return b"data: " + _dumped(data) + b"\n\n"


def _dumped(data: dict[str, object]) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode()


ANSWER, STREAM = _answer(), _stream()
EVENTS = [chunk for chunk in re.split(rb"\r\n[0-9a-f]+\r\n", STREAM.partition(b"\r\n\r\n")[2]) if chunk]


class Connection(asyncio.Protocol):
    """One client: a request, its answer, the next request."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is one in all but name
        self._got = b""

    def data_received(self, data: bytes) -> None:
        got = self._got + data if self._got else data
        while (head := got.find(b"\r\n\r\n")) >= 0:
            length = _LENGTH.search(got, 0, head)
            end = head + 4 + (int(length[1]) if length else 0)
            if len(got) < end:
                break
            self._transport.write(self.answer(got[head:end]))
            got = got[end:]
        self._got = got

    def answer(self, request: bytes) -> bytes:
        """What is said to a request with this body."""
        return STREAM if _STREAM.search(request) else ANSWER


async def _serve() -> None:
    bound = socket.create_server(("127.0.0.1", 0), backlog=1024)
    server = await asyncio.get_running_loop().create_server(Connection, sock=bound)
    print(f"http://127.0.0.1:{bound.getsockname()[1]}", flush=True)
    await server.serve_forever()


@contextmanager
def running() -> Iterator[str]:
    """The address of a provider that answers while the block lasts."""
    with subprocess.Popen([sys.executable, "-m", "benchmarks.provider"], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield process.stdout.readline().strip()
        finally:
            process.terminate()


if __name__ == "__main__":
    try:
        asyncio.run(_serve())
    except KeyboardInterrupt:
        pass
