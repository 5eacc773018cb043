"""One log line for each call, from what stands in its notes. Prompts and answers are left out unless switched on."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from ..message import Json, Request, Response
from ..notes import Notes
from .content import NO_CONTENT, Content

if TYPE_CHECKING:
    from .redaction import Redactor

log = logging.getLogger("llm_edge.calls")

_CREDENTIALS: Final = ("authorization", "x-api-key", "api-key", "x-goog-api-key")


class Lines:
    """Listens to calls, and logs each when it is over: INFO, and WARNING for one that failed."""

    def __init__(
        self, *, content: bool, redactor: Callable[[], Redactor], whole: Callable[[str, bytes], Json | None]
    ) -> None:
        self._content, self._made, self._whole = content, redactor, whole

    @cached_property
    def _redactor(self) -> Redactor:
        return self._made()

    def begin(self, request: Request, /) -> _WithContent:
        """Listens to a call whose content is logged; for all others it is enough to be told of the end."""
        return _WithContent(self, Content(self._whole), listens=log.isEnabledFor(logging.INFO))

    def closed(self, request: Request, error: BaseException | None, time: float, /) -> None:
        """A call is over, of which nothing was heard."""
        self.line(request, NO_CONTENT)

    def line(self, request: Request, content: Content) -> None:
        """Writes the line."""
        notes = request.notes
        failed = notes.status >= 400 and notes.status != 499
        level = logging.WARNING if failed else logging.INFO
        if not log.isEnabledFor(level):
            return
        facts = facts_of(request)
        if self._content:
            facts |= self._told(request, content)
        log.log(level, "%s", _words(notes, facts), extra={**notes.about, "facts": facts})

    def _told(self, request: Request, content: Content) -> dict[str, Any]:
        """Prompt and answer, whoever formats the line: without secrets, the caller's own among them."""
        own = [value.removeprefix("Bearer ") for name in _CREDENTIALS if (value := request.headers.get(name))]
        redactors = [self._redactor, self._redactor.of(own)] if own else [self._redactor]
        told: dict[str, Any] = {}
        for name, text in (("request", content.asked(request)), ("answer", content.answer(request))):
            for redactor in redactors:
                text = redactor.value(text)
            if text is not None:
                told[name] = text
        return told


class _WithContent:
    """One call whose answer is kept until its line is written."""

    __slots__ = ("_content", "_lines", "_listens")

    def __init__(self, lines: Lines, content: Content, *, listens: bool) -> None:
        self._lines, self._content, self._listens = lines, content, listens

    def answered(self, response: Response | None, /) -> None:
        if self._listens:
            self._content.listen(response)

    def over(self, request: Request, error: BaseException | None, /) -> None:
        self._lines.line(request, self._content)


def facts_of(request: Request) -> dict[str, Any]:
    """The facts of a call that is over, as plain JSON; those that are not known are left out."""
    notes, usage = request.notes, request.notes.usage or {}
    facts: dict[str, Any] = {
        "operation": notes.operation, "model": notes.model, "route": notes.route, "target": notes.asked,
        "status": notes.status, "error": notes.error, "cache": notes.cache, "streamed": request.streaming,
        "tenant": request.controls.tenant, "attempts": len(notes.attempts), "fallbacks": notes.fallbacks,
        "duration_ms": _ms(None if notes.ended is None else notes.ended - notes.started),
        "overhead_ms": _ms(notes.overhead), "waited_ms": _ms(notes.waited or None),
        "first_byte_ms": _ms(None if notes.first_byte is None else notes.first_byte - notes.started),
        "input_tokens": usage.get("prompt_tokens"), "output_tokens": usage.get("completion_tokens"),
        "cost_usd": None if notes.cost is None else notes.cost / 1e9,
        "saved_usd": notes.saved / 1e9 if notes.saved else None,
    }  # fmt: skip
    return {name: value for name, value in facts.items() if value is not None and value != ""}


def _words(notes: Notes, facts: dict[str, Any]) -> str:
    parts = [f"{notes.operation or 'call'} {notes.model}".rstrip(), str(notes.status)]
    if notes.error:
        parts.append(notes.error)
    parts.append(f"cache {notes.cache}")
    if notes.asked:
        parts.append(f"from {notes.asked}")
    if len(notes.attempts) > 1:
        parts.append(f"{len(notes.attempts)} attempts")
    if "duration_ms" in facts:
        parts.append(f"{facts['duration_ms']:.1f} ms (llm_edge {facts.get('overhead_ms', 0.0):.1f} ms)")
    if "input_tokens" in facts:
        parts.append(f"{facts['input_tokens']} + {facts.get('output_tokens', 0)} tokens")
    if notes.cost:
        parts.append(f"${facts['cost_usd']:.6f}")
    return ", ".join(parts)


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds * 1e3, 3)
