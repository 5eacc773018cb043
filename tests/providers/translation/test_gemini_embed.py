"""Google's embedding calls from and to OpenAI's, with numbers as a list or packed as asked."""

from __future__ import annotations

import json
from typing import Any

import pytest
from google.genai import types
from openai.types import CreateEmbeddingResponse

from llm_edge.errors import BadAnswer, InvalidRequest
from llm_edge.message import Json
from llm_edge.providers.gemini import action_of
from llm_edge.providers.translation.core import Exchange
from llm_edge.providers.translation.embeddings import encoded
from llm_edge.providers.translation.gemini_embed import TRANSLATION
from tests.providers.exchanges import RECORDED

MODEL = "gemini-embedding-001"
ANSWER = {"embeddings": [{"values": [0.5, 1.0]}, {"values": [2.0, 3.0]}]}


def exchange(provider: str = "gemini", model: str = MODEL, **facts: Any) -> Exchange:
    return Exchange(model=model, provider=provider, request_id="r1", **facts)


def asked(into: Exchange, **chat: Any) -> Json:
    into.chat = chat
    return TRANSLATION.request_from_chat(chat, into)


def answered(answer: Json, into: Exchange) -> Json:
    made = TRANSLATION.answer_to_chat(answer, into)
    if into.chat.get("encoding_format") != "base64":  # the SDK unpacks those before it checks
        CreateEmbeddingResponse.model_validate(made)
    return made


# ------------------------------------------------------------------ to Google


def test_texts_go_as_one_batch() -> None:
    body = asked(exchange(), input=["a", "b"], dimensions=8)
    assert body == {
        "requests": [
            {"model": f"models/{MODEL}", "content": {"parts": [{"text": text}]}, "outputDimensionality": 8}
            for text in "ab"
        ]
    }
    assert action_of(body) == "batchEmbedContents"


def test_vertex_asks_its_older_models_otherwise() -> None:
    body = asked(exchange("vertex"), input=["a", "b"], dimensions=8)
    assert body == {"instances": [{"content": "a"}, {"content": "b"}], "parameters": {"outputDimensionality": 8}}
    assert action_of(body) == "predict"


def test_vertex_takes_one_text_at_a_time_for_its_newer_models() -> None:
    body = asked(exchange("vertex", "gemini-embedding-2"), input="a")
    assert body == {"content": {"parts": [{"text": "a"}]}}
    assert action_of(body) == "embedContent"
    assert TRANSLATION.pieces is not None
    several = {"input": ["a", "b"], "dimensions": 8}
    into = exchange("vertex", "gemini-embedding-2")
    assert TRANSLATION.pieces(several, into) == [{"input": "a", "dimensions": 8}, {"input": "b", "dimensions": 8}]
    assert "2 calls" in into.changes[0]
    assert TRANSLATION.pieces(several, exchange("vertex")) == (several,)
    assert TRANSLATION.pieces(several, exchange("gemini", "gemini-embedding-2")) == (several,)


@pytest.mark.parametrize("given", [[1, 2], [[1, 2]], [], None, [None]])
def test_tokens_and_nothing_are_refused(given: Any) -> None:
    with pytest.raises(InvalidRequest, match="`input`"):
        asked(exchange(), input=given)


def test_what_google_has_not_is_told() -> None:
    into = exchange()
    asked(into, input="a", user="ada", encoding_format="float")
    assert into.changes == ["`user` was left out: Google's embeddings have nothing like it"]


def test_the_answer_comes_as_lists_or_packed() -> None:
    into = exchange(chat={"input": ["a", "b"]})
    assert [each["embedding"] for each in answered(ANSWER, into)["data"]] == [[0.5, 1.0], [2.0, 3.0]]
    into = exchange(chat={"input": ["a", "b"], "encoding_format": "base64"})
    assert [each["embedding"] for each in answered(ANSWER, into)["data"]] == [
        encoded([0.5, 1.0]),
        encoded([2.0, 3.0]),
    ]


def test_tokens_google_did_not_count_are_estimated_and_marked() -> None:
    made = answered(ANSWER, exchange(chat={"input": ["four", "eight..."]}))
    assert made["usage"] == {"prompt_tokens": 3, "total_tokens": 3, "estimated": True}


@pytest.mark.parametrize(
    "answer",
    [
        {"embedding": {"values": [1.0]}, "usageMetadata": {"promptTokenCount": 7}},
        {"predictions": [{"embeddings": {"values": [1.0], "statistics": {"token_count": 7}}}]},
    ],
)
def test_the_other_shapes_of_answers_are_read_with_their_counts(answer: Json) -> None:
    made = answered(answer, exchange(chat={"input": "a"}))
    assert made["data"] == [{"object": "embedding", "index": 0, "embedding": [1.0]}]
    assert made["usage"] == {"prompt_tokens": 7, "total_tokens": 7}


# ------------------------------------------------------------------ from a caller of Google's


def test_a_batch_is_a_list_of_texts() -> None:
    into = exchange()
    requests = [{"model": f"models/{MODEL}", "content": {"parts": [{"text": text}]}} for text in "ab"]
    body = {"requests": [{**each, "output_dimensionality": 8} for each in requests]}
    assert TRANSLATION.request_to_chat(body, into) == {"model": MODEL, "input": ["a", "b"], "dimensions": 8}


def test_one_text_is_answered_with_one_embedding() -> None:
    into = exchange()
    body = {"content": {"parts": [{"text": "a"}, {"text": "b"}]}, "taskType": "RETRIEVAL_QUERY"}
    assert TRANSLATION.request_to_chat(body, into)["input"] == "a\nb"
    assert "taskType" in into.changes[0]
    chat = {"data": [{"embedding": encoded([0.5])}], "usage": {"prompt_tokens": 3}}
    answer = TRANSLATION.answer_from_chat(chat, into)
    assert answer == {"embedding": {"values": [0.5]}, "usageMetadata": {"promptTokenCount": 3}}


def test_a_batch_is_answered_with_a_list() -> None:
    into = exchange(chat={"input": ["a"]})
    answer = TRANSLATION.answer_from_chat({"data": [{"embedding": [0.5]}]}, into)
    types.EmbedContentResponse.model_validate(answer)
    assert answer == {"embeddings": [{"values": [0.5]}]}


@pytest.mark.parametrize(
    "body",
    [
        {"content": {"parts": [{"inlineData": {"mimeType": "image/png", "data": ""}}]}},
        {"content": {}},
        {"requests": [{"content": {"parts": [{"text": "a"}]}}, {"content": {"parts": [{"text": "b"}]}, "title": "x"}]},
    ],
)
def test_what_openais_embeddings_cannot_say_is_refused(body: Json) -> None:
    with pytest.raises(InvalidRequest, match="`requests"):
        TRANSLATION.request_to_chat(body, exchange())


def test_what_is_no_number_is_a_bad_answer() -> None:
    with pytest.raises(BadAnswer):
        TRANSLATION.answer_from_chat({"data": [{"embedding": "!!"}]}, exchange())


def test_embeddings_do_not_stream() -> None:
    for half in (TRANSLATION.reader, TRANSLATION.writer):
        with pytest.raises(InvalidRequest, match="stream"):
            half(exchange())


def test_recorded_batches_go_there_and_back() -> None:
    for file in (RECORDED / "gemini").glob("embeddings*.request.json"):
        body = json.loads(file.read_bytes())
        into = exchange(model="gemini-embedding-2")
        assert TRANSLATION.request_from_chat(TRANSLATION.request_to_chat(body, into), into) == body
        answer = json.loads(file.with_name(file.name.replace("request", "response")).read_bytes())
        back = TRANSLATION.answer_from_chat(answered(answer, into), into)
        assert back["embeddings"] == answer["embeddings"]
