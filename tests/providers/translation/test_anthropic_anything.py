"""Whatever stands in a request, an answer or a chunk: it is translated or refused by name, and nothing breaks."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from llm_edge.errors import BadAnswer, InvalidRequest
from llm_edge.message import Json
from llm_edge.providers.translation.anthropic import REPLAY, TRANSLATION
from llm_edge.providers.translation.core import Exchange
from tests.providers.exchanges import CASES

from .test_anthropic_streams import STREAMS

JUNK: list[Any] = [None, 0, -1, True, "", "x", [], {}, [1], [None], {"a": 1}, 1.5, [[]], {"type": "x"}, {"type": []}]


def exchange() -> Exchange:
    return Exchange(model="claude-opus-4-6", provider="anthropic", request_id="r1")


def given(name: str) -> Any:
    return json.loads((CASES / "anthropic" / f"{name}.translated.json").read_bytes())["given"]


def answer() -> Any:
    assembler = REPLAY.assembler()
    assembler.feed(STREAMS["stream_web_search.response.sse"])
    return json.loads(json.dumps(assembler.whole()))


def completion() -> Any:
    return json.loads(json.dumps(TRANSLATION.answer_to_chat(answer(), exchange())))


def events() -> Any:
    return [json.loads(each.split(b"data: ", 1)[1]) for each in REPLAY.events(answer(), {})]


def framed(items: list[Any]) -> list[bytes]:
    return [b"data: " + json.dumps(item).encode() + b"\n\n" for item in items]


def read(items: list[Any]) -> list[Json]:
    reader = TRANSLATION.reader(exchange())
    return [chunk for event in framed(items) for chunk in reader.feed(event)]


def write(chunks: list[Any]) -> bytes:
    writer = TRANSLATION.writer(exchange())
    return b"".join(writer.write(chunk) for chunk in chunks) + writer.end()


def keep(items: list[Any]) -> Json | None:
    assembler = REPLAY.assembler()
    for event in framed(items):
        assembler.feed(event)
    return assembler.whole()


SUBJECTS: dict[str, tuple[Callable[[Any], Any], Callable[[], Any]]] = {
    "request from chat": (lambda it: TRANSLATION.request_from_chat(it, exchange()), lambda: given("chat_agent")),
    "request to chat": (lambda it: TRANSLATION.request_to_chat(it, exchange()), lambda: given("messages_agent")),
    "request there and back": (
        lambda it: TRANSLATION.request_from_chat(TRANSLATION.request_to_chat(it, exchange()), exchange()),
        lambda: given("messages_agent"),
    ),
    "answer to chat": (lambda it: TRANSLATION.answer_to_chat(it, exchange()), answer),
    "answer from chat": (lambda it: TRANSLATION.answer_from_chat(it, exchange()), completion),
    "events": (read, events),
    "chunks": (write, lambda: json.loads(json.dumps(read(events())))),
    "events kept": (keep, events),
    "answer replayed": (lambda it: REPLAY.events(it, {}), answer),
}


def spoiled(value: Any) -> Iterator[Any]:
    """The value with each of its parts, one at a time, replaced by each kind of junk or left out."""
    if isinstance(value, dict):
        for name in value:
            yield {key: value[key] for key in value if key != name}
            yield from ({**value, name: junk} for junk in JUNK)
            yield from ({**value, name: inner} for inner in spoiled(value[name]))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            for inner in [*(junk for junk in JUNK if isinstance(junk, dict)), *spoiled(item)]:
                yield [*value[:index], inner, *value[index + 1 :]]


@pytest.mark.parametrize("name", SUBJECTS)
def test_anything_is_translated_or_refused(name: str) -> None:
    translate, whole = SUBJECTS[name]
    assert translate(whole())
    count = refused = 0
    for each in spoiled(whole()):
        count += 1
        try:
            translate(each)
        except (InvalidRequest, BadAnswer) as error:
            refused += 1
            assert error.message
    assert count > 100
    assert refused < count


@pytest.mark.parametrize("junk", ["x", 1, {"a": 1}, ["x"], [None]])
def test_a_list_that_is_none_is_refused_not_forgotten(junk: Any) -> None:
    for field in ("messages", "tools"):
        with pytest.raises(InvalidRequest, match=field):
            TRANSLATION.request_from_chat({"messages": [{"role": "user", "content": "a"}], field: junk}, exchange())
        with pytest.raises(InvalidRequest, match=field):
            TRANSLATION.request_to_chat({"messages": [], field: junk}, exchange())
