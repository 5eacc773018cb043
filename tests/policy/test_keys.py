"""What makes two calls the same call, and what does not."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import pytest
from hypothesis import assume, given, strategies as st

from llm_edge.message import Body
from llm_edge.policy.keys import LEFT_OUT, SCHEMA, Ambiguous, address, answer_key, fingerprint

SCALARS = (
    st.none() | st.booleans() | st.integers(-(2**80), 2**80) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(), max_size=6)
)  # fmt: skip
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
)
FIELDS = st.dictionaries(st.text(max_size=6).filter(lambda name: name not in LEFT_OUT), VALUES, max_size=4)

CHAT: dict[str, Any] = {
    "model": "gpt-5.4-mini",
    "messages": [{"role": "system", "content": "brief"}, {"role": "user", "content": [{"type": "text", "text": "Hi"}]}],
    "temperature": 0.2, "top_p": 1, "max_completion_tokens": 64, "n": 1, "seed": 7, "stop": ["x"],
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "response_format": {"type": "json_object"}, "logit_bias": {"50256": -100}, "a_field_of_tomorrow": None,
}  # fmt: skip


def key(fields: dict[str, Any], *context: str) -> str:
    return answer_key(Body(json.dumps(fields).encode()), *context)


def spelled(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


@given(FIELDS, FIELDS)
def test_two_bodies_share_a_key_only_when_they_are_the_same_json(one: dict[str, Any], other: dict[str, Any]) -> None:
    assert (key(one) == key(other)) == (spelled(one) == spelled(other))


@given(FIELDS, st.data())
def test_any_field_changed_changes_the_key(fields: dict[str, Any], data: st.DataObject) -> None:
    assume(fields)
    name = data.draw(st.sampled_from(sorted(fields)))
    value = data.draw(VALUES)
    assume(spelled(value) != spelled(fields[name]))
    assert key({**fields, name: value}) != key(fields)
    assert key({other: item for other, item in fields.items() if other != name}) != key(fields)


@pytest.mark.parametrize("name", sorted(CHAT))
def test_every_field_of_a_chat_counts(name: str) -> None:
    assert key({**CHAT, name: "another"}) != key(CHAT)
    assert key({other: value for other, value in CHAT.items() if other != name}) != key(CHAT)


@pytest.mark.parametrize("name", sorted(LEFT_OUT))
def test_what_does_not_reach_the_model_does_not_count(name: str) -> None:
    assert key({**CHAT, name: "another"}) == key(CHAT)
    assert LEFT_OUT[name]
    assert key({**CHAT, "messages": [{name: "inside"}]}) != key({**CHAT, "messages": [{}]})


@given(FIELDS)
def test_order_and_spacing_do_not_count(fields: dict[str, Any]) -> None:
    backwards = dict(reversed(fields.items()))
    assert answer_key(Body(json.dumps(backwards, indent=3).encode())) == key(fields)
    assert answer_key(Body(json=fields)) == key(fields)


@given(FIELDS, st.data(), st.sampled_from([None, 3]))
def test_a_key_that_stands_twice_has_no_key(fields: dict[str, Any], data: st.DataObject, indent: int | None) -> None:
    name, value = data.draw(st.sampled_from([*fields, "stream"])), data.draw(VALUES)

    def written(value: Any) -> bytes:
        return json.dumps(value, indent=indent).encode()

    once = written({"deep": [{**fields, "the last": 1}], **fields, "metadata": {"a": ":"}, "stream": True})
    assert answer_key(Body(once)) == answer_key(Body(json=json.loads(once)))
    twice = written(name) + b": " + written(value)
    for raw in (once.replace(b"{", b"{" + twice + b",", 1), once.replace(b'"the last": 1', twice + b"," + twice, 1)):
        with pytest.raises(Ambiguous):
            answer_key(Body(raw))


def test_a_key_twice_is_seen_behind_escapes() -> None:
    for raw in (rb'{"a": 1, "\u0061": 2}', rb'{"a": 1, "a": 2, "b": "\u003a"}', rb'{"a" : 1,"a" : "b\":"}'):
        with pytest.raises(Ambiguous):
            answer_key(Body(raw))


@pytest.mark.parametrize(
    "raw", [b'{"a":1,"a":1e6}', '{"a":1,"a":2,"b":"\\u003a"}'.encode("utf-16"), '{"a":"x","a":"éé\\ud800"}'.encode()]
)
def test_a_key_twice_is_seen_though_what_is_read_is_no_shorter(raw: bytes) -> None:
    with pytest.raises(Ambiguous):
        answer_key(Body(raw))


def test_order_inside_lists_counts() -> None:
    assert key({"stop": ["a", "b"]}) != key({"stop": ["b", "a"]})


def test_numbers_that_python_finds_equal_are_told_apart() -> None:
    numbers = [1, 1.0, True, "1", 2**64, float(2**64), 2**64 + 1, -(2**63) - 1, float(-(2**63)), 10**40, 1e40]
    assert len({key({"n": number}) for number in numbers}) == len(numbers)


def test_lone_surrogates_have_a_key_of_their_own() -> None:
    texts = ["\ud800", "\udc00", "\\ud800", "\U00010000", "?", ""]
    assert len({key({"text": text}) for text in texts}) == len(texts)


@pytest.mark.parametrize("value", [math.nan, math.inf, {1, 2}, object(), {(1, 2): 3}])
def test_what_is_not_json_has_no_key(value: object) -> None:
    with pytest.raises(ValueError, match=r"."):
        answer_key(Body(json={"n": value}))


@pytest.mark.parametrize("raw", [b"[]", b"{", b'{"a": NaN}'])
def test_bytes_that_are_no_object_have_no_key(raw: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        answer_key(Body(raw))


PARTS = st.lists(st.text("ab:0123\x00\ud800é", max_size=6), max_size=4)


@given(PARTS, PARTS)
def test_words_around_the_body_cannot_be_mistaken_for_each_other(one: list[str], other: list[str]) -> None:
    assert (key({}, *one) == key({}, *other)) == (one == other)
    assert (fingerprint(*one) == fingerprint(*other)) == (one == other)


def test_a_key_is_a_whole_sha_256_and_the_same_tomorrow() -> None:
    assert key(CHAT, "openai.chat", "tenant") == "4f58cad196078d5f8278c316fdd8d0873aeabef384a1042a3999b648f0371191"


@pytest.mark.parametrize("size", [16_000, 16_400, 100_000])
def test_a_long_question_counts_from_its_first_word_to_its_last(size: int) -> None:
    asked = "x" * size
    told = [asked, f"y{asked[1:]}", f"{asked[:-1]}y", f"{asked}x"]
    keys = [key({**CHAT, "messages": [{"role": "user", "content": text}]}, *who) for text in told for who in ("a", "b")]
    assert len({*keys}) == len(keys)


def test_the_key_of_a_long_question_is_the_same_tomorrow() -> None:
    asked = {"model": "m", "messages": [{"role": "user", "content": "x" * 20_000}]}
    whole = b'{"messages":[{"content":"%b","role":"user"}],"model":"m"}' % (b"x" * 20_000)
    assert (
        key(asked, "openai.chat")
        == hashlib.sha256(b"%d:%b11:openai.chat" % (len(SCHEMA), SCHEMA.encode()) + whole).hexdigest()
    )


def test_a_fingerprint_shows_nothing_of_what_it_stands_for() -> None:
    assert "sk-secret" not in fingerprint("sk-secret")
    assert len(fingerprint("sk-secret")) == 32


@pytest.mark.parametrize(
    ("streamed", "whole"),
    [
        ("https://g/v1/models/m:streamGenerateContent?alt=sse", "https://g/v1/models/m:generateContent"),
        ("https://g/v1/models/m:streamGenerateContent?alt=sse&x=1", "https://g/v1/models/m:generateContent?x=1"),
        ("https://g/v1/models/m:streamGenerateContent?x=1&alt=sse", "https://g/v1/models/m:generateContent?x=1"),
    ],
)
def test_an_address_that_only_asks_for_a_stream_is_the_same_place(streamed: str, whole: str) -> None:
    assert address(streamed, "gemini.generate") == address(whole, "gemini.generate") == whole
    assert address(streamed, "openai.chat") == streamed
