"""A conversation that goes on: what one turn was answered with comes back in the next, to its maker or to another."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from llm_edge import EdgeClient
from llm_edge.testing import Provider, answer, events, json_body, stream, tool_call

from .callers import CALLERS, SCHEMA

Edges = Callable[..., EdgeClient]
TARGETS = {"openai": "gpt-5.4", "anthropic": "claude-haiku-4-5", "gemini": "gemini-3.8-flash"}
SIGNED: Any = {
    "candidates": [
        {
            "content": {
                "role": "model",
                "parts": [
                    {"text": "Hm.", "thought": True},
                    {"functionCall": {"id": "c1", "name": "weather", "args": {}}, "thoughtSignature": "UFJPT0Y="},
                ],
            },
            "finishReason": "STOP",
        }
    ],
    "usageMetadata": {"promptTokenCount": 9, "candidatesTokenCount": 3, "totalTokenCount": 12},
}
"""A Gemini's call, with its proof."""


@pytest.fixture
def edge(edges: Edges, provider: Provider) -> EdgeClient:
    """Three vendors, all the same scripted one."""
    places = {kind: {"base_url": provider.url, "api_key": "k"} for kind in TARGETS}
    places["openai"]["base_url"] += "/v1"
    return edges(providers=places, retry={"attempts": 1}, cache={"policy": "off"})


def named(vendor: str) -> str:
    return f"{vendor}/{TARGETS[vendor]}"


def sent(provider: Provider) -> str:
    """The last request as text."""
    return json.dumps(provider.last.json)


@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_a_geminis_signature_comes_back_to_it_through_openais_responses(
    sdks: Any, edge: EdgeClient, provider: Provider, streamed: bool
) -> None:
    client = sdks.openai(edge, provider)
    weather: Any = {"type": "function", "name": "weather", "parameters": SCHEMA, "strict": True}
    given: Any = {"model": named("gemini"), "tools": [weather]}
    history: list[Any] = [{"role": "user", "content": "Is it cold?"}]
    provider.script(events(SIGNED) if streamed else json_body(SIGNED), answer("Yes."))
    if streamed:
        got = sdks.colour.items(sdks.colour.finish(client.responses.create(**given, input=history, stream=True)))
        told = got[-1].response
        done = [event.item for event in got if event.type == "response.output_item.done"]
        assert [item.to_dict() for item in done] == [item.to_dict() for item in told.output]
    else:
        told = sdks.colour.finish(client.responses.create(**given, input=history))
    assert [item.type for item in told.output] == ["reasoning", "reasoning", "function_call"]
    history += [item.to_dict() for item in told.output]
    history.append({"type": "function_call_output", "call_id": told.output[-1].call_id, "output": "3 C"})
    assert sdks.colour.finish(client.responses.create(**given, input=history)).output_text == "Yes."
    (turn,) = [content for content in provider.last.json["contents"] if content["role"] == "model"]
    assert [part.get("thoughtSignature") for part in turn["parts"] if "functionCall" in part] == ["UFJPT0Y="]
    assert "llm_edge" not in sent(provider)


PAIRS = [(caller, other) for caller in CALLERS for other in TARGETS if CALLERS[caller].own != other]


@pytest.mark.parametrize(("name", "other"), PAIRS)
@pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])
def test_what_another_vendor_thought_is_not_shown_to_the_callers_own(
    sdks: Any, edge: EdgeClient, provider: Provider, name: str, other: str, streamed: bool
) -> None:
    caller = CALLERS[name](sdks, edge, provider)
    own = caller.own
    thought = stream("Let me see.", reasoning="Hm, SECRET.", tool_calls=[tool_call("weather", {}, call_id="c1")])
    provider.script(thought, answer("Cold."))
    first = (caller.stream if streamed else caller.ask)(named(other), tool="weather", think=True)
    assert first.thoughts == "Hm, SECRET."
    heard = caller.ask(named(own), tool="weather", think=True, after=first, result="3 C")
    assert heard.text == "Cold."
    assert "SECRET" not in sent(provider)
    for mark in ("llm_edge", "bGxtX2VkZ2U6", "thinking_blocks", "reasoning_content", "extra_content"):
        assert mark not in sent(provider)
    assert "weather" in sent(provider)
    assert "3 C" in sent(provider)
    if own == "gemini":
        (call,) = [
            part for content in provider.last.json["contents"] for part in content["parts"] if "functionCall" in part
        ]
        assert base64.b64decode(call["thoughtSignature"]) == b"skip_thought_signature_validator"
    if own == "anthropic":
        assert "thinking" not in provider.last.json  # which it refuses where its calls came without thinking
