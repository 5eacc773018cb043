"""What each case of an answer means: the chat answer, or the chat chunks, that stand beside it on file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from llm_edge.message import Json
from llm_edge.providers.translation.core import Exchange as Into
from llm_edge.providers.translation.table import told

from .exchanges import CASES, OURS, Exchange

MODELS = {"anthropic": "claude-opus-4-8", "gemini": "gemini-3.8-flash", "bedrock": "us.anthropic.claude-opus-4-8"}
GOOD = [
    each
    for each in OURS
    if each.status == 200 and not each.expect.get("failure") and not each.expect.get("broken")
    and told(each.dialect.name) is not None and each.dialect.operation == "chat"
]  # fmt: skip


def means(each: Exchange, pieces: Sequence[bytes]) -> Any:
    """The answer in the chat form, or the chunks of a stream that came in these pieces."""
    theirs = told(each.dialect.name)
    assert theirs is not None
    place = each.name.partition("/")[0]
    into = Into(model=MODELS.get(place, "m"), provider=place, request_id="r1", created=1)
    if not each.stream:
        return theirs.answer_to_chat(json.loads(b"".join(pieces)), into)
    reader = theirs.reader(into)
    chunks: list[Json] = []
    for piece in pieces:
        chunks += reader.feed(piece)
    return [*chunks, *reader.end()]


@pytest.mark.parametrize("each", GOOD, ids=str)
def test_a_case_means_what_stands_beside_it(each: Exchange) -> None:
    wanted = json.loads((CASES / f"{each.name}.chat.json").read_bytes())
    found = means(each, [each.content])
    assert json.loads(json.dumps(found)) == wanted
    if each.stream:
        halves = [each.content[: len(each.content) // 2], each.content[len(each.content) // 2 :]]
        assert json.loads(json.dumps(means(each, halves))) == wanted
        for chunk in wanted:
            ChatCompletionChunk.model_validate(chunk)
    else:
        ChatCompletion.model_validate(wanted)


def test_nothing_stands_beside_a_case_that_is_no_more() -> None:
    known = {CASES / f"{each.name}.chat.json" for each in GOOD}
    assert set(CASES.glob("*/*.chat.json")) == known
    assert {file.parent.name for file in known} == {folder.name for folder in CASES.iterdir() if folder.is_dir()}
