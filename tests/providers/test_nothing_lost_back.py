"""Nothing of an answer is lost in silence: each field arrives at each kind of caller, or is told."""

from __future__ import annotations

import pytest

from llm_edge.message import Json
from llm_edge.providers.translation import untold
from llm_edge.providers.translation.core import Exchange
from llm_edge.providers.translation.table import told, translation

from .fields import ASKED
from .fields_answered import ANSWERED
from .test_nothing_lost import Path, at, changed, fields, without

PAIRS = [(provider, caller) for provider in ANSWERED for caller in ASKED if provider != caller]

NEVER = {
    "role": "there is but one who answers",
    "type": "what a thing is shows in what it holds",
    "object": "the same",
    "id": "Converse's answers have none, nor have parts elsewhere",
    "responseId": "the same",
    "model": "Converse's answers do not say",
    "modelVersion": "the same",
    "created": "only OpenAI's formats say when",
    "created_at": "the same",
    "createTime": "the same",
    "index": "of the only answer",
    "status": "of a part; the answer's own says why it ended",
    "finish_reason": "that it ended well is what is said where nothing is",
    "finishReason": "the same",
    "stop_reason": "the same",
    "stopReason": "the same",
    "total_tokens": "the sum of the others",
    "totalTokens": "the same",
    "totalTokenCount": "the same",
    "metrics": "what the provider took; `explain()` knows what the call took",
    "system_fingerprint": "of a machine",
    "service_tier": "what was billed: it stands in the call's usage",
    "serviceTier": "the same",
    "cache_write_tokens": "what a format cannot count: it stands in the call's usage",
    "reasoning_tokens": "the same",
    "output_tokens_details": "the same",
    "completion_tokens_details": "the same",
    "bytes": "of a token whose text is there",
    "tokenId": "the same",
    "expires_at": "of what is there",
    "transcript": "of a sound, where it is a text of its own",
}
SPOKEN_TWICE = {"text", "startIndex", "endIndex", "start_index", "end_index", "segment", "webSearchQueries", "domain"}
"""Where a citation stands in a text that is told in pieces."""


def back(provider: str, caller: str, answer: Json) -> tuple[Json, list[str]]:
    """What the caller gets, and what it is told."""
    into = Exchange(model="m", provider=provider.partition(".")[0], request_id="r1", created=1)
    theirs, mine = told(provider), translation(caller)
    assert theirs is not None
    assert mine is not None
    chat = theirs.answer_to_chat(answer, into)
    made = mine.answer_from_chat(chat, into)
    untold.tell(chat, caller, into)
    return made, into.changes


def is_told(pair: tuple[str, str], answer: Json, whole: tuple[Json, list[str]], path: Path) -> bool:
    """Whether what the field belongs to is told of as a whole."""
    roots = [path[:length] for length in range(1, len(path)) if isinstance(path[length - 1], str)]
    return any(back(*pair, without(answer, above))[1] != whole[1] for above in roots)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0]} for {pair[1]}")
def test_every_field_of_an_answer_arrives_or_is_told(pair: tuple[str, str]) -> None:
    lost: list[str] = []
    for answer in ANSWERED[pair[0]]:
        whole = back(*pair, answer)
        for path in fields(answer):
            named = [str(step) for step in path if isinstance(step, str)]
            if at(answer, path) in (None, [], {}) or {named[-1], named[0]} & NEVER.keys():
                continue
            if named[-1] in SPOKEN_TWICE and {"citations", "annotations", "groundingMetadata", "citationMetadata"} & {
                *named
            }:
                continue
            matters = back(*pair, without(answer, path)) != whole or back(*pair, changed(answer, path)) != whole
            if not (matters or is_told(pair, answer, whole, path)):
                lost.append(".".join(map(str, path)) + f" = {at(answer, path)!r}")
    assert lost == []


def test_a_caller_of_chat_is_told_nothing_for_it_gets_all() -> None:
    assert untold.shows_all("openai.chat")
    for provider in ANSWERED:
        if provider != "openai.chat":
            assert all(back(provider, "openai.chat", answer)[1] == [] for answer in ANSWERED[provider])


def test_what_is_left_out_of_an_answer_is_told_once() -> None:
    (answer,) = [each for each in ANSWERED["gemini.generate"] if "inlineData" in str(each)]
    assert back("gemini.generate", "anthropic.messages", answer)[1] == [
        "`choices[].message.images` was left out of the answer: its format has no place for it"
    ]
    into = Exchange()
    for _ in range(3):
        untold.tell_piece({"choices": [{"delta": {"images": [1], "content": "a"}}]}, "anthropic.messages", into)
        untold.tell_piece({"choices": [{"delta": {"content": "a"}}]}, "anthropic.messages", into)
    assert len(into.changes) == 1
