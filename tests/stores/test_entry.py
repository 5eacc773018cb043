"""An entry is read only when every byte is what was written, for the key and the scope that were asked for."""

from __future__ import annotations

import hashlib
import struct
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, strategies as st

from llm_edge import exact
from llm_edge.stores.entry import (
    DEEPEST,
    LARGEST_HEAD,
    LARGEST_PAYLOAD,
    VERSION,
    YEAR,
    Entry,
    Odd,
    decode,
    digest,
    encode,
)

SECRET = b"a secret of some length"
KEY, SCOPE = "k" * 64, digest("tenant", "credential")
FRONT = struct.Struct(">4sHII")


def an_entry(**changes: Any) -> Entry:
    given: dict[str, Any] = {
        "key": KEY, "scope": SCOPE, "tenant": digest("tenant"), "namespace": "docs", "model": "gpt",
        "dialect": "openai.chat", "kind": "whole",
        "headers": (("content-type", "application/json"), ("x-request-id", "é\n")),
        "payload": b'{"id": 1}', "made": 1_795_000_000.25, "ttl": 300,
        "usage": {"total_tokens": 7, "more": [{"a": None}]}, "cost": 1_200, "took": 0.75, "target": "openai/gpt",
    }  # fmt: skip
    return Entry(**{**given, **changes})


def read(data: object, *, key: str = KEY, scope: str = SCOPE, secret: bytes = SECRET) -> Entry:
    return decode(data, key=key, scope=scope, secret=secret)


def why(data: object, **asked: Any) -> str:
    with pytest.raises(Odd) as caught:
        read(data, **asked)
    assert caught.value.reason in str(caught.value)
    return caught.value.reason


def signed(head: bytes, payload: bytes = b"", *, magic: bytes = b"LEca", version: int = VERSION) -> bytes:
    """Bytes by somebody who has the secret, and may do with it what they like."""
    covered = FRONT.pack(magic, version, len(head), len(payload)) + head + payload
    return covered + hashlib.blake2b(covered, digest_size=32, key=SECRET, person=b"llm_edge entry").digest()


def head_of(entry: Entry) -> dict[str, Any]:
    return {each.name: getattr(entry, each.name) for each in fields(Entry) if each.name != "payload"}


def forged(**changes: Any) -> bytes:
    head = {**head_of(an_entry()), **changes}
    return signed(exact.write({name: value for name, value in head.items() if value is not ...}), b"payload")


numbers = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
json = st.recursive(
    st.none() | st.booleans() | numbers | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)  # fmt: skip
entries = st.builds(
    Entry,
    key=st.text(max_size=80), scope=st.text(max_size=80), tenant=st.text(max_size=9), namespace=st.text(max_size=9),
    model=st.text(max_size=9), dialect=st.text(max_size=9), kind=st.sampled_from(["whole", "stream"]),
    headers=st.lists(st.tuples(st.text(max_size=9), st.text(max_size=9)), max_size=4).map(tuple),
    payload=st.binary(max_size=400), made=st.floats(1, 1e10), ttl=st.floats(0.001, YEAR) | st.integers(1, 10**6),
    usage=st.none() | st.dictionaries(st.text(), json, max_size=3), cost=st.none() | st.integers(0, 2**70),
    took=st.floats(0, 1e6), target=st.text(max_size=9),
)  # fmt: skip


@pytest.mark.parametrize("number", [2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**70])
def test_whole_numbers_stay_what_they_are_however_long(number: int) -> None:
    entry = replace(an_entry(), cost=number, usage={"total_tokens": number, "more": [{"a": number}]})
    again = decode(encode(entry, SECRET), key=entry.key, scope=entry.scope, secret=SECRET)
    assert again == entry
    assert type(again.cost) is int


@given(entries, st.binary(min_size=1, max_size=200))
def test_what_was_written_is_read_again(entry: Entry, secret: bytes) -> None:
    assert decode(encode(entry, secret), key=entry.key, scope=entry.scope, secret=secret) == entry


@given(st.binary(max_size=300) | st.text() | st.none() | st.integers())
def test_anything_else_is_odd(data: object) -> None:
    assert why(data)


@given(st.binary(max_size=300))
def test_what_only_begins_like_an_entry_is_odd(rest: bytes) -> None:
    assert why(encode(an_entry(), SECRET)[:10] + rest)


def test_no_bit_of_an_entry_can_be_flipped() -> None:
    data = encode(an_entry(), SECRET)
    for at in range(len(data) * 8):
        changed = bytearray(data)
        changed[at // 8] ^= 1 << at % 8
        assert why(bytes(changed)) in {"magic", "version", "length", "mac"}


def test_an_entry_cut_short_or_gone_on_is_odd() -> None:
    data = encode(an_entry(), SECRET)
    assert {why(data[:length]) for length in range(len(data))} == {"size", "length"}
    assert why(data + b"\0") == "length"


def test_an_entry_is_for_its_key_and_its_scope_alone() -> None:
    data = encode(an_entry(), SECRET)
    assert why(data, key="l" * 64) == "key"
    assert why(data, scope=digest("tenant", "another")) == "scope"
    assert why(data, secret=SECRET + b"!") == "mac"


@pytest.mark.parametrize("version", [0, VERSION - 1, VERSION + 1, 2**16 - 1])
def test_older_and_newer_versions_are_not_read(version: int) -> None:
    assert why(signed(b"{}", version=version)) in ({"json", "schema"} if version == VERSION else {"version"})


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"key": 1}, "schema"),
        ({"scope": None}, "schema"),
        ({"kind": "pickle"}, "schema"),
        ({"extra": 1}, "schema"),
        ({"namespace": ...}, "schema"),
        ({"headers": [["one"]]}, "schema"),
        ({"headers": [["a", 1]]}, "schema"),
        ({"headers": {"a": "b"}}, "schema"),
        ({"usage": [1]}, "schema"),
        ({"usage": "7"}, "schema"),
        ({"cost": 1.5}, "schema"),
        ({"cost": -1}, "schema"),
        ({"cost": True}, "schema"),
        ({"made": 0}, "time"),
        ({"made": -5.0}, "time"),
        ({"made": 1e12}, "time"),
        ({"made": True}, "time"),
        ({"made": "now"}, "time"),
        ({"ttl": 0}, "time"),
        ({"ttl": YEAR * 2}, "time"),
        ({"took": -1}, "time"),
    ],
)
def test_a_signed_entry_that_makes_no_sense_is_odd(changes: dict[str, Any], reason: str) -> None:
    assert why(forged(**changes)) == reason


@pytest.mark.parametrize("head", [b"", b"nonsense", b"[]", b"\xff", b"null", b'{"ttl": 1e999}', b"{}" * 2, b"[" * 5000])
def test_a_signed_head_that_is_no_head_is_odd(head: bytes) -> None:
    assert why(signed(head)) in {"json", "schema"}


def test_the_depth_of_what_it_holds_is_bounded() -> None:
    def nested(depth: int) -> dict[str, Any]:
        return {} if depth == 1 else {"in": nested(depth - 1)}

    assert read(forged(usage=nested(DEEPEST))).usage == nested(DEEPEST)
    assert why(forged(usage=nested(DEEPEST + 1))) == "schema"


def test_an_entry_may_be_as_large_as_four_mebibytes() -> None:
    entry = an_entry(payload=bytes(LARGEST_PAYLOAD))
    assert read(encode(entry, SECRET)) == entry
    with pytest.raises(ValueError, match="too large"):
        encode(replace(entry, payload=bytes(LARGEST_PAYLOAD + 1)), SECRET)
    with pytest.raises(ValueError, match="too large"):
        encode(an_entry(headers=(("a", "b" * LARGEST_HEAD),)), SECRET)
    assert why(signed(b"{}", bytes(LARGEST_PAYLOAD + 1))) == "length"
    assert why(bytes(LARGEST_PAYLOAD * 2)) == "size"


@pytest.mark.parametrize(
    "changes", [{"usage": {"a": float("nan")}}, {"usage": {"a": object()}}, {"made": float("inf")}, {"ttl": 0}]
)
def test_what_could_not_be_read_again_is_not_written(changes: dict[str, Any]) -> None:
    with pytest.raises((TypeError, ValueError)):
        encode(an_entry(**changes), SECRET)


def test_neither_the_answer_nor_the_secret_shows() -> None:
    entry = an_entry(payload=b"the answer", usage={"private": 1})
    assert "the answer" not in repr(entry)
    assert "private" not in repr(entry)
    assert entry.size > len(entry.payload)
    assert entry.expires == entry.made + 300


def test_digests_tell_words_apart() -> None:
    assert len({digest("a", "b"), digest("ab"), digest("", "ab"), digest("b", "a"), digest(), digest("\udcff")}) == 6
