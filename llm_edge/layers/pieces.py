"""
A call that a provider takes in pieces only: embeddings of many texts, where its model embeds one at a time.

The pieces go one after the other. Above, they are one attempt: what each used is added up, and the first to fail
fails them all.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ..message import Body, Handler, Json, Request, Response
from ..notes import Attempt
from ..providers.cargo import add, count, mapping, objects
from ..providers.translation import frames
from ..providers.translation.core import Exchange, Told


async def in_pieces(
    request: Request, handler: Handler, provider: Told, exchange: Exchange, pieces: Sequence[Json], target: str
) -> tuple[Response, Json]:
    """The last response, and the unified answer to all pieces. Raises what asking raises."""
    notes, asked = request.notes, exchange.chat
    begun = len(notes.attempts)
    answers: list[Json] = []
    response: Response | None = None
    try:
        for piece in pieces:
            exchange.chat = piece
            made = provider.request_from_chat(piece, exchange)
            response = await handler(replace(request, dialect=provider.dialect, body=Body(frames.dump(made), made)))
            assert response.body is not None, "embeddings come whole"
            answers.append(provider.answer_to_chat(response.body.json, exchange))
    finally:
        exchange.chat = asked
        mine = [each for each in notes.attempts[begun:] if each.target == target]
        if mine:
            _one(mine)
            notes.attempts[begun:] = [each for each in notes.attempts[begun:] if each not in mine[1:]]
            notes.usage = mine[0].usage
    assert response is not None, "there was a piece"
    return response, _joined(answers)


def _one(attempts: list[Attempt]) -> None:
    """Makes the first of them the whole: begun with the first, ended as the last."""
    first, last = attempts[0], attempts[-1]
    used = [each.usage for each in attempts if each.usage is not None]
    first.ended, first.outcome, first.status = last.ended, last.outcome, last.status
    first.usage = _sum(used) if used else None
    first.free = all(each.free for each in attempts)


def _sum(used: Sequence[Any]) -> dict[str, Any]:
    tokens = add(*(count(mapping({**each}).get("prompt_tokens")) for each in used))
    guessed = {"estimated": True} if any("estimated" in each for each in used) else {}
    return {"prompt_tokens": tokens, "total_tokens": tokens, **guessed}


def _joined(answers: Sequence[Json]) -> Json:
    data = [item for answer in answers for item in objects(answer.get("data"))]
    numbered = [{**item, "index": index} for index, item in enumerate(data)]
    return {**answers[0], "data": numbered, "usage": _sum([mapping(answer.get("usage")) for answer in answers])}
