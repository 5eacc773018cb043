"""What both transports share, without an HTTP library above or below."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, strategies as st

from llm_edge.errors import (
    BadAnswer,
    CallError,
    CircuitOpen,
    DeadlineExceeded,
    InvalidRequest,
    NetworkFailed,
    Overloaded,
    RateLimited,
)
from llm_edge.http.face import Front, Remembered, kind_of, may_know, raw_pairs, total_timeout, without_secrets
from llm_edge.http.senders.requests import readable
from llm_edge.message import Body, Headers, Request, Response
from llm_edge.notes import Attempt
from llm_edge.policy.controls import from_headers
from llm_edge.runtime import FakeClock

CHAT = b'{"model":"gpt-x","messages":[],"stream":true}'


async def nobody(request: Request, /) -> Response:
    raise AssertionError("these tests send nothing")


def front(**given: Any) -> Front:
    return Front(handler=nobody, clock=FakeClock(), **given)


def inward(face: Front, path: str = "/v1/chat/completions", body: bytes = CHAT, **headers: str) -> Request:
    fields = Headers({name.replace("_", "-"): value for name, value in headers.items()})
    return face.inward("POST", "http://host.test" + path, path, fields, 9.0, Body(body))


def test_a_question_is_understood() -> None:
    call = inward(front(routes=frozenset({"gpt-x"})), authorization="Bearer k", x_request_id="mine")
    assert (call.dialect, call.operation, call.model, call.streaming) == ("openai.chat", "chat", "gpt-x", True)
    assert (call.route, call.timeout, call.notes.request_id) == ("gpt-x", 9.0, "mine")
    assert call.scope
    assert call.scope != "k"
    assert call.notes.route == "gpt-x"


def test_a_route_is_one_of_ours_or_the_one_that_is_asked_for() -> None:
    assert inward(front(routes=frozenset({"other"}))).route == ""
    assert inward(front(routes=frozenset({"gpt-x"})), x_llm_edge_route="other").route == "other"


@pytest.mark.parametrize(
    ("given_", "kept"), [("x" * 128, True), ("x" * 129, False), ("a\r\nb: c", False), ("", False), ("id-1", True)]
)
def test_a_callers_name_for_its_call_is_kept_when_it_can_be_told_again(given_: str, kept: bool) -> None:
    notes = inward(front(), x_request_id=given_).notes
    assert notes.request_id
    assert (notes.request_id == given_) is kept


def test_a_call_that_is_asked_again_has_a_story_of_its_own_on_the_same_route() -> None:
    face = front(routes=frozenset({"gpt-x"}))
    call = inward(face, x_request_id="mine")
    call.notes.attempts.append(Attempt("host.test", 0.0))
    again = face.again(call)
    assert (again.notes.route, again.notes.request_id, again.notes.model) == ("gpt-x", "mine", "gpt-x")
    assert (again.notes.attempts, again.body) == ([], call.body)


@pytest.mark.parametrize(
    ("path", "length", "whole"),
    [
        ("/v1/chat/completions", "", True), ("/v1/chat/completions", "soon", True),
        ("/v1/chat/completions", str(10 * 2**20), True), ("/v1/chat/completions", str(10 * 2**20 + 1), False),
        ("/v1/files", "5", False),
    ],
)  # fmt: skip
def test_a_body_is_read_whole_where_it_may_be_understood_and_is_not_huge(path: str, length: str, whole: bool) -> None:
    assert front().whole("POST", path, Headers({"content-length": length} if length else {})) is whole


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("gpt/m-1:free", "gpt/m-1:free"),
        ("gpt/模型", "gpt/模型"),
        ("gpt/a\r\nb: c", "gpt/a%0D%0Ab%3A%20c"),
        ("gpt/\ud800", "gpt/%3F"),
    ],
    ids=["plain", "not ASCII", "a line break", "half a pair"],
)
def test_a_target_is_told_so_that_every_server_takes_it(target: str, said: str) -> None:
    face, call = front(), inward(front())
    call.notes.target = target
    told = dict(face.told(call.notes))["x-llm-edge-target"]
    assert told == said
    assert raw_pairs([("x", told)])


def test_what_litellm_says_of_the_cache_stays_here_and_other_fields_of_that_name_travel() -> None:
    call = inward(front(), body=b'{"model":"m","messages":[],"cache":{"no-cache":true,"namespace":"a"}}')
    assert (call.controls.no_cache, call.controls.namespace) == (True, "a")
    assert call.body.json == {"model": "m", "messages": []}
    theirs = b'{"model":"m","cache":{"type":"x"}}'
    assert inward(front(), body=theirs).body.raw == theirs


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/files", CHAT),
        ("/v1/chat/completions", b"[]"),
        ("/v1/chat/completions", b"{broken"),
        ("/v1beta/models/m:streamGenerateContent", b"{}"),
        ("/v1beta/models/m:streamGenerateContent?alt=json", b"{}"),
    ],
)
def test_what_is_not_understood_passes_as_it_is(path: str, body: bytes) -> None:
    call = inward(front(), path, body)
    assert (call.dialect, call.body.raw) == ("opaque", body)


def test_a_stream_of_geminis_events_is_understood() -> None:
    assert inward(front(), "/v1beta/models/m:streamGenerateContent?alt=sse", b"{}").dialect == "gemini.generate"


def test_with_all_layers_off_every_call_passes_as_it_is_unless_it_asks_something_of_us() -> None:
    assert inward(front(transparent=True)).dialect == "opaque"
    assert inward(front(transparent=True), x_llm_edge_deadline_ms="5").dialect == "openai.chat"


def test_a_control_that_makes_no_sense_is_refused_by_name() -> None:
    with pytest.raises(InvalidRequest, match="x-llm-edge-cache-ttl"):
        inward(front(), x_llm_edge_cache_ttl="soon")


def test_the_same_key_is_the_same_scope_wherever_it_stands() -> None:
    face = front()
    by_header = inward(face, authorization="Bearer one").scope
    assert by_header == inward(face, authorization="Bearer one").scope
    assert by_header != inward(face, authorization="Bearer two").scope
    assert inward(face, "/v1/chat/completions?key=one").scope != inward(face, "/v1/chat/completions?key=two").scope
    assert inward(face, "/v1/chat/completions?key=one&x=1").scope == inward(face, "/v1/chat/completions?key=one").scope
    assert inward(face, "/v1/chat/completions?api_key=one").scope != inward(face, "/v1/chat/completions?x=one").scope
    assert inward(face, "/v1/chat/completions?x=one").scope == inward(face).scope == ""


@pytest.mark.parametrize(
    ("error", "status", "retry"),
    [
        (RateLimited("full", retry_after=1.2), 429, "2"),
        (CircuitOpen("open", retry_after=0.001), 503, "1"),
        (DeadlineExceeded("late"), 504, None),
        (NetworkFailed("cut", kind="ReadError"), 502, None),
    ],
)
def test_a_refusal_says_how_long_to_wait_and_not_to_try_again(error: CallError, status: int, retry: str | None) -> None:
    face = front()
    code, pairs, body = face.refusal(inward(face), error)
    headers = readable(pairs)
    assert (code, headers["x-should-retry"], headers.get("retry-after")) == (status, "false", retry)
    assert headers.get("retry-after-ms") == (None if error.retry_after is None else f"{error.retry_after * 1e3:.0f}")
    assert Body(body).json["error"]["message"] == error.message


def test_who_does_not_retry_says_so_of_its_own_refusals_all_the_same() -> None:
    face, call = front(retries=False), inward(front())
    _, pairs, _ = face.refusal(call, RateLimited("full"))
    assert readable(pairs)["x-should-retry"] == "false"
    assert call.notes.error == "RateLimited"


def test_an_error_in_another_format_than_the_callers_is_told_in_its_own_words() -> None:
    face, theirs = front(), Overloaded("busy", response=Response(status=529, body=Body(b'{"type":"error"}')))
    theirs.foreign = True
    code, _, body = face.refusal(inward(face), theirs)
    assert (code, Body(body).json["error"]["message"]) == (theirs.status, "busy")


@pytest.mark.parametrize(("said", "told"), [(200, 503), (399, 503), (400, 400), (529, 529)])
def test_an_error_under_a_status_of_success_gets_the_status_of_its_kind(said: int, told: int) -> None:
    face, own = front(), Response(status=said, body=Body(b'{"error":{"message":"busy"}}'))
    code, _, body = face.refusal(inward(face), Overloaded("busy", response=own))
    assert (code, body) == (told, b'{"error":{"message":"busy"}}')


def test_what_only_we_say_cannot_be_said_by_a_provider() -> None:
    face, call = front(), inward(front())
    theirs = Headers([("X-LLM-Edge-Cache", "HIT"), ("x-llm-edge-cost", "0"), ("x-other", "kept")])
    told = face.outward(call, Response(status=200, headers=theirs)).pairs
    assert [value for name, value in told if name.lower() == "x-llm-edge-cache"] == [call.notes.cache]
    assert "x-llm-edge-cost" not in dict(told)
    assert ("x-other", "kept") in told
    unknown = face.opaque("GET", "http://host.test/v1/files", Headers(), None)
    assert face.outward(unknown, Response(status=200, headers=theirs)) is theirs


def test_what_an_answer_cost_and_what_time_was_ours_is_told() -> None:
    clock = FakeClock()
    clock.advance(1.0)
    face = Front(handler=nobody, clock=clock)
    call = inward(face)
    call.notes.upstream, call.notes.waited = 1.0, 0.5
    clock.advance(2.0)
    call.notes.attempts.append(Attempt("host.test", clock.now()))  # a stream under way
    clock.advance(4.0)
    told = dict(face.told(call.notes))
    assert told["x-llm-edge-overhead-ms"] == "500.000"
    assert not {"x-llm-edge-target", "x-llm-edge-cost", "x-llm-edge-cache-age"} & set(told)
    call.notes.attempts[-1].ended, call.notes.upstream = clock.now(), 5.0
    call.notes.target, call.notes.cost, call.notes.cache_age = "openai/gpt-x", 1_500, 7.9
    told = dict(face.told(call.notes))
    assert told["x-llm-edge-overhead-ms"] == "500.000"
    assert (told["x-llm-edge-cost"], told["x-llm-edge-cache-age"]) == ("0.0000015", "7")
    call.notes.upstream = 60.0  # by another clock
    assert dict(face.told(call.notes))["x-llm-edge-overhead-ms"] == "0.000"


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({"anthropic-version": "2023-06-01"}, ("type", "error")),
        ({"x-goog-api-key": "k"}, ("error", "status")),
        ({"x-goog-api-client": "genai"}, ("error", "status")),
        ({}, ("error", "type")),
    ],
)
def test_a_refusal_of_an_unknown_call_is_in_the_words_of_its_sdk(
    headers: dict[str, str], field: tuple[str, str]
) -> None:
    face = front()
    call = face.opaque("GET", "http://host.test/v1/files", Headers(headers), None)
    _, _, body = face.refusal(call, RateLimited("full", retry_after=1.0))
    told = Body(body).json
    assert told[field[0]] == field[1] if field[0] == "type" else field[1] in told[field[0]]


def test_a_refusal_of_a_known_call_is_in_its_own_words_whatever_else_it_shows() -> None:
    face = front()
    _, _, body = face.refusal(inward(face, x_goog_api_key="k", anthropic_version="2023-06-01"), RateLimited("full"))
    assert "code" in Body(body).json["error"]


def test_our_limits_are_told_in_place_of_the_providers() -> None:
    face, call = front(), inward(front())
    theirs = Headers([("x-ratelimit-remaining-requests", "9"), ("X-RateLimit-Reset-Tokens", "1s"), ("x-other", "kept")])
    untouched = Headers(face.outward(call, Response(status=200, headers=theirs)))
    assert (untouched["x-ratelimit-remaining-requests"], untouched["x-ratelimit-reset-tokens"]) == ("9", "1s")
    call.notes.limits = (("requests", 10, 3, 0.25), ("tokens", 600, 0, 90.0), ("places", 5, 1, 0.0))
    told = Headers(face.outward(call, Response(status=200, headers=theirs)))
    assert {name: told[name] for name in told if name.startswith("x-ratelimit")} == {
        "x-ratelimit-limit-requests": "10", "x-ratelimit-limit-tokens": "600",
        "x-ratelimit-remaining-requests": "3", "x-ratelimit-remaining-tokens": "0",
        "x-ratelimit-reset-requests": "250ms", "x-ratelimit-reset-tokens": "1m30s",
    }  # fmt: skip
    assert told["x-other"] == "kept"
    _, refused, _ = face.refusal(call, RateLimited("no room", retry_after=0.25))
    assert (b"x-ratelimit-remaining-tokens", b"0") in refused


@pytest.mark.parametrize("status", [400, 503])
def test_the_providers_own_error_is_passed_on_with_its_headers(status: int) -> None:
    face = front()
    own = Response(status=status, headers=Headers({"x-own": "1", "x-should-retry": "true"}), body=Body(b"<html>"))
    code, pairs, body = face.refusal(inward(face), Overloaded("busy", response=own))
    headers = readable(pairs)
    assert (code, body, headers["x-own"], headers["x-should-retry"]) == (status, b"<html>", "1", "false")


def test_where_we_do_not_retry_the_provider_says_whether_to() -> None:
    face = front(retries=False)
    own = Response(status=503, headers=Headers({"x-should-retry": "true"}), body=Body(b"{}"))
    _, pairs, _ = face.refusal(inward(face), Overloaded("busy", response=own))
    assert readable(pairs)["x-should-retry"] == "true"


def test_a_page_under_status_200_is_told_in_our_words() -> None:
    face = front()
    page = Response(status=200, body=Body(b"<html>"))
    code, _, body = face.refusal(inward(face), BadAnswer("answered with HTML", response=page))
    assert (code, Body(body).json["error"]["message"]) == (502, "answered with HTML")


def test_an_unknown_call_fails_as_without_us_until_we_have_tried_it_again() -> None:
    face, failed = front(), NetworkFailed("cut", kind="ReadError")
    call = face.opaque("GET", "http://host.test/v1/files", Headers(), None)
    call.notes.attempts.append(Attempt("host.test", 0.0))
    assert face.raises(call, failed)
    assert not face.raises(call, RateLimited("full"))
    call.notes.attempts.append(Attempt("host.test", 0.0))
    assert not face.raises(call, failed)
    assert not face.raises(inward(face), failed)
    assert front(transparent=True).raises(inward(face), failed)


HERE = ("https", "host.test", None)


@pytest.mark.parametrize(
    ("first", "here", "may"),
    [
        (None, HERE, True),
        (HERE, HERE, True),
        (("http", "host.test", None), ("http", "host.test", None), True),
        (("http", "host.test", None), HERE, True),
        (HERE, ("http", "host.test", None), False),
        (HERE, ("https", "host.test", 8443), False),
        (HERE, ("https", "host.test.evil.test", None), False),
    ],
)
def test_a_credential_follows_a_redirect_only_to_its_own_place(first: object, here: Any, may: bool) -> None:
    assert may_know(first, here) is may


def test_what_smells_of_a_credential_is_left_out() -> None:
    names = ["authorization", "x-api-key", "api-key", "x-goog-api-key", "cookie", "x-company-token", "content-type"]
    assert list(without_secrets(Headers(dict.fromkeys(names, "x")))) == ["content-type"]


@given(st.lists(st.tuples(st.from_regex(r"[a-z-]{1,9}", fullmatch=True), st.text(max_size=20))))
def test_headers_go_to_the_library_and_back_without_loss(pairs: list[tuple[str, str]]) -> None:
    assert readable(raw_pairs(pairs)).pairs == tuple(pairs)


@pytest.mark.parametrize(
    ("given_", "seconds"),
    [
        ({}, None), ({"timeout": None}, None), ({"timeout": {"read": None}}, None), ({"timeout": {"read": 3}}, 3.0),
        ({"timeout": {"read": Decimal("2.5")}}, 2.5), ({"timeout": {"read": "4"}}, 4.0),
        ({"timeout": {"read": float("inf")}}, 1e8), ({"timeout": {"read": 1e300}}, 1e8),
    ],
)  # fmt: skip
def test_the_callers_timeout_is_the_time_it_reads(given_: Any, seconds: float | None) -> None:
    assert total_timeout(given_) == seconds


@pytest.mark.parametrize("wrong", ["soon", [1], object()])
def test_a_timeout_that_is_no_number_is_refused_as_the_library_would(wrong: object) -> None:
    with pytest.raises((TypeError, ValueError)):
        total_timeout({"timeout": {"read": wrong}})


def test_a_failure_without_a_class_of_its_own_is_a_read_error() -> None:
    assert kind_of(NetworkFailed("x", kind="Odd"), lambda name: False) == "ReadError"
    assert kind_of(NetworkFailed("x", kind="ReadTimeout"), lambda name: True) == "ReadTimeout"


fields_said = st.lists(st.tuples(st.sampled_from([b"a", b"A", b"Authorization"]), st.binary(max_size=2)), max_size=3)


@given(st.lists(st.tuples(fields_said, st.sampled_from([None, b"1", b"22"]), st.booleans(), st.booleans()), max_size=8))
def test_what_was_said_before_is_never_taken_for_what_is_said_now(calls: list[Any]) -> None:
    said = Remembered()
    for fields, length, sized, first in calls:
        told = [] if length is None else [(b"Content-Length", length)]
        raw = [*told, *fields] if first else [*fields, *told]
        expected = readable(fields if sized else raw)
        headers = said.of(raw, sized=sized)
        assert headers.pairs == expected.pairs
        assert headers.once(from_headers) == from_headers(expected)
