"""Each fault looks to a client like the real one, by socket and by transport, on both libraries, in both colours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from llm_edge.runtime import Signal
from llm_edge.testing import (
    Provider,
    Step,
    answer,
    events,
    hang_up,
    html,
    json_body,
    raw,
    redirect,
    refused,
    status,
    stream,
)


@pytest.fixture
def ask(way: Any) -> Iterator[Any]:
    """Script a provider, ask it once and give back what came and what the provider saw."""
    made: list[Provider] = []

    def once(*steps: Step, **options: Any) -> Any:
        made.append(way.provider(*steps))
        return way.ask(made[-1], **options), made[-1]

    yield once
    for provider in made:
        provider.close()


def data(body: bytes) -> list[str]:
    return [line[6:] for line in body.decode().split("\n") if line.startswith("data: ")]


def test_a_status_comes_with_its_headers_and_a_body_in_the_dialect(ask: Any) -> None:
    got, _ = ask(status(429, "slow down", headers={"Retry-After": "3"}))
    assert (got.status, got.headers["retry-after"]) == (429, "3")
    assert json.loads(got.body)["error"] == {
        "message": "slow down",
        "type": "requests",
        "param": None,
        "code": "rate_limit_exceeded",
    }


def test_a_stream_cut_after_events_ends_in_the_middle(ask: Any) -> None:
    got, provider = ask(stream("a", "b", "c").cut(after_events=2), stream=True)
    assert got.broke == "RemoteProtocolError"
    assert [json.loads(event)["choices"][0]["delta"].get("content") for event in data(got.body)] == ["", "a"]
    assert not provider.last.wait_ended().closed_early


def test_a_cut_may_leave_half_an_event(ask: Any) -> None:
    got, _ = ask(events({"n": 1}, "0123456789").cut(after_events=1, half_event=True), stream=True)
    assert got.broke == "RemoteProtocolError"
    assert got.body == b'data: {"n":1}\n\ndata: 012'


@pytest.mark.parametrize("size", [0, 1, 5])
def test_a_body_cut_after_bytes_brings_just_those(ask: Any, size: int) -> None:
    got, provider = ask(raw(b"0123456789").cut(after_bytes=size))
    assert (got.status, got.body, got.broke) == (200, b"0123456789"[:size], "RemoteProtocolError")
    assert provider.last.wait_ended().sent == size


def test_a_reset_is_a_read_error(ask: Any) -> None:
    got, _ = ask(stream("a", "b").cut(after_events=1, reset=True), stream=True)
    assert got.broke == "ReadError"


def test_hanging_up_without_a_word(ask: Any) -> None:
    got, provider = ask(hang_up())
    assert (got.status, got.broke) == (None, "RemoteProtocolError")
    assert provider.last.status is None


def test_hanging_up_with_a_reset(ask: Any) -> None:
    got, _ = ask(hang_up(reset=True))
    assert (got.status, got.broke) == (None, "ReadError")


def test_a_refused_step_never_answers(ask: Any, way: Any) -> None:
    got, _ = ask(refused())
    # A server has accepted already; all it can do is reset.
    assert got.broke == ("ConnectError" if way.by == "transport" else "ReadError")


def test_silence_before_the_headers_runs_into_the_read_timeout(ask: Any) -> None:
    got, provider = ask(answer("never").stall(), timeout=0.05)
    assert (got.status, got.broke) == (None, "ReadTimeout")
    assert all(call.wait_ended().closed_early for call in provider.calls)  # none where the machine stood still


def silent_after_two(ask: Any, step: Step) -> Any:
    """What comes of a stream that stalls after two events; asked again where the machine stood still before those."""
    for _ in range(10):
        got, provider = ask(step.stall(after_events=2), stream=True, timeout=0.25)
        assert got.broke == "ReadTimeout"
        if len(data(got.body)) > 1:
            break
    return got, provider


def test_silence_in_the_middle_of_a_stream_runs_into_the_read_timeout(ask: Any) -> None:
    got, provider = silent_after_two(ask, stream("a", "b"))
    assert len(data(got.body)) == 2
    assert provider.last.wait_ended().closed_early


def test_a_stall_ends_when_its_signal_is_set(ask: Any) -> None:
    happened = Signal()
    happened.set()
    got, _ = ask(events({"n": 1}, "[DONE]").stall(after_events=1, until=happened), stream=True)
    assert got.body == b'data: {"n":1}\n\ndata: [DONE]\n\n'


def test_a_delay_longer_than_patience_is_a_read_timeout(ask: Any) -> None:
    got, _ = ask(answer("late").delay(30), timeout=0.05)
    assert got.broke == "ReadTimeout"


def test_a_delayed_answer_still_comes(ask: Any, way: Any) -> None:
    got, provider = ask(answer("late").delay(0.01))
    assert json.loads(got.body)["choices"][0]["message"]["content"] == "late"
    if way.by == "transport":
        assert provider.clock.slept == [0.01]


def test_a_drip_comes_in_small_pieces(ask: Any, way: Any) -> None:
    got, provider = ask(raw(b"abcdefg").drip(3, 0.001))
    assert got.body == b"abcdefg"
    if way.by == "transport":
        assert got.pieces == [b"abc", b"def", b"g"]
        assert provider.clock.slept == [0.001, 0.001]


def test_a_paced_stream_waits_between_its_events(ask: Any, way: Any) -> None:
    got, provider = ask(events("a", "b", "c").pace(0.001), stream=True)
    assert data(got.body) == ["a", "b", "c"]
    if way.by == "transport":
        assert provider.clock.slept == [0.001, 0.001]


def test_a_malformed_event_is_no_json_and_its_neighbours_are(ask: Any) -> None:
    got, _ = ask(stream("a", "b").malformed(event=1), stream=True)
    found = data(got.body)
    assert json.loads(found[0])["object"] == "chat.completion.chunk"
    with pytest.raises(json.JSONDecodeError):
        json.loads(found[1])
    assert json.loads(found[2])["choices"][0]["delta"] == {"content": "b"}
    assert found[-1] == "[DONE]"


def test_a_malformed_whole_answer(ask: Any) -> None:
    got, _ = ask(answer("hi").malformed())
    assert got.status == 200
    with pytest.raises(json.JSONDecodeError):
        json.loads(got.body)


def test_an_error_body_under_status_200(ask: Any) -> None:
    got, _ = ask(json_body({"error": {"message": "overloaded"}}))
    assert (got.status, json.loads(got.body)) == (200, {"error": {"message": "overloaded"}})


def test_a_web_page_where_json_was_due(ask: Any) -> None:
    got, _ = ask(html(status=502))
    assert (got.status, got.headers["content-type"]) == (502, "text/html; charset=utf-8")
    assert got.body.startswith(b"<html>")


def test_a_redirect_names_its_address(ask: Any) -> None:
    got, _ = ask(redirect("https://elsewhere.test/v1"))
    assert (got.status, got.headers["location"]) == (307, "https://elsewhere.test/v1")


def test_a_packed_body_is_unpacked_by_the_client(ask: Any) -> None:
    got, _ = ask(answer("hi").gzip())
    assert got.headers["content-encoding"] == "gzip"
    assert json.loads(got.body)["choices"][0]["message"]["content"] == "hi"


def test_a_packed_stream_is_readable_event_by_event(ask: Any) -> None:
    got, _ = silent_after_two(ask, stream("a", "b").gzip())
    assert [json.loads(event)["choices"][0]["delta"].get("content") for event in data(got.body)] == ["", "a"]


def test_a_length_larger_than_the_body_is_a_broken_answer(ask: Any) -> None:
    got, _ = ask(raw(b"abc").content_length(10))
    assert (got.body, got.broke) == (b"abc", "RemoteProtocolError")


def test_a_whole_body_can_go_out_chunked(ask: Any) -> None:
    got, _ = ask(raw(b"abc").chunked())
    assert (got.body, got.headers["transfer-encoding"]) == (b"abc", "chunked")


def test_headers_of_a_step_replace_ours(ask: Any) -> None:
    got, _ = ask(answer("hi").headers({"X-Request-Id": "mine", "x-extra": "1"}))
    assert (got.headers.get_list("x-request-id"), got.headers["x-extra"]) == (["mine"], "1")


def test_breaking_an_event_that_is_not_there_says_so(ask: Any) -> None:
    got, _ = ask(answer("hi").malformed(event=5))
    assert got.status == 500
    assert "malformed(event=5): the answer has only 1 events" in json.loads(got.body)["error"]["message"]


def test_a_step_that_fails_says_why(ask: Any) -> None:
    def broken(call: Any) -> Step:
        raise RuntimeError("my mistake")

    got, _ = ask(broken)
    assert got.status == 500
    assert "my mistake" in json.loads(got.body)["error"]["message"]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: answer().cut(after_bytes=1, after_events=1), "not both"),
        (lambda: answer().cut(half_event=True), "half_event needs after_events"),
        (lambda: answer().cut(after_bytes=-1), "0 or more"),
        (lambda: answer().stall(ping_every=1), "ping_every needs after_events"),
        (lambda: answer().drip(0, 1), "at least 1 byte"),
        (lambda: answer().times(0), "at least once"),
        (lambda: answer(finish="sotp"), "'sotp' is none of stop"),
        (lambda: answer(usage={"promt_tokens": 1}), "'promt_tokens'"),
    ],
)
def test_an_impossible_step_is_refused_by_name(make: Any, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        make()
