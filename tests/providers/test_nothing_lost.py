"""
Nothing is lost in silence: every field a caller may send reaches the provider, or is told, or is refused.

Each small request of `fields.py` is translated for providers of every dialect, whole and with each of its fields
taken out or changed. Where that makes no difference, neither in what is sent nor in what is told, the field was lost.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from llm_edge.errors import InvalidRequest
from llm_edge.message import Json
from llm_edge.providers.translation.core import Exchange, OnUnsupported
from llm_edge.providers.translation.table import told, translation

from .fields import ASKED

PLACES = {
    "openai.chat": ("openai/gpt-5.4", "ollama/any"),
    "openai.responses": ("openai/gpt-5.4-pro",),
    "openai.completions": ("vllm/any",),
    "anthropic.messages": ("anthropic/claude-opus-4-8", "anthropic/claude-haiku-4-5"),
    "gemini.generate": ("gemini/gemini-3.8-flash", "vertex/gemini-2.5-pro"),
    "bedrock.converse": ("bedrock/us.anthropic.claude-opus-4-8", "bedrock/us.amazon.nova-pro-v1:0"),
    "bedrock.llama": ("bedrock/meta.llama3-3-70b-instruct-v1:0",),
}
PAIRS = [
    (caller, dialect, target)
    for caller in ASKED
    for dialect, targets in PLACES.items()
    for target in targets
    if dialect != caller
]
Path = tuple[str | int, ...]

# Said in another way already, or without any meaning at the provider.
FINE = {
    "type": "what a thing is shows in what it holds",
    "json_schema.name": "a label for the caller's own use",
    "format.name": "the same",
    "jsonSchema.name": "the same",
    "json_schema.strict": "providers other than OpenAI know no loose way",
    "format.strict": "the same",
    "image.format": "where an address stands in its place, its ending says it",
}


class Outcome(NamedTuple):
    """What became of a request."""

    sent: Json | None
    """None when it was refused."""
    changes: list[str]
    refusal: str = ""


def outcome(caller: str, dialect: str, target: str, body: Json, mode: OnUnsupported = "warn") -> Outcome:
    provider, _, model = target.partition("/")
    into = Exchange(model=model, provider=provider, request_id="r1", on_unsupported=mode)
    mine, theirs = translation(caller), told(dialect)
    assert mine is not None
    assert theirs is not None
    try:
        into.chat = mine.request_to_chat(body, into)
        return Outcome(theirs.request_from_chat(into.chat, into), into.changes)
    except InvalidRequest as error:
        return Outcome(None, into.changes, str(error))


def fields(value: Any, path: Path = ()) -> Iterator[Path]:
    """Where every field stands, whatever it is in."""
    items: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for step, inner in items:
        if isinstance(value, dict):
            yield (*path, step)
        yield from fields(inner, (*path, step))


def at(value: Any, path: Path) -> Any:
    for step in path:
        value = value[step]
    return value


def without(body: Json, path: Path) -> Json:
    found = copy.deepcopy(body)
    del at(found, path[:-1])[path[-1]]
    return found


def changed(body: Json, path: Path) -> Json:
    """The body with something else there; the same where that is no simple thing."""
    found = copy.deepcopy(body)
    inside, value = at(found, path[:-1]), at(found, path)
    if isinstance(value, bool):
        inside[path[-1]] = not value
    elif isinstance(value, (int, float)):
        inside[path[-1]] = value / 2
    elif isinstance(value, str):
        inside[path[-1]] = value + "x"
    return found


# A whole conversation, a message of it, or a message's content: taken out, they would always make a difference.
_WIDE = {"messages": 3, "input": 3, "contents": 3}
_THOUGHT = {
    *("thinking", "data", "signature", "thinking_blocks", "reasoning_content", "thoughtSignature", "text", "id"),
    *("encrypted_content", "summary", "extra_content"),
}


def is_told(pair: tuple[str, str, str], body: Json, whole: Outcome, path: Path) -> bool:
    """Whether what the field belongs to is told of as a whole."""
    if _THOUGHT & set(path) and any("thinking" in change for change in whole.changes):
        return True
    for length in range(1, len(path)):
        above = path[:length]
        if length <= _WIDE.get(str(path[0]), 0) and (length < 3 or path[2] in ("content", "parts")):
            continue
        rest = outcome(*pair, without(body, above))
        if rest.sent is not None and rest.changes != whole.changes:
            return True
    return False


def is_fine(pair: tuple[str, str, str], body: Json, path: Path) -> bool:
    """Whether it says nothing that has to arrive."""
    named = [str(step) for step in path if isinstance(step, str)]
    if at(body, path) in (None, [], {}) or named[-1] in FINE or ".".join(named[-2:]) in FINE:
        return True
    if "reasoning_content" in named:
        return "thinking_blocks" in at(body, path[:-1])  # which say the same, signed
    if named[-1] == "strict" and pair[1] == "gemini.generate":
        return True  # where a call is demanded Google checks it anyway
    none = {"openai.chat": "none", "anthropic.messages": {"type": "none"}}
    if pair[1] == "bedrock.converse" and none.get(pair[0]) is not None and body.get("tool_choice") == none[pair[0]]:
        return named[0] == "tools"  # none may be called, and Bedrock can only be told so by leaving them out
    return pair[2].endswith("nova-pro-v1:0") and body.get("thinking") == {"type": "disabled"}  # it never thinks


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0]} to {pair[1]} at {pair[2]}")
def test_every_field_arrives_or_is_told_or_refused(pair: tuple[str, str, str]) -> None:
    lost: list[str] = []
    for body in ASKED[pair[0]]:
        whole = outcome(*pair, body)
        if whole.sent is None:
            assert "`" in whole.refusal, whole.refusal
            continue
        for path in fields(body):
            matters = outcome(*pair, without(body, path)) != whole or outcome(*pair, changed(body, path)) != whole
            if not (matters or is_fine(pair, body, path) or is_told(pair, body, whole, path)):
                lost.append(".".join(map(str, path)) + f" = {at(body, path)!r}")
    assert lost == []


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: f"{pair[0]} to {pair[1]} at {pair[2]}")
def test_the_three_ways_with_what_has_no_place_differ_in_what_is_told_alone(pair: tuple[str, str, str]) -> None:
    for body in ASKED[pair[0]]:
        warned = outcome(*pair, body, "warn")
        dropped, rejected = outcome(*pair, body, "drop"), outcome(*pair, body, "reject")
        assert dropped.sent == warned.sent
        assert dropped.changes == [] or warned.sent is None
        left_out = [change for change in warned.changes if " was left out: " in change]
        if rejected.sent is not None:
            assert rejected.sent == warned.sent
        elif warned.sent is not None:
            assert left_out, body
            assert rejected.refusal.startswith("`")
            assert "set on_unsupported_param to warn or drop" in rejected.refusal


@pytest.mark.parametrize("provider", ["openai.chat", "openai.responses", "anthropic.messages", "bedrock.converse"])
def test_a_prompt_that_lies_with_google_is_not_left_out_by_anybody_else(provider: str) -> None:
    into = Exchange(model="gpt-5.4", provider="openai", request_id="r1")
    caller, other = translation("gemini.generate"), translation(provider)
    assert caller is not None
    assert other is not None
    asked = {"contents": [{"parts": [{"text": "And then?"}]}], "cachedContent": "cachedContents/a-long-book"}
    with pytest.raises(InvalidRequest, match=r"`gemini.cachedContent`: nobody else has this part"):
        other.request_from_chat(caller.request_to_chat(asked, into), into)


def test_a_video_is_not_left_out_of_a_question_to_openai() -> None:
    into = Exchange(model="gpt-5.4", provider="openai", request_id="r1")
    openai = translation("openai.chat")
    assert openai is not None
    video = {"type": "video_url", "video_url": {"url": "https://a/b.mp4"}}
    with pytest.raises(InvalidRequest, match="video_url"):
        openai.request_from_chat({"messages": [{"role": "user", "content": [video]}]}, into)
