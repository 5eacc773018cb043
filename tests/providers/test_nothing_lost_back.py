"""Nothing of an answer is lost in silence: each field arrives at each kind of caller, or is told."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest

from llm_edge.message import Json
from llm_edge.providers.translation import frames, untold
from llm_edge.providers.translation.core import Exchange, Reader
from llm_edge.providers.translation.table import replay, told, translation

from .fields import ASKED
from .fields_answered import ANSWERED
from .test_nothing_lost import Path, at, changed, fields, without

Way: TypeAlias = Callable[[str, str, Json], tuple[object, list[str]]]
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


def streamed(provider: str, caller: str, answer: Json) -> tuple[bytes, list[str]]:
    """The same of an answer that comes as a stream."""
    into = Exchange(model="m", provider=provider.partition(".")[0], request_id="r1", created=1, streaming=True)
    theirs, mine, forms = told(provider), translation(caller), replay(provider)
    assert theirs is not None
    assert mine is not None
    assert forms is not None
    into.chat = {"stream_options": {"include_usage": True}}
    reader, writer = theirs.reader(into), mine.writer(into)
    said: list[bytes] = []
    for chunks in [*map(reader.feed, forms.events(answer, {"stream": True, **into.chat})), reader.end()]:
        for chunk in chunks:
            untold.tell_piece(chunk, caller, into)
            said.append(writer.write(chunk))
    return b"".join([*said, writer.end()]), into.changes


def is_told(way: Way, pair: tuple[str, str], answer: Json, whole: tuple[object, list[str]], path: Path) -> bool:
    """Whether what the field belongs to is told of as a whole."""
    roots = [path[:length] for length in range(1, len(path)) if isinstance(path[length - 1], str)]
    return any(way(*pair, without(answer, above))[1] != whole[1] for above in roots)


WAYS: list[tuple[Way, tuple[str, str]]] = [(back, pair) for pair in PAIRS]
WAYS += [(streamed, pair) for pair in PAIRS if replay(pair[0]) is not None and pair[1] != "openai.chat"]


@pytest.mark.parametrize(("way", "pair"), WAYS, ids=lambda each: getattr(each, "__name__", None) or " for ".join(each))
def test_every_field_of_an_answer_arrives_or_is_told(way: Way, pair: tuple[str, str]) -> None:
    lost: list[str] = []
    for answer in ANSWERED[pair[0]]:
        whole = way(*pair, answer)
        for path in fields(answer):
            named = [str(step) for step in path if isinstance(step, str)]
            if at(answer, path) in (None, [], {}) or {named[-1], named[0]} & NEVER.keys():
                continue
            if named[-1] in SPOKEN_TWICE and {"citations", "annotations", "groundingMetadata", "citationMetadata"} & {
                *named
            }:
                continue
            matters = way(*pair, without(answer, path)) != whole or way(*pair, changed(answer, path)) != whole
            if not (matters or is_told(way, pair, answer, whole, path)):
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


def test_what_servers_add_to_a_choice_is_carried_to_callers_of_chat_and_told_to_others() -> None:
    choice = {"index": 0, "delta": {"content": "a"}, "finish_reason": None, "content_filter_results": {"hate": 1}}
    event = {"id": "c", "model": "m", "choices": [choice], "prompt_filter_results": [1]}
    done = {"id": "c", "model": "m", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}
    reader = told_by("openai.chat")
    chunks = [*reader.feed(b"".join(map(frames.data, (event, done)))), *reader.feed(frames.DONE)]
    assert [each["choices"][0]["content_filter_results"] for each in chunks if "stop" in str(each)] == [{"hate": 1}]
    for caller in ("anthropic.messages", "gemini.generate", "openai.responses", "bedrock.converse"):
        into = Exchange()
        for chunk in chunks:
            untold.tell_piece(chunk, caller, into)
        assert sorted(change.partition(" ")[0] for change in into.changes) == [
            "`choices[].content_filter_results`", "`prompt_filter_results`"
        ]  # fmt: skip


def test_a_second_answer_in_a_stream_is_told_where_there_is_room_for_one() -> None:
    second = {"choices": [{"index": 1, "delta": {"content": "b"}, "finish_reason": None}]}
    for caller, changes in (("anthropic.messages", 1), ("openai.responses", 1), ("gemini.generate", 0)):
        into = Exchange()
        untold.tell_piece(second, caller, into)
        untold.tell_piece(second, caller, into)
        assert len(into.changes) == changes


def told_by(provider: str) -> Reader:
    theirs = told(provider)
    assert theirs is not None
    return theirs.reader(Exchange(model="m", provider="openai", request_id="r1", created=1))
