"""The answer to a question that means the same: given where it is one, and never across what makes calls different."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, strategies as st
from openai import OpenAI

from llm_edge import EdgeClient
from llm_edge.errors import ConfigError
from llm_edge.policy.similar import LONGEST, marks, question_of
from llm_edge.runtime import FakeClock
from llm_edge.stores.neighbours import Neighbours
from llm_edge.testing import Provider, answer, embeddings, status, stream

from .test_cache_fresh import settled

if TYPE_CHECKING:
    from tests.conftest import Colour

Edges = Callable[..., EdgeClient]

NEAR = (1.0, 0.0), (0.99, math.sqrt(1 - 0.99**2))
FAR = (1.0, 0.0), (0.5, math.sqrt(1 - 0.5**2))


@pytest.fixture
def edge(edges: Edges, provider: Provider) -> EdgeClient:
    place = {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"}
    return edges(providers={"p": place}, cache={"semantic": {"model": "p/vectors"}})


def asked(provider: Provider) -> list[str]:
    """What the provider was asked for, in order."""
    return ["vector" if call.path.endswith("/embeddings") else "answer" for call in provider.calls]


def streamed(colour: Colour, edge: EdgeClient, model: str, question: str) -> Any:
    """A stream, read to its end."""
    reply = colour.chat(edge, model, question, stream=True)
    colour.items(reply)
    return reply


def test_a_question_that_means_the_same_is_answered_from_the_cache(
    colour: Colour, edge: EdgeClient, provider: Provider
) -> None:
    provider.script(embeddings(NEAR[0]), answer("Paris."), embeddings(NEAR[1]))
    assert colour.chat(edge, "p/m", "what is the capital of france?").cache == "MISS"
    reply = colour.chat(edge, "p/m", "which city is the capital of france?")
    assert (reply.text, reply.cache, reply.target) == ("Paris.", "SEMANTIC HIT", "p/m")
    assert asked(provider) == ["vector", "answer", "vector"]
    (event,) = [event for event in reply.explain()["events"] if event["layer"] == "cache"]
    assert event["similar"] == pytest.approx(0.99)
    assert reply.explain()["attempts"] == []


def test_a_question_that_is_only_somewhat_alike_is_asked(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    provider.script(embeddings(FAR[0]), answer("Paris."), embeddings(FAR[1]), answer("Bread."))
    colour.chat(edge, "p/m", "what is the capital of france?")
    reply = colour.chat(edge, "p/m", "what do people eat in france?")
    assert (reply.text, reply.cache) == ("Bread.", "MISS")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("what is 12 plus 30?", "what is 12 plus 31?"),
        ("what is the capital of France?", "what is the capital of Germany?"),
        ("is it safe to eat this raw?", "is it not safe to eat this raw?"),
        ('translate "good day" please', 'translate "good night" please'),
        ("explain `map` in a line", "explain `zip` in a line"),
        ("does it work on 2026-11-21?", "does it work on 2026-11-22?"),
        ("why can't it be done?", "why can it be done?"),
        ("wie heißt die Hauptstadt von Österreich?", "wie heißt die Hauptstadt von Ägypten?"),
        ("какая столица у России?", "какая столица у Румынии?"),
        ("كم يساوي ١٢ زائد ٣٠؟", "كم يساوي ١٢ زائد ٣١؟"),
        ("translate “good day” please", "translate “good night” please"),
        ("traduis « bonjour » en anglais", "traduis « bonsoir » en anglais"),
    ],
)
def test_close_vectors_do_not_outweigh_a_number_a_name_or_a_negation(
    colour: Colour, edge: EdgeClient, provider: Provider, one: str, other: str
) -> None:
    provider.script(embeddings(NEAR[0]), answer("one"), embeddings(NEAR[0]), answer("other"))
    colour.chat(edge, "p/m", one)
    assert colour.chat(edge, "p/m", other).text == "other"


HELLO = {"role": "user", "content": "hello you"}
DIFFERENT: list[tuple[str, Mapping[str, Any]]] = [
    ("the model", {"model": "p/other"}),
    ("the instructions", {"messages": [{"role": "system", "content": "Be rude."}, HELLO]}),
    ("the temperature", {"temperature": 1}),
    ("the tenant", {"edge": {"tenant": "bob"}}),
    ("the namespace", {"edge": {"namespace": "b"}}),
    ("tools", {"tools": [{"type": "function", "function": {"name": "f"}}]}),
    ("the caller's wish", {"edge": {"semantic": False}}),
    ("the caller's wish for a new answer", {"edge": {"no_cache": True}}),
]  # fmt: skip


@pytest.mark.parametrize("change", [change for _, change in DIFFERENT], ids=[name for name, _ in DIFFERENT])
def test_all_else_of_a_call_has_to_be_the_same(
    colour: Colour, edge: EdgeClient, provider: Provider, change: Mapping[str, Any]
) -> None:
    provider.script(embeddings(NEAR[0]), answer("first"))
    colour.chat(edge, "p/m", "hello there")
    ask = {"model": "p/m", "messages": "hello you", **change}
    compared = not {"tools", "edge"} & change.keys() or change.get("edge", {}).keys() & {"tenant", "namespace"}
    provider.script(*([embeddings(NEAR[1])] if compared else []), answer("second"))
    reply = colour.chat(edge, ask.pop("model"), ask.pop("messages"), **ask)
    assert (reply.text, reply.cache) == ("second", "MISS")


def test_a_likeness_does_not_wander(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    """A is near B and B is near C: what was answered to A is not given to C by way of B."""
    turn = math.acos(0.96)
    vectors = [(math.cos(step * turn), math.sin(step * turn)) for step in range(3)]
    provider.script(embeddings(vectors[0]), answer("a"), embeddings(vectors[1]), embeddings(vectors[2]), answer("c"))
    assert [colour.chat(edge, "p/m", f"question {word}").text for word in ("alpha", "beta", "gamma")] == ["a", "a", "c"]


def test_an_answer_near_its_end_is_not_renewed_by_what_was_asked_of_another(
    colour: Colour, edges: Edges, provider: Provider
) -> None:
    clock = FakeClock(1000.0)
    place = {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"}
    kept = {"semantic": {"model": "p/vectors"}, "ttl": 60.0, "stale_while_revalidate": 60.0}
    edge = edges(providers={"p": place}, cache=kept, clock=clock)
    provider.script(embeddings(NEAR[0]), answer("Paris."), embeddings(NEAR[1]), answer("Paris, of course."))
    colour.chat(edge, "p/m", "what is the capital of france?")
    clock.advance(70.0)
    reply = colour.chat(edge, "p/m", "which city is the capital of france?")
    settled(colour)
    assert (reply.text, reply.cache) == ("Paris, of course.", "MISS")
    provider.script(answer("Paris."))
    assert colour.chat(edge, "p/m", "what is the capital of france?").text == "Paris."
    settled(colour)


def test_one_kept_answer_is_told_as_a_stream_too(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    provider.script(embeddings(NEAR[0]), answer("Paris."), embeddings(NEAR[1]))
    colour.chat(edge, "p/m", "what is the capital of france?")
    said = streamed(colour, edge, "p/m", "which city is the capital of france?")
    assert (said.text, said.cache) == ("Paris.", "SEMANTIC HIT")


def test_a_stream_that_was_kept_answers_a_similar_question(
    colour: Colour, edge: EdgeClient, provider: Provider
) -> None:
    provider.script(embeddings(NEAR[0]), stream("Pa", "ris."), embeddings(NEAR[1]))
    assert streamed(colour, edge, "p/m", "what is the capital of france?").text == "Paris."
    reply = colour.chat(edge, "p/m", "which city is the capital of france?")
    assert (reply.text, reply.cache) == ("Paris.", "SEMANTIC HIT")


@pytest.mark.parametrize("told", [answer, stream])
def test_an_answer_that_was_cut_short_answers_its_own_question_alone(
    colour: Colour, edge: EdgeClient, provider: Provider, told: Any
) -> None:
    provider.script(embeddings(NEAR[0]), told("Par", finish="length"), embeddings(NEAR[1]), told("Paris."))
    texts = [
        (streamed(colour, edge, "p/m", text) if told is stream else colour.chat(edge, "p/m", text)).text
        for text in ("what is the capital of france?", "which city is the capital of france?")
    ]
    assert texts == ["Par", "Paris."]


def test_without_a_vector_the_call_goes_on(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    provider.script(status(401), answer("Paris."))
    reply = colour.chat(edge, "p/m", "what is the capital of france?")
    assert (reply.text, reply.cache) == ("Paris.", "MISS")


def test_an_answer_that_is_no_longer_kept_is_not_given(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    provider.script(embeddings(NEAR[0]), answer("Paris."), embeddings(NEAR[1]), answer("Lyon."))
    colour.chat(edge, "p/m", "what is the capital of france?")
    colour.finish((edge.cache.clear if colour.name == "sync" else edge.cache.aclear)(model="p/m"))
    assert colour.chat(edge, "p/m", "which city is the capital of france?").text == "Lyon."


def test_the_very_same_question_needs_no_vector(colour: Colour, edge: EdgeClient, provider: Provider) -> None:
    provider.script(embeddings(NEAR[0]), answer("Paris."))
    replies = [colour.chat(edge, "p/m", "what is the capital of france?") for _ in range(2)]
    assert [reply.cache for reply in replies] == ["MISS", "HIT"]
    assert asked(provider) == ["vector", "answer"]


def test_it_works_under_an_sdk_and_is_told_in_the_headers(edge: EdgeClient, provider: Provider) -> None:
    provider.script(embeddings(NEAR[0]), answer("Paris."), embeddings(NEAR[1]))
    client = OpenAI(api_key="k", base_url=f"{provider.url}/v1", http_client=edge.http_client())
    heard = [
        client.chat.completions.with_raw_response.create(model="p/m", messages=[{"role": "user", "content": text}])
        for text in ("what is the capital of france?", "which city is the capital of france?")
    ]
    assert [each.headers["x-llm-edge-cache"] for each in heard] == ["MISS", "SEMANTIC HIT"]


def test_without_numpy_it_is_refused_at_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("llm_edge.answers.find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"cache\.semantic\.model .*llm_edge\[semantic\]"):
        EdgeClient(env={}, cache={"semantic": {"model": "openai/text-embedding-3-small"}})


def test_many_at_once_are_answered_rightly(edge: EdgeClient, provider: Provider) -> None:
    provider.script(*[embeddings(NEAR[0]), answer("Paris.")], *[embeddings(NEAR[1])] * 8)

    async def main() -> list[str]:
        await edge.achat("p/m", "what is the capital of france?")
        return [reply.text for reply in await asyncio.gather(*[
            edge.achat("p/m", f"{'so ' * many}what is the capital of france?") for many in range(1, 9)
        ])]  # fmt: skip

    assert asyncio.run(main()) == ["Paris."] * 8


# ---------------------------------------------------------------------- the parts

CHAT = {"model": "m", "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": " Why? "}]}


@pytest.mark.parametrize("dialect", ["openai.chat", "anthropic.messages"])
def test_the_question_is_what_is_said_last(dialect: str) -> None:
    found = question_of(dialect, CHAT)
    assert found is not None
    assert found.text == "Why?"
    assert found.around["messages"] == [CHAT["messages"][0], {"role": "user", "content": ""}]
    parts = {"messages": [{"role": "user", "content": [{"type": "text", "text": "Why?"}]}]}
    assert question_of(dialect, parts) is not None


@pytest.mark.parametrize(
    "body",
    [
        {}, {"messages": []}, {"messages": "Why?"}, {"messages": ["Why?"]}, {**CHAT, "tools": [{}]},
        {**CHAT, "functions": [{}]},
        {"messages": [{"role": "assistant", "content": "So what"}]}, {"messages": [{"role": "user", "content": "Hm"}]},
        {"messages": [{"role": "user", "content": "x" * (LONGEST + 1)}]}, {"messages": [{"role": "user"}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Look:"}, {"type": "image_url"}]}]},
        {"messages": [{"role": "user", "content": [{"type": "text", "text": "Look", "cache_control": {}}]}]},
    ],
)  # fmt: skip
def test_what_is_no_plain_question_is_not_compared(body: dict[str, Any]) -> None:
    assert question_of("openai.chat", body) is None


def test_other_dialects_are_not_compared() -> None:
    assert question_of("openai.responses", CHAT) is None


def test_a_capital_that_begins_a_sentence_is_no_name() -> None:
    assert marks("Which city is it?") == marks("What city is it?")
    assert marks("In Rome. Which city?") == marks("In Rome. What city?")
    assert marks("Ask Which about it") != marks("Ask What about it")


@given(st.lists(st.tuples(st.integers(0, 2), st.floats(0, 6.28)), max_size=60), st.integers(1, 20), st.floats(0, 6.28))
def test_the_nearest_are_those_a_plain_search_finds(added: list[tuple[int, float]], most: int, turned: float) -> None:
    known: Neighbours[int] = Neighbours(most)
    for number, (group, turn) in enumerate(added):
        known.add(str(group), (math.cos(turn), math.sin(turn)), number)
    assert len(known) == min(len(added), most)
    left = list(enumerate(added))[-most:]
    for group in range(3):
        found = known.nearest(str(group), (3 * math.cos(turned), 3 * math.sin(turned)), 0.9)
        alike = {number: math.cos(turn - turned) for number, (theirs, turn) in left if theirs == group}
        assert [round(each, 3) for each, _ in found] == [
            round(each, 3) for each in sorted(alike.values(), reverse=True)[:4] if each >= 0.9
        ] or any(abs(each - 0.9) < 1e-5 for each in alike.values())
        assert all(abs(alike[number] - each) < 1e-5 for each, number in found)


@pytest.mark.parametrize("vector", [(), (0.0, 0.0), (math.inf, 1.0), (math.nan, 1.0)])
def test_a_vector_without_a_direction_is_near_nothing(vector: tuple[float, ...]) -> None:
    known: Neighbours[int] = Neighbours(3)
    known.add("g", vector, 1)
    assert len(known) == 0
    assert known.nearest("g", vector, 0.0) == []


def test_vectors_of_another_length_begin_anew() -> None:
    known: Neighbours[int] = Neighbours(3)
    known.add("g", (1.0, 0.0), 1)
    known.add("g", (1.0, 0.0, 0.0), 2)
    assert known.nearest("g", (1.0, 0.0), 0.5) == []
    assert [number for _, number in known.nearest("g", (1.0, 0.0, 0.0), 0.5)] == [2]
