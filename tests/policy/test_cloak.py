"""Personal data is taken out of whatever a call asks, and put back into whatever comes, however it is cut."""

from __future__ import annotations

import copy
import json
from typing import Any, get_args

import pytest
from hypothesis import given, strategies as st

from llm_edge.config.guard import GuardConfig, Kind
from llm_edge.policy.cloak import Cloak
from llm_edge.policy.pii import KINDS
from llm_edge.policy.uncloaking import MOST, Uncloaking

BOB, EVE, CARD, PHONE = "bob@example.com", "eve@example.org", "4111 1111 1111 1111", "+49 30 1234567"
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkq\n-----END PRIVATE KEY-----"


def asked(*contents: Any, **fields: Any) -> dict[str, Any]:
    return {"model": "m", "messages": [{"role": "user", "content": content} for content in contents], **fields}


def test_the_settings_name_every_kind_that_can_be_found() -> None:
    assert (get_args(Kind), GuardConfig().kinds) == (KINDS, KINDS)


def test_the_same_value_gets_the_same_placeholder_and_others_others() -> None:
    cloak = Cloak()
    covered = cloak.covered(asked(f"{BOB} wrote to {EVE}", f"{BOB} paid by {CARD}"))
    assert [each["content"] for each in covered["messages"]] == [
        "[EMAIL_1] wrote to [EMAIL_2]",
        "[EMAIL_1] paid by [CARD_1]",
    ]
    assert cloak.found == {"email": 3, "card": 1}
    assert cloak.uncovered(covered) == asked(f"{BOB} wrote to {EVE}", f"{BOB} paid by {CARD}")


def test_calls_that_differ_in_personal_data_alone_become_one() -> None:
    assert Cloak().covered(asked(f"Greet {BOB}.")) == Cloak().covered(asked(f"Greet {EVE}."))


def test_a_body_without_any_stays_the_same_object() -> None:
    body = asked("The capital of France?", temperature=0.5)
    assert Cloak().covered(body) is body


def parts(*parts: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts)}]}


@pytest.mark.parametrize(
    "body",
    [
        parts({"type": "text", "text": f"I am {BOB}"}),
        {"model": "m", "system": f"Serve {BOB}", "messages": []},
        {"model": "m", "input": f"I am {BOB}"},
        {"model": "m", "input": [f"I am {BOB}", "x"]},
        {"model": "m", "input": [{"role": "user", "content": [{"type": "input_text", "text": BOB}]}]},
        {"contents": [{"role": "user", "parts": [{"text": f"I am {BOB}"}]}]},
        {"contents": [{"parts": [{"functionResponse": {"name": "f", "response": {"name": BOB, "url": f"x?{BOB}"}}}]}]},
        parts({"type": "tool_use", "id": "t", "name": "f", "input": {"id": BOB}}),
        parts({"toolResult": {"toolUseId": "t", "content": [{"json": {"type": BOB}}]}}),
        {"model": "m", "prompt": f"I am {BOB}"},
        {"model": "m", "messages": [], "user": BOB},
    ],
)
def test_wherever_people_write_it_is_found(body: dict[str, Any]) -> None:
    before, cloak = copy.deepcopy(body), Cloak()
    covered = cloak.covered(body)
    assert BOB not in json.dumps(covered)
    assert cloak.uncovered(covered) == body == before


def test_what_is_no_text_of_peoples_is_left_as_it_is() -> None:
    body = {
        "model": "m-10.0.0.1", "tools": [{"description": BOB}], "response_format": {"schema": {"const": BOB}},
        "messages": [{"role": "user", "tool_call_id": BOB, "content": [
            {"type": "image_url", "image_url": {"url": f"https://example.com/?for={BOB}"}},
            {"inlineData": {"mimeType": "image/png", "data": "AKIAABCDEFGHIJKLMNOP"}},
            {"type": "thinking", "thinking": "hm", "signature": "AKIAABCDEFGHIJKLMNOP"},
        ]}],
    }  # fmt: skip
    assert Cloak().covered(body) is body


def test_json_in_a_text_stays_json() -> None:
    arguments = json.dumps({"note": f"line\n{BOB}", BOB: [f'"{EVE}"', {"deep": f'{{"who":"\\n{BOB}"}}'}]})
    cloak = Cloak()
    covered = cloak.text(arguments)
    inside = json.loads(covered)
    assert inside["note"] == "line\n[EMAIL_1]"
    assert inside["[EMAIL_1]"][0] == '"[EMAIL_2]"'
    assert json.loads(inside["[EMAIL_1]"][1]["deep"]) == {"who": "\n[EMAIL_1]"}
    assert json.loads(cloak.restored(covered)) == json.loads(arguments)


@pytest.mark.parametrize("text", ["[4111111111111111]", '{"card": 4111111111111111}', '[{"a":4111111111111111.0}]'])
def test_a_number_in_json_counts_too(text: str) -> None:
    cloak = Cloak()
    covered = cloak.covered(asked(text, [{"type": "tool_use", "name": "pay", "input": {"with": json.loads(text)}}]))
    assert "4111" not in json.dumps(covered)
    assert json.loads(covered["messages"][0]["content"]) == covered["messages"][1]["content"][0]["input"]["with"]
    assert cloak.found == {"card": 2}


def test_json_in_a_text_that_names_a_key_twice_is_no_more_than_text() -> None:
    said = f'{{"to":"{BOB}","to":"nobody"}}'
    assert Cloak().text(said) == said.replace(BOB, "[EMAIL_1]")


def test_a_placeholder_that_the_caller_wrote_is_not_taken_for_ours() -> None:
    body = asked(f"Keep [EMAIL_1] as it is, and greet {BOB}.")
    cloak = Cloak(taken=lambda: json.dumps(body).encode())
    assert cloak.covered(body)["messages"][0]["content"] == "Keep [EMAIL_1] as it is, and greet [EMAIL_2]."
    assert cloak.restored("[EMAIL_1] [EMAIL_2]") == f"[EMAIL_1] {BOB}"


def test_a_private_key_is_taken_out_and_never_put_back() -> None:
    cloak = Cloak()
    covered = cloak.text(f"Mine: {PEM} and {BOB}")
    assert covered == "Mine: [API_KEY_1] and [EMAIL_1]"
    assert cloak.restored(covered) == f"Mine: [API_KEY_1] and {BOB}"


def test_very_many_values_cost_no_more_than_their_text() -> None:
    looked = 0

    def body() -> bytes:
        nonlocal looked
        looked += 1
        return b"[EMAIL_2] is the caller's own"

    cloak = Cloak(taken=body)
    covered = cloak.text(" ".join([f"u{number}@example.com" for number in range(500)]))
    assert (looked, len(cloak.values), "[EMAIL_2]" in covered) == (1, 500, False)


def test_only_the_kinds_that_are_asked_for_are_found() -> None:
    assert Cloak(["card"]).text(f"{BOB} {CARD}") == f"{BOB} [CARD_1]"


# ---------------------------------------------------------------- streams


def told(cloak: Cloak, events: list[Any]) -> list[Any]:
    uncloaking: Uncloaking[int] = Uncloaking(cloak)
    left = [event for number, each in enumerate(events) for event in uncloaking.feed(number, each)]
    left += uncloaking.end()
    assert [event.frame for event in left] == list(range(len(events)))
    return [event.json for event in left]


def delta(text: str, index: int = 0) -> dict[str, Any]:
    return {"id": "c[", "choices": [{"index": index, "delta": {"content": text}}]}


def texts(events: list[Any], index: int = 0) -> str:
    choices = [choice for event in events if event for choice in event.get("choices", ())]
    return "".join([choice["delta"]["content"] for choice in choices if choice["index"] == index])


@pytest.fixture(scope="module")
def cloak() -> Cloak:
    made = Cloak()
    made.text(f"{BOB} {EVE} {CARD} {PHONE}")
    return made


LONG = "Hi [EMAIL_1], not [EMAIL_9] or [x[EMAIL_2]] but [CARD_1][PHONE_1] [EMAIL_"


@given(cuts=st.lists(st.integers(0, len(LONG)), max_size=12), other=st.booleans())
def test_a_placeholder_is_put_back_wherever_it_is_cut(cloak: Cloak, cuts: list[int], other: bool) -> None:
    marks = sorted({0, len(LONG), *cuts})
    events: list[Any] = []
    for start, end in zip(marks, marks[1:], strict=False):
        events.append(delta(LONG[start:end]))
        if other:
            events += [delta("[", 1), None, {"type": "ping"}]
    made = told(cloak, events)
    assert texts(made) == cloak.restored(LONG)
    assert texts(made, 1) == "[" * texts(made, 1).count("[")


def test_every_cut_in_two_is_told_as_one(cloak: Cloak) -> None:
    whole = cloak.restored(LONG)
    for at in range(len(LONG)):
        assert texts(told(cloak, [delta(LONG[:at]), delta(LONG[at:])])) == whole


def test_nothing_is_kept_back_without_need(cloak: Cloak) -> None:
    uncloaking: Uncloaking[int] = Uncloaking(cloak)
    assert len(list(uncloaking.feed(0, delta("Hello [1]")))) == 1
    assert list(uncloaking.feed(1, delta("a list: ["))) == []
    assert len(list(uncloaking.feed(2, delta("1, 2]")))) == 2


def test_an_end_that_never_goes_on_lets_the_rest_pass(cloak: Cloak) -> None:
    uncloaking: Uncloaking[int] = Uncloaking(cloak)
    left = [event for number in range(MOST + 1) for event in uncloaking.feed(number, delta("[EMAIL", number))]
    assert [event.frame for event in left] == list(range(MOST + 1))
    assert list(uncloaking.end()) == []
