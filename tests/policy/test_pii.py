"""Personal data in text: what is found, what is not, and that no text makes the search slow."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from hypothesis import example, given, strategies as st

from llm_edge.policy import pii
from llm_edge.policy.ibans import LENGTHS
from llm_edge.policy.pii import KINDS, find, iban_holds, luhn_holds, redacted

HOLDS = {
    "email": ["a.b+c@example.co.uk", "müller@exämple.de", "<x_1@sub.mail.example.com>", "o'neil@example.org"],
    "phone": [
        "+49 30 1234567", "+1-415-555-2671", "(415) 555-2671", "415-555-2671", "030 1234567", "01 23 45 67 89",
        "0049 30 1234567", "+442079460958", "+91 98765 43210",
    ],
    "ssn": ["078-05-1120", "219 09 9999"],
    "card": [
        "4111 1111 1111 1111", "4111111111111111", "5555-5555-5555-4444", "378282246310005", "3782 822463 10005",
        "6011111111111117", "2223003122003222",
    ],
    "iban": [
        "DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432", "nl91abna0417164300",
        "MT84MALT011000012345MTLCAST001S",
    ],
    "ip": ["192.168.0.1", "10.1.2.3", "2001:db8::8a2e:370:7334", "fe80::1", "::ffff:10.0.0.1"],
    "api_key": [
        "sk-proj-abcdEFGH1234567890abcd", "sk-ant-api03-abcdefghijklmnopqrst", "AKIAIOSFODNN7EXAMPLE",
        "AIza" + "a" * 35, "gsk_" + "a" * 40, "hf_" + "b" * 34, "xai-" + "c" * 40, "ghp_" + "d" * 36,
        "sk_" + "live_" + "e" * 24, "rk_" + "test_" + "f" * 24, "whsec" + "_" + "g" * 32, "glpat-" + "h" * 20,
        "xoxb-" + "1" * 12, "xapp-" + "1-A" + "2" * 12,
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.c2lnbmF0dXJl", "Bearer abcdefghijklmnopqrstuvwxyz",
        "-----BEGIN PRIVATE KEY-----\nMIIabc\n-----END PRIVATE KEY-----",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("kind", "text"), [(kind, text) for kind, texts in HOLDS.items() for text in texts])
def test_it_is_found_wherever_it_stands(kind: str, text: str) -> None:
    for whole in (text, f"before {text} after", f"({text}), and so on.", f'{{"a": "{text}"}}'):
        assert [found.kind for found in find(whole)] == [kind]
    assert text.strip("<>") not in redacted(f"it is {text}!")


@pytest.mark.parametrize(
    "text",
    [
        "4111 1111 1111 1112", "1234567890123456", "GB82WEST12345698765433", "XX89WEST12345698765432",
        "000-12-3456", "666-12-3456", "900-12-3456", "123-00-4567", "256.1.1.1", "1.2.3.4.5", "10:30:45", "std::vector",
        "2023-01-02 10:30", "01-12-2023 10:30", "550e8400-e29b-41d4-a716-446655440000", "3.14159265358979",
        "1,000,000.00", "a@b", "@here", "user@localhost", "x@1.2", "task-0123456789012345678901", "disk-like-this-one",
        "1700000000", "v1.2.3", "::1", "::", "sk-short", "",
    ],
)  # fmt: skip
def test_what_only_looks_like_it_is_left(text: str) -> None:
    assert find(text) == []
    assert redacted(text) == text


def test_only_the_kinds_asked_for_are_found() -> None:
    text = "a@example.com from 10.0.0.1"
    assert [found.kind for found in find(text, {"ip"})] == ["ip"]
    assert redacted(text, {"email"}) == "[EMAIL] from 10.0.0.1"


def test_a_card_beside_other_numbers_is_found() -> None:
    assert redacted("order 1234 4111 1111 1111 1111 22 now") == "order 1234 [CARD] 22 now"


def test_a_private_key_that_is_cut_short_is_one_all_the_same() -> None:
    assert redacted("-----BEGIN RSA PRIVATE KEY-----\nMIIabc") == "[API_KEY]"


def test_all_that_a_text_holds_is_found_in_order() -> None:
    texts = [(kind, text.strip("<>")) for kind, several in HOLDS.items() for text in several]
    whole = " ; ".join(text for _, text in texts)
    assert [(kind, whole[start:end]) for start, end, kind in find(whole)] == texts


def test_checksums() -> None:
    assert luhn_holds("79927398713")
    assert not luhn_holds("79927398710")
    assert iban_holds("DE89370400440532013000")
    assert not iban_holds("DE88370400440532013000")
    assert len(LENGTHS) > 75


@given(st.text(alphabet="aZ09@.:-+ ()/_sk", max_size=300))
def test_places_are_in_order_apart_and_inside(text: str) -> None:
    end = 0
    for found in find(text):
        assert end <= found.start < found.end <= len(text)
        assert found.kind in KINDS
        end = found.end


@given(
    st.lists(st.sampled_from([each for several in HOLDS.values() for each in several]), max_size=4),
    st.text("xy ,;", max_size=9),
)
@example(["0049 30 1234567", "(415) 555-2671"], "")
def test_nothing_found_is_left_after_redaction(texts: list[str], between: str) -> None:
    assert find(redacted(f" {between} ".join(texts))) == []


def steps_of(text: str) -> int:
    """How many lines of Python the search took."""
    taken = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal taken
        taken += event == "line"
        return trace

    before = sys.gettrace()  # what measures coverage
    sys.settrace(trace)
    try:
        find(text)
    finally:
        sys.settrace(before)
    return taken


ODD = [
    "a", "@", "a@", "a@a.", "1", "1 ", "1-", "+1", "1.", ":", "f:", "4111 ", "sk-", "eyJ", "eyJaaaaaaaaaa.", "DE89 ",
    "-----BEGIN PRIVATE KEY-----", "-----BEGIN ", "012 34 ", "+1 (2) ", "bearer ", "4111 1111 1111 1112 ",
    "DE89 3704 0044 0532 0130 01 ", "-----END", "((((0", "+12 ", "00 00 ",
]  # fmt: skip


@pytest.mark.parametrize("piece", ODD)
def test_twice_the_text_takes_twice_the_steps(piece: str) -> None:
    once, twice = (steps_of((piece * length)[:length]) for length in (2000, 4000))
    assert twice <= 2.2 * once + 200


@pytest.mark.parametrize(("piece", "holds"), [("@", 0), ("1-", 0), ("sk-", 1), ("eyJ", 0), ("-----BEGIN ", 0)])
def test_a_mebibyte_of_what_is_nearly_something_is_searched(piece: str, holds: int) -> None:
    assert len(find((piece * 2**20)[: 2**20])) == holds


@given(st.text(alphabet=st.sampled_from("1 -+0(.)@:"), min_size=1, max_size=6))
def test_no_short_pattern_repeated_costs_more_than_its_length(piece: str) -> None:
    once, twice = (steps_of((piece * 400)[: 400 * factor]) for factor in (1, 2))
    assert twice <= 2.5 * once + 300


def test_every_kind_has_a_finder_and_an_example() -> None:
    assert set(HOLDS) == set(KINDS) == set(pii.KINDS)
