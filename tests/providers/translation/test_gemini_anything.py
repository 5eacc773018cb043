"""Whatever stands in a request, an answer or a chunk: it is translated or refused by name, and nothing breaks."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from llm_edge.errors import BadAnswer, InvalidRequest
from llm_edge.message import Json
from llm_edge.providers.translation.gemini import REPLAY, TRANSLATION
from tests.providers.exchanges import CASES

from .gemini_kit import ANSWERS, STREAMS, candidate, exchange, whole
from .test_anthropic_anything import spoiled


def given(name: str) -> Any:
    return json.loads((CASES / "gemini" / f"{name}.translated.json").read_bytes())["given"]


def answer() -> Any:
    likely = {"chosenCandidates": [{"token": "a", "logProbability": 0}], "topCandidates": [{"candidates": []}]}
    parts = ANSWERS["thoughts.response.json"]["candidates"][0]["content"]["parts"]
    parts = [*parts, {"inlineData": {"mimeType": "image/png", "data": "iVBORw0="}}, {"functionCall": {"name": "f"}}]
    grounded = ANSWERS["grounded.response.json"]
    made = candidate(*parts, logprobsResult=likely, groundingMetadata=grounded["candidates"][0]["groundingMetadata"])
    return json.loads(json.dumps({**grounded, "candidates": [made]}))


def completion() -> Any:
    return json.loads(json.dumps(TRANSLATION.answer_to_chat(answer(), exchange())))


def frames() -> Any:
    told = [json.loads(each.split(b"data: ", 1)[1]) for each in REPLAY.events(answer(), {})]
    calls = whole(STREAMS["stream_parallel_calls.response.sse"])
    assert calls is not None
    return [*told, *(json.loads(each.split(b"data: ", 1)[1]) for each in REPLAY.events(calls, {}))]


def framed(items: list[Any]) -> list[bytes]:
    return [b"data: " + json.dumps(item).encode() + b"\r\n\r\n" for item in items]


def read(items: list[Any]) -> list[Json]:
    reader = TRANSLATION.reader(exchange())
    return [*(chunk for event in framed(items) for chunk in reader.feed(event)), *reader.end()]


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
    "request to chat": (lambda it: TRANSLATION.request_to_chat(it, exchange()), lambda: given("generate_agent")),
    "request there and back": (
        lambda it: TRANSLATION.request_from_chat(TRANSLATION.request_to_chat(it, exchange()), exchange()),
        lambda: given("generate_agent"),
    ),
    "older models": (
        lambda it: TRANSLATION.request_from_chat(it, exchange("gemini-1.5-flash")),
        lambda: given("chat_agent"),
    ),
    "answer to chat": (lambda it: TRANSLATION.answer_to_chat(it, exchange()), answer),
    "answer from chat": (lambda it: TRANSLATION.answer_from_chat(it, exchange()), completion),
    "frames": (read, frames),
    "chunks": (write, lambda: json.loads(json.dumps(read(frames())))),
    "frames kept": (keep, frames),
    "answer replayed": (lambda it: REPLAY.events(it, {}), answer),
}


@pytest.mark.parametrize("name", SUBJECTS)
def test_anything_is_translated_or_refused(name: str) -> None:
    translate, subject = SUBJECTS[name]
    assert translate(subject())
    count = refused = 0
    for each in spoiled(subject()):
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
