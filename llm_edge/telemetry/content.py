"""What was asked and answered, for those who are allowed to see it: a stream is put together again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ..message import Json, Request, Response

MOST: Final = 1 << 20
"""Bytes of a stream that are kept for it; of a longer one nothing is told."""


class Content:
    """One call's. `whole` puts the bytes of a stream together: dialect and bytes in, the answer out."""

    __slots__ = ("_answer", "_heard", "_size", "_whole")

    def __init__(self, whole: Callable[[str, bytes], Json | None]) -> None:
        self._whole = whole
        self._answer: Response | None = None
        self._heard: list[bytes] = []
        self._size = 0

    def listen(self, response: Response | None) -> None:
        """Remember the answer."""
        self._answer = response
        if response is not None and response.stream is not None:
            response.stream.listen(self)

    def heard(self, chunk: bytes, /) -> None:
        self._size += len(chunk)
        if self._size <= MOST:
            self._heard.append(chunk)
        else:
            self._heard.clear()

    def ended(self, error: BaseException | None, /) -> None: ...

    @staticmethod
    def asked(request: Request) -> Any:
        """The prompt, as its dialect has it; None where there is none."""
        try:
            body = request.body.json
        except ValueError:
            return None
        return body.get("messages") or body.get("input") or body.get("contents") or body.get("prompt")

    def answer(self, request: Request) -> Json | None:
        """The whole answer; None when there was none, or a stream that cannot be put together."""
        response = self._answer
        if response is None:
            return None
        try:
            if response.body is not None:
                return response.body.json
            return self._whole(request.dialect, b"".join(self._heard)) if self._heard else None
        except Exception:
            return None  # a provider's answer may be odd in any way; then nothing is told of it


NO_CONTENT: Final = Content(lambda dialect, heard: None)
