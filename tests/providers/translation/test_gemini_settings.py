"""The settings of a chat request at Google: what each model takes, what is told, what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, strategies as st

from llm_edge.errors import InvalidRequest
from llm_edge.message import Json
from llm_edge.providers.translation.gemini_schema import from_old, json_schema, old_schema

from .gemini_kit import exchange, told, tool

TREE: Json = {
    "$ref": "#/$defs/Node",
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {"value": {"type": "string"}, "below": {"type": "array", "items": {"$ref": "#/$defs/Node"}}},
            "required": ["value"],
        }
    },
}


def config(model: str = "gemini-2.5-flash", **chat: Any) -> dict[str, Any]:
    return dict(told(exchange(model), **chat).get("generationConfig", {}))


def shaped(schema: Json) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "a", "schema": schema}}


def test_settings_by_their_names_at_google() -> None:
    assert config(
        temperature=0.5,
        top_p=0.9,
        top_k=7,
        seed=1,
        presence_penalty=0.1,
        frequency_penalty=0.2,
        max_tokens=9,
        n=2,
        logprobs=True,
        top_logprobs=3,
        stop=["a", "", "b"],
        modalities=["text", "image"],
    ) == {
        "temperature": 0.5,
        "topP": 0.9,
        "topK": 7,
        "seed": 1,
        "presencePenalty": 0.1,
        "frequencyPenalty": 0.2,
        "maxOutputTokens": 9,
        "candidateCount": 2,
        "responseLogprobs": True,
        "logprobs": 3,
        "stopSequences": ["a", "b"],
        "responseModalities": ["TEXT", "IMAGE"],
    }


def test_28_several_answers_are_candidates() -> None:
    assert config(n=3) == {"candidateCount": 3}
    assert config(n=1) == {}


def test_29_stops_are_a_list_without_empty_ones_and_five_at_most() -> None:
    assert config(stop="END") == {"stopSequences": ["END"]}
    assert config(stop=["", "  "]) == {"stopSequences": ["  "]}
    assert config(stop="") == {}
    with pytest.raises(InvalidRequest, match=r"`stop`.*5"):
        config(stop=list("abcdef"))


def test_37_sampling_goes_to_models_that_heed_it() -> None:
    assert config("gemini-3.5-flash", temperature=1.5) == {"temperature": 1.5}
    into = exchange("gemini-3.8-flash")
    assert "generationConfig" not in told(into, temperature=0.2, top_p=1)
    assert into.changes == ["`temperature` was left out: gemini-3.8-flash pays no heed to it"]


def test_penalties_go_to_models_that_take_them() -> None:
    into = exchange("gemini-3.5-flash")
    assert "generationConfig" not in told(into, presence_penalty=0.5, frequency_penalty=0)
    assert into.changes == ["`presence_penalty` was left out: gemini-3.5-flash refuses it"]


@pytest.mark.parametrize("asked", [0, -1, "9", 1.5, True])
def test_a_limit_that_is_no_number_of_tokens_is_refused(asked: Any) -> None:
    with pytest.raises(InvalidRequest, match="`max_tokens`"):
        config(max_tokens=asked)


def test_a_limit_beyond_the_models_is_lowered_and_told() -> None:
    into = exchange("gemini-2.5-flash")
    assert told(into, max_completion_tokens=100_000)["generationConfig"] == {"maxOutputTokens": 65536}
    assert "max_completion_tokens" in into.changes[0]


# ------------------------------------------------------------------ thinking


@pytest.mark.parametrize(
    ("model", "effort", "thinking", "changes"),
    [
        ("gemini-3.5-flash", "minimal", {"thinkingLevel": "MINIMAL", "includeThoughts": True}, 0),
        ("gemini-3.8-flash", "minimal", {"thinkingLevel": "LOW", "includeThoughts": True}, 1),
        ("gemini-3.8-flash", "xhigh", {"thinkingLevel": "HIGH", "includeThoughts": True}, 1),
        ("gemini-3.8-flash", "none", {"thinkingLevel": "LOW"}, 1),
        ("gemini-3-pro-preview", "medium", {"thinkingLevel": "HIGH", "includeThoughts": True}, 1),
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}, 0),
        ("gemini-2.5-pro", "none", {"thinkingBudget": 128}, 1),
        ("gemini-2.5-flash", "low", {"thinkingBudget": 1024, "includeThoughts": True}, 0),
        ("gemini-2.0-flash", "low", None, 1),
        ("gemini-2.0-flash", "none", None, 0),
    ],
)
def test_20_how_much_it_thinks_is_told_as_the_model_takes_it(
    model: str, effort: str, thinking: Any, changes: int
) -> None:
    into = exchange(model)
    body = told(into, reasoning_effort=effort)
    assert body.get("generationConfig", {}).get("thinkingConfig") == thinking
    assert len(into.changes) == changes


def test_22_a_budget_leaves_room_for_the_answer() -> None:
    into = exchange("gemini-2.5-flash")
    body = told(into, reasoning_effort="high", max_tokens=1000)
    assert body["generationConfig"]["thinkingConfig"]["thinkingBudget"] == 500
    assert "reasoning_effort" in into.changes[0]


def test_anthropics_way_to_ask_for_thinking_is_understood() -> None:
    thinking = {"type": "enabled", "budget_tokens": 5000}
    assert config(thinking=thinking)["thinkingConfig"] == {"thinkingBudget": 5000, "includeThoughts": True}
    assert config("gemini-3.8-flash", thinking=thinking)["thinkingConfig"]["thinkingLevel"] == "MEDIUM"
    assert config(thinking={"type": "disabled"})["thinkingConfig"] == {"thinkingBudget": 0}


def test_an_effort_nobody_knows_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="reasoning_effort"):
        config(reasoning_effort="heroic")


# ------------------------------------------------------------------ the form of the answer


def test_json_is_asked_for_by_its_type() -> None:
    assert config(response_format={"type": "json_object"}) == {"responseMimeType": "application/json"}
    assert config(response_format={"type": "text"}) == {}
    with pytest.raises(InvalidRequest, match="response_format"):
        config(response_format={"type": "xml"})


def test_16_a_schema_goes_as_it_is_where_google_takes_json_schema() -> None:
    assert config(response_format=shaped(TREE))["responseJsonSchema"] == TREE


def test_16_for_the_oldest_models_references_are_written_out_and_recursion_ends() -> None:
    into = exchange("gemini-1.5-flash")
    body = told(into, response_format=shaped(TREE))
    assert body["generationConfig"]["responseSchema"] == {
        "type": "OBJECT",
        "properties": {"value": {"type": "STRING"}, "below": {"type": "ARRAY", "items": {"type": "OBJECT"}}},
        "required": ["value"],
    }
    assert "$ref" in into.changes[0]


@pytest.mark.parametrize(
    ("schema", "old"),
    [
        ({"const": "a"}, {"type": "STRING", "enum": ["a"]}),
        ({"type": ["string", "null"]}, {"type": "STRING", "nullable": True}),
        (
            {"oneOf": [{"type": "string"}, {"type": "integer"}]},
            {"anyOf": [{"type": "STRING"}, {"type": "INTEGER"}]},
        ),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, {"type": "STRING", "nullable": True}),
        (
            {"allOf": [{"type": "object"}, {"properties": {"a": {"type": "string"}}}]},
            {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}},
        ),
        ({"type": "object", "properties": {}}, {"type": "OBJECT"}),
        ({"enum": [1, None]}, {"type": "STRING", "enum": ["1"], "nullable": True}),
    ],
)
def test_16_what_the_old_dialect_cannot_say_is_said_otherwise(schema: Json, old: Json) -> None:
    gone: dict[str, None] = {}
    assert old_schema(schema, gone) == old
    assert not gone


def test_16_a_reference_may_have_no_neighbours_in_the_new_dialect() -> None:
    schema = {"properties": {"a": {"$ref": "#/$defs/A", "description": "one"}}, "$defs": {"A": {"const": 1}}}
    made = json_schema(schema, {})
    assert made["properties"]["a"] == {"description": "one", "anyOf": [{"$ref": "#/$defs/A"}]}
    assert made["$defs"]["A"] == {"enum": [1]}


def test_17_what_google_does_not_check_is_told() -> None:
    into = exchange()
    told(into, response_format=shaped({"type": "string", "pattern": "^a$", "maxLength": 3}))
    assert into.changes == ["`response_format` says what Google does not check: pattern, maxLength"]


def test_19_a_form_together_with_tools_goes_in_words_where_the_model_takes_but_one() -> None:
    asked: Any = {"response_format": shaped({"type": "object"}), "tools": [tool()]}
    into = exchange("gemini-2.5-flash")
    body = told(into, **asked)
    assert "responseMimeType" not in body.get("generationConfig", {})
    assert '"type":"object"' in body["systemInstruction"]["parts"][-1]["text"]
    assert "response_format" in into.changes[0]
    assert config("gemini-3.8-flash", **asked)["responseMimeType"] == "application/json"


SCHEMAS = st.recursive(
    st.sampled_from([{"type": "string"}, {"type": "integer"}, {"type": "boolean"}]),
    lambda inner: st.one_of(
        st.builds(lambda items: {"type": "array", "items": items}, inner),
        st.builds(
            lambda fields: {"type": "object", "properties": fields},
            st.dictionaries(st.text(min_size=1), inner, min_size=1),
        ),
        st.builds(lambda kinds: {"anyOf": kinds}, st.lists(inner, min_size=2, max_size=3)),
    ),
    max_leaves=8,
)


@given(SCHEMAS)
def test_a_plain_schema_survives_the_old_dialect(schema: Json) -> None:
    gone: dict[str, None] = {}
    assert from_old(old_schema(schema, gone)) == schema
    assert not gone


# ------------------------------------------------------------------ the rest


def test_tiers_labels_and_storing() -> None:
    body = told(service_tier="default", store=True)
    assert (body["serviceTier"], body["store"]) == ("standard", True)
    assert "serviceTier" not in told(service_tier="auto")
    assert told(exchange(provider="vertex"), metadata={"team": "a"})["labels"] == {"team": "a"}


def test_web_search_becomes_googles() -> None:
    into = exchange()
    assert told(into, web_search_options={"search_context_size": "low"})["tools"] == [{"googleSearch": {}}]
    assert "search_context_size" in into.changes[0]


@pytest.mark.parametrize(
    "field",
    [
        {"logit_bias": {"1": 5}},
        {"user": "ada"},
        {"prediction": {"type": "content", "content": "x"}},
        {"verbosity": "low"},
        {"metadata": {"a": "b"}},
        {"prompt_cache_key": "k"},
        {"service_tier": "scale"},
        {"brand_new": 1},
    ],
)
def test_what_google_has_not_is_told_or_refused_as_wanted(field: dict[str, Any]) -> None:
    into = exchange()
    told(into, **field)
    assert [change.split("`")[1] for change in into.changes] == list(field)
    quiet = exchange(on_unsupported="drop")
    told(quiet, **field)
    assert not quiet.changes
    with pytest.raises(InvalidRequest, match=next(iter(field))):
        told(exchange(on_unsupported="reject"), **field)


@pytest.mark.parametrize("harmless", [{"logit_bias": {}}, {"verbosity": "medium"}, {"n": 1}, {"logprobs": False}])
def test_what_asks_for_nothing_is_not_told(harmless: dict[str, Any]) -> None:
    into = exchange(on_unsupported="reject")
    told(into, **harmless)
    assert not into.changes
