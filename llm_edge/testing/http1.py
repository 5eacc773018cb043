"""Reads HTTP/1.1 requests out of bytes: as much as a test server needs, and no socket."""

from __future__ import annotations

from .call import Asked


class BadRequest(Exception):
    """What came is not HTTP/1.1."""


class RequestReader:
    """Feed it bytes in any pieces; it gives back whole requests."""

    def __init__(self, origin: str) -> None:
        self._origin = origin
        self._buffer = bytearray()
        self._head: tuple[str, str, tuple[tuple[str, str], ...], bool] | None = None
        self.expects_continue = False
        """The client waits for `100 Continue` before it sends the body."""

    def feed(self, data: bytes) -> None:
        self._buffer += data

    def next(self) -> Asked | None:
        """The next whole request, or None until more has come. Raises BadRequest."""
        if self._head is None and not self._read_head():
            return None
        assert self._head is not None
        method, target, headers, keep_alive = self._head
        body = self._read_body({name.lower(): value for name, value in headers})
        if body is None:
            return None
        self._head = None
        self.expects_continue = False
        origin = self._origin
        if target.startswith(("http://", "https://")):  # a client that takes us for its proxy
            scheme, _, rest = target.partition("://")
            host, slash, path = rest.partition("/")
            origin, target = f"{scheme}://{host}", slash + path or "/"
        return Asked(method=method, target=target, headers=headers, body=body, origin=origin, keep_alive=keep_alive)

    def _read_head(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        lines = bytes(self._buffer[:end]).decode("latin-1").split("\r\n")
        del self._buffer[: end + 4]
        words = lines[0].split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            raise BadRequest(f"not an HTTP/1.1 request line: {lines[0][:60]!r}")
        headers = tuple(_header(line) for line in lines[1:])
        named = {name.lower(): value.lower() for name, value in headers}
        keep_alive = words[2] == "HTTP/1.1" and "close" not in named.get("connection", "")
        self.expects_continue = named.get("expect") == "100-continue"
        self._head = (words[0], words[1], headers, keep_alive)
        return True

    def _read_body(self, headers: dict[str, str]) -> bytes | None:
        if "chunked" in headers.get("transfer-encoding", "").lower():
            return self._read_chunks()
        try:
            length = int(headers.get("content-length", "0"))
        except ValueError:
            raise BadRequest(f"content-length is no number: {headers['content-length']!r}") from None
        if len(self._buffer) < length:
            return None
        body = bytes(self._buffer[:length])
        del self._buffer[:length]
        return body

    def _read_chunks(self) -> bytes | None:
        body, at = bytearray(), 0
        while True:
            line_end = self._buffer.find(b"\r\n", at)
            if line_end < 0:
                return None
            try:
                size = int(self._buffer[at:line_end].split(b";")[0], 16)
            except ValueError:
                raise BadRequest("a chunk has no size") from None
            start = line_end + 2
            if len(self._buffer) < start + size + 2:
                return None
            body += self._buffer[start : start + size]
            at = start + size + 2
            if size == 0:
                del self._buffer[:at]
                return bytes(body)


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise BadRequest(f"a header line without a colon: {line[:20]!r}")
    return name, value.strip()
