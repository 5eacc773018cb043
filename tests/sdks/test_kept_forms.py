"""One kept answer serves a streaming and a non-streaming ask: put together by the SDK, it is the original."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import pytest
from anthropic.types import Message
from hypothesis import HealthCheck, given, settings, strategies as st
from openai.types.chat import ChatCompletion
from openai.types.responses import Response as OpenAIResponse

from llm_edge import EdgeClient
from llm_edge.http.sender import Answer
from llm_edge.message import Body, Headers, Request, Saved
from llm_edge.policy.cacheable import fit
from llm_edge.runtime import drive
from tests.providers.exchanges import OURS, THEIRS, WHOLE_STREAMS, Exchange
from tests.providers.translation.openai_kit import chat_of_sdk, cut, plain, response_of_sdk
from tests.providers.translation.test_anthropic_streams import through_sdk

if TYPE_CHECKING:
    from llm_edge.message import Handler

SDKS: dict[str, Callable[[bytes], Any]] = {
    "openai.chat": chat_of_sdk,
    "openai.responses": response_of_sdk,
    "anthropic.messages": lambda content: through_sdk(content).to_dict(),
}
PARSED: dict[str, Callable[[bytes], Any]] = {
    "openai.chat": lambda raw: ChatCompletion.construct(**json.loads(raw)).to_dict(),
    "openai.responses": lambda raw: OpenAIResponse.construct(**json.loads(raw)).to_dict(),
    "anthropic.messages": lambda raw: Message.construct(**json.loads(raw)).to_dict(),
}
ASKS: dict[str, dict[str, Any]] = {
    "openai.chat": {"model": "m", "messages": [{"role": "user", "content": "hello"}]},
    "openai.responses": {"model": "m", "input": "hello", "store": False},
    "anthropic.messages": {"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": "hello"}]},
}


@cache
def accumulated(dialect: str, content: bytes) -> Any:
    """A stream as the SDK of its dialect puts it together; None where it cannot."""
    try:
        return plain(SDKS[dialect](content))
    except (IndexError, RuntimeError, TypeError):
        return None  # made to be hard: nameless events, choices out of order


def missing(original: Any, found: Any, path: str = "") -> list[str]:
    """Where something of the original is not found, or found otherwise."""
    if isinstance(original, dict) and isinstance(found, dict):
        return [at for name in original for at in missing(original[name], found.get(name), f"{path}.{name}")]
    if isinstance(original, list) and isinstance(found, list) and len(original) == len(found):
        pairs = enumerate(zip(original, found, strict=True))
        return [at for number, (one, other) in pairs for at in missing(one, other, f"{path}[{number}]")]
    return [] if original == found else [path]


def told_whole(each: Exchange) -> bool:
    """Whether the stream says what it used, and ended in an ordinary way."""
    watcher = each.dialect.watcher()
    watcher.feed(each.content)
    return watcher.usage is not None and bool(watcher.finished) and fit(watcher.finished)


def kept_whole(each: Exchange) -> bool:
    content = json.loads(each.content)
    finished = each.dialect.finished(content)
    return each.dialect.usage(content) is not None and bool(finished) and fit(finished)


STREAMS = [
    each
    for each in WHOLE_STREAMS
    if each.dialect.name in ASKS and told_whole(each) and accumulated(each.dialect.name, each.content)
]
WHOLES = [
    each
    for each in OURS + THEIRS
    if not each.stream and each.status == 200 and each.dialect.name in ASKS and not each.expect.get("failure")
    and kept_whole(each)
]  # fmt: skip


class Once:
    """The provider's side: answers once with these bytes, in these pieces, and never again."""

    name = "once"

    def __init__(self, kind: str, pieces: Sequence[bytes]) -> None:
        self._answers = [Answer(200, Headers([("content-type", kind)]), Saved(pieces))]

    async def __call__(self, wire: Any, patience: Any, /) -> Answer:
        return self._answers.pop()

    async def aclose(self) -> None: ...


def asked(handler: Handler, each: Exchange, *, streaming: bool) -> tuple[str, bytes]:
    name = each.dialect.name
    body = {**ASKS[name], **({"stream": True} if streaming else {})}
    if streaming and name == "openai.chat":
        body["stream_options"] = {"include_usage": True}
    request = Request(
        dialect=name, body=Body(json=body), model="m", streaming=streaming, url=f"http://given.test{each.path}"
    )

    async def run() -> bytes:
        response = await handler(request)
        if response.stream is None:
            assert response.body is not None
            return response.body.raw
        return b"".join([chunk async for chunk in response.stream])

    found = drive(run())
    return request.notes.cache, found


def over(kind: str, pieces: Sequence[bytes]) -> Handler:
    return EdgeClient(env={}).front("sync", Once(kind, pieces)).handler


def test_there_are_recorded_exchanges_of_each_dialect() -> None:
    assert {each.dialect.name for each in STREAMS + WHOLES} == set(ASKS)


@settings(max_examples=25, suppress_health_check=[HealthCheck.too_slow])
@given(st.data())
def test_a_kept_stream_serves_both_asks_however_it_was_cut(data: st.DataObject) -> None:
    each = data.draw(st.sampled_from(STREAMS))
    name = each.dialect.name
    places = data.draw(st.lists(st.integers(0, len(each.content)), max_size=12))
    handler = over("text/event-stream", cut(each.content, places))
    original = accumulated(name, each.content)
    first, again, whole = (asked(handler, each, streaming=streaming) for streaming in (True, True, False))
    assert [first[0], again[0], whole[0]] == ["MISS", "HIT", "HIT"]
    assert again[1] == first[1]
    assert accumulated(name, again[1]) == original
    # The SDK forgets what some providers add at a stream's end; the whole answer still has it.
    assert missing(original, plain(PARSED[name](whole[1]))) == []


@pytest.mark.parametrize("each", WHOLES, ids=str)
def test_a_kept_whole_answer_serves_both_asks(each: Exchange) -> None:
    name = each.dialect.name
    handler = over("application/json", [each.content])
    original = plain(PARSED[name](each.content))
    first, again, streamed = (asked(handler, each, streaming=streaming) for streaming in (False, False, True))
    assert [first[0], again[0], streamed[0]] == ["MISS", "HIT", "HIT"]
    assert again[1] == first[1]
    assert accumulated(name, streamed[1]) == original
