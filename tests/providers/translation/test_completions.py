"""Old completions as chat, chat as old completions, and embeddings in either packing."""

from __future__ import annotations

import base64
import json
import struct
from typing import Any

import httpx2
import openai
import pytest
from hypothesis import given, strategies as st
from openai.types import Completion
from openai.types.chat import ChatCompletion, ChatCompletionChunk

from llm_edge.errors import BadAnswer, InvalidRequest, StreamBroken
from llm_edge.providers.translation.completions import TRANSLATION
from llm_edge.providers.translation.embeddings import as_asked, decoded, encoded

from ..exchanges import OURS, THEIRS, WHOLE_STREAMS, Exchange
from .openai_kit import KEY, completion_of_sdk, delta, exchange, put_together, read, singly, sse, write

ANSWERS = [each for each in OURS + THEIRS if each.dialect.name == "openai.completions" and not each.stream]
STREAMS = [each for each in WHOLE_STREAMS if each.dialect.name == "openai.completions"]
TOKEN = {
    "token": "Hi",
    "bytes": [72, 105],
    "logprob": -0.5,
    "top_logprobs": [{"token": "Yo", "bytes": [89, 111], "logprob": -1.0}],
}


@pytest.mark.parametrize("each", ANSWERS, ids=str)
def test_a_recorded_answer_goes_to_chat_and_back(each: Exchange) -> None:
    raw = json.loads(each.content)
    unified = TRANSLATION.answer_to_chat(raw, exchange())
    ChatCompletion.model_validate(unified)
    again = TRANSLATION.answer_from_chat(unified, exchange())
    Completion.model_validate(again)
    assert again == raw


@pytest.mark.parametrize("each", STREAMS, ids=str)
def test_a_stream_goes_to_chat_and_back_however_it_is_cut(each: Exchange) -> None:
    chunks = read(TRANSLATION, [each.content])
    assert read(TRANSLATION, singly(each.content)) == chunks
    for chunk in chunks:
        ChatCompletionChunk.model_validate(chunk)
    told = completion_of_sdk(write(TRANSLATION, chunks, exchange()))
    for chunk in told:
        assert chunk["object"] == "text_completion"
    assert "".join(choice["text"] for chunk in told for choice in chunk["choices"]) == put_together(chunks)["content"]


def test_a_prompt_becomes_a_users_message_and_a_prompt_again() -> None:
    request = {
        "model": "gpt-4o",
        "prompt": "Hi",
        "max_tokens": 5,
        "logprobs": 2,
        "n": 2,
        "stop": ["x"],
        "temperature": 0,
    }
    facts = exchange()
    chat = TRANSLATION.request_to_chat(request, facts)
    assert chat["messages"] == [{"role": "user", "content": "Hi"}]
    assert (chat["logprobs"], chat["top_logprobs"], chat["max_completion_tokens"]) == (True, 2, 5)
    assert TRANSLATION.request_from_chat(chat, facts) == request


@pytest.mark.parametrize(
    ("field", "value"),
    [("prompt", [1, 2]), ("prompt", [[1]]), ("prompt", ["a", "b"]), ("suffix", "x"), ("echo", True), ("prompt", None)],
)
def test_what_no_chat_can_do_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidRequest, match=f"`{field}`"):
        TRANSLATION.request_to_chat({"model": "m", "prompt": "x", field: value}, exchange())


def test_what_is_left_out_is_told() -> None:
    facts = exchange()
    TRANSLATION.request_to_chat({"model": "m", "prompt": ["x"], "best_of": 3, "unheard_of": 1}, facts)
    assert [change.partition("`")[2].partition("`")[0] for change in facts.changes] == [
        "prompt",
        "best_of",
        "unheard_of",
    ]


@pytest.mark.parametrize(
    "chat",
    [
        {"tools": [{"type": "function"}]},
        {"response_format": {"type": "json_object"}},
        {"messages": []},
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        {"messages": [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}]},
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
    ],
)
def test_what_no_completions_model_can_do_is_refused(chat: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        TRANSLATION.request_from_chat({"messages": [{"role": "user", "content": "x"}], **chat}, exchange())


def test_instructions_stand_before_the_prompt() -> None:
    chat = {
        "messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi"}],
        "seed": None,
        "tools": [],
    }
    assert TRANSLATION.request_from_chat(chat, exchange()) == {"model": "gpt-4o", "prompt": "Be brief.\n\nHi"}


def test_logprobs_go_to_lists_and_back() -> None:
    message = {"role": "assistant", "content": "HiHi", "refusal": None}
    choice = {
        "index": 0,
        "message": message,
        "finish_reason": "stop",
        "logprobs": {"content": [TOKEN, TOKEN], "refusal": None},
    }
    told = TRANSLATION.answer_from_chat({"id": "chatcmpl-1", "choices": [choice]}, exchange())
    Completion.model_validate(told)
    assert told["choices"][0]["logprobs"]["text_offset"] == [0, 2]
    assert TRANSLATION.answer_to_chat(told, exchange())["choices"] == [choice]


def test_streamed_logprobs_count_from_the_beginning_of_the_text() -> None:
    piece = delta(content="Hi")
    piece["choices"][0]["logprobs"] = {"content": [TOKEN], "refusal": None}
    told = completion_of_sdk(write(TRANSLATION, [piece, piece, delta(finish="length")], exchange()))
    assert [chunk["choices"][0]["logprobs"]["text_offset"] for chunk in told[:2]] == [[0], [2]]
    assert told[2]["choices"][0]["finish_reason"] == "length"


def test_usage_is_written_only_when_asked() -> None:
    chunks = [
        delta(content="Hi"),
        {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}},
    ]
    assert b"usage" not in write(TRANSLATION, chunks, exchange())
    asked = exchange(chat={"stream_options": {"include_usage": True}})
    assert write(TRANSLATION, chunks, asked).count(b'"usage":{') == 1
    assert b"cut" in TRANSLATION.writer(asked).fail(StreamBroken("cut"))


def test_a_stream_of_text_is_read_with_its_logprobs() -> None:
    lists = {"tokens": ["Hi"], "token_logprobs": [None], "top_logprobs": None, "text_offset": [0]}
    piece = {"id": "cmpl-1", "choices": [{"index": 0, "text": "Hi", "logprobs": lists, "finish_reason": None}]}
    end = {"id": "cmpl-1", "choices": [{"index": 0, "text": "", "logprobs": None, "finish_reason": "stop"}]}
    chunks = read(TRANSLATION, [sse(piece, end)])
    assert chunks[0]["choices"][0]["logprobs"]["content"][0]["token"] == "Hi"
    assert put_together(chunks)["finish"] == ["stop"]


# ------------------------------------------------------------------ embeddings


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=20))
def test_numbers_survive_being_packed(values: list[float]) -> None:
    assert decoded(encoded(values)) == values


def test_packing_is_little_endian_and_the_sdk_unpacks_it() -> None:
    assert encoded([1.5, -2.0]) == base64.b64encode(struct.pack("<2f", 1.5, -2.0)).decode()
    raw = {"object": "list", "data": [{"object": "embedding", "index": 0, "embedding": [1.5, -2.0]}], "model": "m"}
    raw["usage"] = {"prompt_tokens": 1, "total_tokens": 1}

    def answer(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json=as_asked(raw, json.loads(request.content)))

    with openai.OpenAI(**KEY, http_client=httpx2.Client(transport=httpx2.MockTransport(answer))) as client:
        assert client.embeddings.create(model="m", input="x").data[0].embedding == [1.5, -2.0]


def test_an_answer_that_is_as_asked_stays_the_same() -> None:
    packed, plain = ({"data": [{"embedding": each}]} for each in (encoded([1.0]), [1.0]))
    assert as_asked(packed, {"encoding_format": "base64"}) is packed
    assert as_asked(plain, {}) is plain
    assert as_asked(packed, {"encoding_format": "float"}) == plain
    assert as_asked(plain, {"encoding_format": "base64"}) == packed


@pytest.mark.parametrize("text", ["???", "AAA=", base64.b64encode(struct.pack("<f", float("nan"))).decode()])
def test_what_is_no_packed_embedding_is_a_bad_answer(text: str) -> None:
    with pytest.raises(BadAnswer):
        decoded(text)


@pytest.mark.parametrize("values", [[1e300], ["x"], [None]])
def test_what_is_no_32_bit_float_is_a_bad_answer(values: list[Any]) -> None:
    with pytest.raises(BadAnswer):
        encoded(values)


@pytest.mark.parametrize("each", [each for each in THEIRS if each.name.endswith("embeddings_base64")], ids=str)
def test_a_recorded_embedding_is_unpacked_and_packed_again(each: Exchange) -> None:
    raw = json.loads(each.content)
    assert as_asked(as_asked(raw, {}), {"encoding_format": "base64"}) == raw
