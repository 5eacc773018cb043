"""What two formats both have survives the way from one to the other, and an answer's thinking the way back to its maker."""

# ruff: noqa: E501  a table reads better with its rows whole
from __future__ import annotations

import json
from typing import Any

import pytest

from llm_edge.message import Body, Json
from llm_edge.providers.translation.core import Exchange
from llm_edge.providers.translation.strangers import without_strangers
from llm_edge.providers.translation.table import replay, translation

from .fields_answered import ANSWERED
from .test_features import at
from .topics import ASKED, MODELS, A, B, C, G, R, Topic

PAIRS = [(topic, one, other) for topic in ASKED for one in topic.places for other in topic.places if one != other]


def between(one: str, other: str, body: Json, target: str) -> tuple[Json, Exchange]:
    """A caller's request as the provider's."""
    provider, _, model = target.partition("/")
    into = Exchange(model=model, provider=provider, request_id="r1")
    mine, theirs = translation(one), translation(other)
    assert mine is not None
    assert theirs is not None
    into.chat = mine.request_to_chat(body, into)
    return theirs.request_from_chat(into.chat, into), into


@pytest.mark.parametrize(
    ("topic", "one", "other"), PAIRS, ids=lambda each: each.name if isinstance(each, Topic) else each
)
def test_what_both_have_survives(topic: Topic, one: str, other: str) -> None:
    target = {**MODELS, **(topic.models or {})}[other]
    sent, _ = between(one, other, topic.places[one][0], target)
    found: Any = at(sent, topic.places[other][1])
    words = found if isinstance(found, str) else json.dumps(found)
    assert topic.says.lower() in words.lower()


ANSWERS = [(C, provider) for provider in (A, G, R, B)] + [
    (caller, provider) for caller in (A, G, R, B) for provider in (C, A, G, R, B) if caller != provider
]
TEXTS = {C: "choices.0.message", R: "output", A: "content", G: "candidates.0", B: "output.message.content"}
SOURCES = {C: "annotations", R: "annotations", A: "citations", G: "grounding", B: "citationsContent"}


def heard(caller: str, provider: str, answer: Json, model: str = "m") -> Json:
    into = Exchange(model=model, provider=provider.partition(".")[0], request_id="r1", created=1)
    theirs, mine = translation(provider), translation(caller)
    assert theirs is not None
    assert mine is not None
    into.chat = {"messages": []}
    return mine.answer_from_chat(theirs.answer_to_chat(answer, into), into)


def answer_with(provider: str, *words: str) -> Json:
    return next(each for each in ANSWERED[provider] if all(word in json.dumps(each) for word in words))


@pytest.mark.parametrize(("caller", "provider"), ANSWERS)
def test_citations_of_the_web_survive(caller: str, provider: str) -> None:
    said = json.dumps(at(heard(caller, provider, answer_with(provider, "https://a")), TEXTS[caller]))
    assert "https://a" in said
    assert SOURCES[caller] in said


@pytest.mark.parametrize(("caller", "provider"), ANSWERS)
def test_refusals_survive(caller: str, provider: str) -> None:
    said = {C: ("No.",), R: ("No.",), A: ("No.",), G: ("No.",), B: ("guardrail_intervened",)}[provider]
    got = json.dumps(heard(caller, provider, answer_with(provider, *said)))
    filtered = {C: "content_filter", A: "refusal", G: "SAFETY", R: "content_filter", B: "guardrail_intervened"}
    assert filtered[caller] in got or "No." in got or "content_filtered" in got


CACHED = {
    C: ("usage.prompt_tokens_details.cached_tokens", "prompt_tokens_details"),
    R: ("usage.input_tokens_details.cached_tokens", "cached_tokens"),
    A: ("usage.cache_read_input_tokens", "cache_read_input_tokens"),
    G: ("usageMetadata.cachedContentTokenCount", "cachedContentTokenCount"),
    B: ("usage.cacheReadInputTokens", "cacheReadInputTokens"),
}
THOUGHT = {
    C: ("usage.completion_tokens_details.reasoning_tokens", "reasoning_tokens"),
    R: ("usage.output_tokens_details.reasoning_tokens", "reasoning_tokens"),
    A: ("usage.output_tokens_details.thinking_tokens", "thinking_tokens"),
    G: ("usageMetadata.thoughtsTokenCount", "thoughtsTokenCount"),
}


@pytest.mark.parametrize(("caller", "provider"), ANSWERS)
def test_tokens_from_the_cache_survive(caller: str, provider: str) -> None:
    assert at(heard(caller, provider, answer_with(provider, CACHED[provider][1])), CACHED[caller][0]) == 20


@pytest.mark.parametrize(("caller", "provider"), [pair for pair in ANSWERS if B not in pair])
def test_tokens_of_thinking_survive(caller: str, provider: str) -> None:
    assert at(heard(caller, provider, answer_with(provider, THOUGHT[provider][1])), THOUGHT[caller][0]) == 4


@pytest.mark.parametrize(("caller", "provider"), [(C, G), (C, R), (R, C), (R, G), (G, C), (G, R)])
def test_token_probabilities_survive(caller: str, provider: str) -> None:
    got = json.dumps(heard(caller, provider, answer_with(provider, "-0.5")))
    assert "-0.5" in got
    assert "-1.5" in got


# ------------------------------------------------------------------ thinking, to a caller and back to its maker

CALLS = {
    A: ({"type": "thinking", "thinking": "hm", "signature": "PROOF"}, {"type": "tool_use", "id": "c1", "name": "w", "input": {}}),
    B: ({"reasoningContent": {"reasoningText": {"text": "hm", "signature": "PROOF"}}}, {"toolUse": {"toolUseId": "c1", "name": "w", "input": {}}}),
    G: ({"text": "hm", "thought": True}, {"functionCall": {"id": "c1", "name": "w", "args": {}}, "thoughtSignature": "PROOF"}),
    R: ({"type": "reasoning", "id": "rs_1", "summary": [{"type": "summary_text", "text": "hm"}], "encrypted_content": "PROOF"}, {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "w", "arguments": "{}", "status": "completed"}),
}  # fmt: skip
"""Thinking and the call it led to, proven by its maker."""
WHOLE: dict[str, Any] = {
    A: lambda items: {"id": "m", "model": "c", "role": "assistant", "content": items, "stop_reason": "tool_use", "usage": {}},
    B: lambda items: {"output": {"message": {"role": "assistant", "content": items}}, "stopReason": "tool_use", "usage": {}},
    G: lambda items: {"candidates": [{"content": {"role": "model", "parts": items}, "finishReason": "STOP"}]},
    R: lambda items: {"id": "resp_1", "status": "completed", "model": "g", "output": items, "usage": {}},
}  # fmt: skip
MAKERS = {
    A: "anthropic/claude-opus-4-8",
    B: "bedrock/us.anthropic.claude-opus-4-8",
    G: "gemini/gemini-3.8-flash",
    R: "openai/gpt-5.4",
}


def given_back(caller: str, answer: Any) -> Json:
    """The caller's next request: what it was told, and the result of the call."""
    hi = {"role": "user", "content": "hi"}
    if caller == C:
        message = answer["choices"][0]["message"]
        return {
            "messages": [hi, message, {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "3"}]
        }
    if caller == A:
        result = {"type": "tool_result", "tool_use_id": answer["content"][-1]["id"], "content": "3"}
        turns = [hi, {"role": "assistant", "content": answer["content"]}, {"role": "user", "content": [result]}]
        return {"max_tokens": 100, "messages": turns}
    if caller == R:
        (call,) = [item for item in answer["output"] if item["type"] == "function_call"]
        result = {"type": "function_call_output", "call_id": call["call_id"], "output": "3"}
        return {"input": [hi, *answer["output"], result], "store": False}
    if caller == G:
        content = answer["candidates"][0]["content"]
        (call,) = [part["functionCall"] for part in content["parts"] if "functionCall" in part]
        result = {"functionResponse": {"id": call.get("id"), "name": call["name"], "response": {"output": "3"}}}
        first = {"role": "user", "parts": [{"text": "hi"}]}
        return {"contents": [first, content, {"role": "user", "parts": [result]}]}
    message = answer["output"]["message"]
    (use,) = [block["toolUse"] for block in message["content"] if "toolUse" in block]
    result = {"toolResult": {"toolUseId": use["toolUseId"], "content": [{"text": "3"}]}}
    return {"messages": [{"role": "user", "content": [{"text": "hi"}]}, message, {"role": "user", "content": [result]}]}


@pytest.mark.parametrize(("caller", "maker"), [(c, m) for c in (C, A, G, R, B) for m in MAKERS if c != m])
def test_thinking_comes_back_to_its_maker_with_its_proof(caller: str, maker: str) -> None:
    answer = WHOLE[maker](list(CALLS[maker]))
    sent, into = between(
        caller, maker, given_back(caller, heard(caller, maker, answer, MAKERS[maker].partition("/")[2])), MAKERS[maker]
    )
    assert not [change for change in into.changes if "signatures" in change]
    assert json.dumps(sent).count("PROOF") == 1


def heard_piece_by_piece(caller: str, maker: str, answer: Json, model: str) -> Json:
    """What a caller puts together of a streamed answer."""
    wanted = {"stream": True, "stream_options": {"include_usage": True}}
    into = Exchange(model=model, provider=maker.partition(".")[0], request_id="r1", created=1, streaming=True)
    into.chat = {"messages": [], **wanted}
    theirs, mine, taken_apart, put_together = translation(maker), translation(caller), replay(maker), replay(caller)
    assert theirs is not None
    assert mine is not None
    assert taken_apart is not None
    assert put_together is not None
    reader, writer, whole = theirs.reader(into), mine.writer(into), put_together.assembler()
    for chunks in [*map(reader.feed, taken_apart.events(answer, wanted)), reader.end()]:
        for chunk in chunks:
            whole.feed(writer.write(chunk))
    whole.feed(writer.end())
    made = whole.whole()
    assert made is not None
    return made


@pytest.mark.parametrize(("caller", "maker"), [(c, m) for c in (C, A, G, R) for m in (A, G, R) if c != m])
def test_streamed_thinking_comes_back_to_its_maker_with_its_proof(caller: str, maker: str) -> None:
    model = MAKERS[maker].partition("/")[2]
    answer = heard_piece_by_piece(caller, maker, WHOLE[maker](list(CALLS[maker])), model)
    sent, into = between(caller, maker, given_back(caller, answer), MAKERS[maker])
    assert json.dumps(sent).count("PROOF") == 1
    assert not [change for change in into.changes if "signatures" in change]


@pytest.mark.parametrize("caller", [C, A, G, R, B])
@pytest.mark.parametrize("maker", MAKERS)
@pytest.mark.parametrize("other", MAKERS)
def test_a_proof_never_goes_to_another_vendor(caller: str, maker: str, other: str) -> None:
    if {maker, other} <= {A, B} or maker == other or caller == maker:
        return  # Claude's proof is good at both of its places
    if caller == B and other == A:
        return  # as above
    answer = WHOLE[maker](list(CALLS[maker]))
    request = given_back(caller, heard(caller, maker, answer, MAKERS[maker].partition("/")[2]))
    if caller != other:
        sent = between(caller, other, request, MAKERS[other])[0]
    else:
        provider, _, model = MAKERS[other].partition("/")
        into = Exchange(model=model, provider=provider)
        sent = without_strangers(Body(json.dumps(request).encode()), caller, into).json
        assert into.changes
    assert "PROOF" not in json.dumps(sent)
    assert "llm_edge" not in json.dumps(sent)
    assert "bGxtX2VkZ2U6" not in json.dumps(sent)


@pytest.mark.parametrize("other", MAKERS)
def test_a_conversation_with_one_vendor_passes_as_it_came(other: str) -> None:
    body = Body(json.dumps(given_back(other, WHOLE[other](list(CALLS[other])))).encode())
    provider, _, model = MAKERS[other].partition("/")
    into = Exchange(model=model, provider=provider)
    assert without_strangers(body, other, into) is body
    assert not into.changes


@pytest.mark.parametrize(
    ("dialect", "request_"),
    [
        (A, {"messages": [{"role": "assistant", "content": "llm_edge:"}, {"role": "user", "content": ["x"]}]}),
        (A, {"messages": "llm_edge:"}),
        (A, {"note": "llm_edge:"}),
        (B, {"messages": [{"role": "assistant", "content": None}], "x": "llm_edge:"}),
        (R, {"input": "llm_edge:"}),
        (G, {"contents": [{"parts": "llm_edge:"}, 7]}),
        (C, {"messages": [None, {"role": "assistant", "thinking_blocks": 1}, 3]}),
    ],
)
def test_what_only_looks_like_a_mark_breaks_nothing(dialect: str, request_: Json) -> None:
    into = Exchange(model="gpt-5.4", provider="openai")
    assert without_strangers(Body(json.dumps(request_).encode()), dialect, into).json.keys() == request_.keys()


def test_a_mark_that_is_only_spoken_of_leaves_the_bytes_alone() -> None:
    body = Body(b'{"messages":  [{"role": "user", "content": "What does llm_edge: mean?"}]}')
    into = Exchange(model="claude-haiku-4-5", provider="anthropic")
    assert without_strangers(body, A, into) is body
    assert not into.changes


def test_claude_is_not_asked_to_think_on_where_another_made_the_calls() -> None:
    for caller, fields in (
        (A, {"thinking": {"type": "enabled", "budget_tokens": 1024}}),
        (B, {"additionalModelRequestFields": {"thinking": {"type": "enabled", "budget_tokens": 1024}, "top_k": 3}}),
    ):
        request = {**given_back(caller, heard(caller, G, WHOLE[G](list(CALLS[G])), "gemini-3.8-flash")), **fields}
        into = Exchange(model="claude-haiku-4-5", provider="x")
        sent = json.dumps(without_strangers(Body(json.dumps(request).encode()), caller, into).json)
        assert "budget_tokens" not in sent
        assert ("top_k" in sent) == (caller == B)
        assert [change for change in into.changes if "`thinking` was switched off" in change]


@pytest.mark.parametrize(("caller", "counting"), [(A, "anthropic.count"), (R, "openai.count"), (G, "gemini.count")])
def test_tokens_are_counted_without_what_another_vendor_thought(caller: str, counting: str) -> None:
    maker = G if caller == A else A
    answer = WHOLE[maker](list(CALLS[maker]))
    request = given_back(caller, heard(caller, maker, answer, MAKERS[maker].partition("/")[2]))
    provider, _, model = MAKERS[caller].partition("/")
    body = Body(json.dumps(request).encode())
    sent = json.dumps(without_strangers(body, counting, Exchange(model=model, provider=provider)).json)
    assert "PROOF" not in sent
    assert "llm_edge" not in sent
    assert '"c1"' in sent
