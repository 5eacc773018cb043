"""Copies of calls, of which the caller hears nothing."""

from __future__ import annotations

import asyncio
import logging
import threading
from typing import TYPE_CHECKING

import pytest

from llm_edge.layers.mirror import Copies, Mirror
from llm_edge.message import Handler, Request, Response, Saved

from .kit import CHUNKS, answer, call, failed, streamed

if TYPE_CHECKING:
    from tests.conftest import Colour


def sent(colour: Colour, mirror: Mirror, copies: Copies, request: Request, handler: Handler) -> None:
    """Send a copy, and wait until it is over."""

    async def send() -> None:
        mirror.send(request, "b/m", handler)
        while copies.under_way:
            if colour.name == "async":
                await asyncio.sleep(0)
            else:
                threading.Event().wait(0.001)

    colour.run(send())


def test_a_copy_has_its_own_story_and_is_read_to_its_end(colour: Colour) -> None:
    copies, request, seen, response = Copies(), call(streaming=True), list[Request](), streamed()
    heard: list[bytes] = []

    class Hears:
        def heard(self, chunk: bytes, /) -> None:
            heard.append(chunk)

        def ended(self, error: BaseException | None, /) -> None: ...

    async def other(request: Request, /) -> Response:
        seen.append(request)
        return response

    assert response.stream is not None
    response.stream.listen(Hears())
    sent(colour, Mirror(copies, colour.runtime()), copies, request, other)
    assert seen[0].body is request.body
    assert seen[0].notes is not request.notes
    assert [facts for _, _, facts in request.notes.events] == [{"asks": "b/m"}]
    assert heard == list(CHUNKS)


@pytest.mark.parametrize(("error", "level"), [(failed(), logging.DEBUG), (ValueError("a mistake"), logging.ERROR)])
def test_its_failure_is_nobodys_business_but_the_logs(
    colour: Colour, caplog: pytest.LogCaptureFixture, error: Exception, level: int
) -> None:
    async def other(request: Request, /) -> Response:
        raise error

    copies = Copies()
    with caplog.at_level(logging.DEBUG, "llm_edge"):
        sent(colour, Mirror(copies, colour.runtime()), copies, call(), other)
    assert [record.levelno for record in caplog.records if "shadow b/m failed" in record.message] == [level]


def test_too_many_copies_at_once_are_not_made(colour: Colour) -> None:
    copies, asked = Copies(most=1), list[Request]()

    async def other(request: Request, /) -> Response:
        asked.append(request)
        return answer()

    assert copies.begin()
    mirror = Mirror(copies, colour.runtime())
    request = call()
    mirror.send(request, "b/m", other)
    assert (asked, request.notes.events) == ([], [])
    copies.end()
    sent(colour, mirror, copies, request, other)
    assert len(asked) == 1


def test_a_body_that_can_be_sent_once_is_not_copied(colour: Colour) -> None:
    copies = Copies()
    Mirror(copies, colour.runtime()).send(call(upload=Saved([])), "b/m", answer)  # type: ignore[arg-type]  # never called
    assert copies.under_way == 0
