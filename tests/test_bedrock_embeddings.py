"""Embeddings from Bedrock's own models, Titan and Cohere's, for every caller of embeddings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from llm_edge import EdgeClient, InvalidRequest, Throttled
from llm_edge.testing import Provider, embeddings, json_body, status

from .conftest import Colour

Edges = Callable[..., EdgeClient]
TITAN = "bedrock/amazon.titan-embed-text-v2:0"
OLD = "bedrock/amazon.titan-embed-text-v1"
SIGHTED = "bedrock/amazon.titan-embed-image-v1"
COHERE = "bedrock/cohere.embed-multilingual-v3"
COHERE_4 = "bedrock/us.cohere.embed-v4:0"


@pytest.fixture
def edge(edges: Edges, provider: Provider) -> EdgeClient:
    return edges(
        providers={"bedrock": {"base_url": provider.url, "region": "us-east-1", "api_key": "k"}},
        retry={"attempts": 1},
        budgets={"global": {"usd_per_day": 5, "hard": False}},
        prices={"models": {TITAN: {"input": 20.0, "output": 0.0}}},
    )


def embed(colour: Colour, edge: EdgeClient, model: str, given: Any, **fields: Any) -> Any:
    return colour.finish((edge.embed if colour.name == "sync" else edge.aembed)(model, given, **fields))


def changes(reply: Any) -> list[str]:
    return [change for event in reply.explain()["events"] for change in event.get("changes", ())]


def test_titan_embeds_a_text(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    provider.script(embeddings([0.5, -0.25]))
    reply = embed(colour, edge, TITAN, "a text", dimensions=256)
    assert reply["data"] == [{"object": "embedding", "index": 0, "embedding": [0.5, -0.25]}]
    assert reply.usage["prompt_tokens"] == 9
    assert provider.last.path == "/model/amazon.titan-embed-text-v2:0/invoke"
    assert provider.last.json == {"inputText": "a text", "dimensions": 256}
    assert changes(reply) == []


def test_a_list_for_titan_goes_text_by_text_and_counts_as_one_attempt(
    colour: Colour, edge: EdgeClient, provider: Provider
) -> None:
    reply = embed(colour, edge, TITAN, ["a", "b", "c"])
    assert [call.json["inputText"] for call in provider.asked(3)] == ["a", "b", "c"]
    assert [item["index"] for item in reply["data"]] == [0, 1, 2]
    assert len({tuple(item["embedding"]) for item in reply["data"]}) == 3
    assert reply.usage == {"prompt_tokens": 27, "total_tokens": 27}
    assert len(reply.explain()["attempts"]) == 1
    assert [change for change in changes(reply) if "3 calls" in change]
    one = embed(colour, edge, TITAN, "d")
    assert reply.cost is not None
    assert reply.cost == 3 * one.cost


def test_a_text_that_fails_fails_the_list(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    provider.script(embeddings(), status(429, message="slow down"))
    with pytest.raises(Throttled):
        embed(colour, edge, TITAN, ["a", "b", "c"])
    provider.asked(2)


def test_sizes_that_a_model_does_not_have_are_refused(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    for model in (OLD, COHERE):
        with pytest.raises(InvalidRequest, match="one size only"):
            embed(colour, edge, model, "a", dimensions=256)
    embed(colour, edge, SIGHTED, "a", dimensions=384)
    assert provider.last.json == {"inputText": "a", "embeddingConfig": {"outputEmbeddingLength": 384}}


def test_cohere_embeds_96_texts_a_call(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    texts = [f"text {number}" for number in range(100)]
    reply = embed(colour, edge, COHERE, texts, input_type="search_query", truncate="END")
    first, second = provider.asked(2)
    assert first.json == {"texts": texts[:96], "input_type": "search_query", "truncate": "END"}
    assert second.json["texts"] == texts[96:]
    assert [item["index"] for item in reply["data"]] == list(range(100))
    assert reply.usage["estimated"] is True
    assert reply.usage["prompt_tokens"] >= 100


def test_coheres_fourth_is_told_its_size_and_that_numbers_are_wanted(
    colour: Colour, edge: EdgeClient, provider: Provider
) -> None:
    reply = embed(colour, edge, COHERE_4, ["a"], dimensions=512)
    assert provider.last.json == {
        "texts": ["a"], "input_type": "search_document", "embedding_types": ["float"], "output_dimension": 512
    }  # fmt: skip
    assert len(reply["data"][0]["embedding"]) == 512
    assert [change for change in changes(reply) if "search_document" in change]


def test_openais_sdk_embeds_with_titan(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    client = colour.openai(edge, f"{provider.url}/v1")
    found = colour.finish(client.embeddings.create(model=TITAN, input=["a", "b"]))
    assert [len(item.embedding) for item in found.data] == [8, 8]  # packed for the SDK, which asks for that
    assert found.usage.prompt_tokens == 18


@pytest.mark.parametrize(
    ("model", "given", "fields", "says"),
    [
        (TITAN, [[1, 2]], {}, "not tokens"),
        (COHERE, "a", {"input_type": "poem"}, "search_document, search_query"),
        ("bedrock/amazon.nova-2-multimodal-embeddings-v1:0", "a", {}, "not known here"),
        ("bedrock/us.amazon.nova-micro-v1:0", "a", {}, "not known here"),
    ],
)
def test_what_cannot_be_embedded_is_refused_before_it_is_sent(
    colour: Colour, edge: EdgeClient, provider: Provider, model: str, given: Any, fields: Any, says: str
) -> None:
    with pytest.raises(InvalidRequest, match=says):
        embed(colour, edge, model, given, **fields)
    provider.asked(0)


def test_an_answer_without_a_vector_is_no_answer(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    provider.script(json_body({"inputTextTokenCount": 1}))
    with pytest.raises(Exception, match="no embedding"):
        embed(colour, edge, TITAN, "a")


def test_settings_that_only_others_have_are_told(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    reply = embed(colour, edge, TITAN, "a", user="u", input_type="search_query", normalize=False)
    assert provider.last.json == {"inputText": "a", "normalize": False}
    assert sorted(change.partition(" ")[0] for change in changes(reply)) == ["`input_type`", "`user`"]
