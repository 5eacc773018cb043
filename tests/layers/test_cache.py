"""What is answered from memory, for whom, for how long; and what is never kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import pytest

from llm_edge.errors import NotCached
from llm_edge.layers.answers import Answers
from llm_edge.layers.cache import Cache, Keeping
from llm_edge.layers.kept import Held, Understanding
from llm_edge.layers.rules import Rules
from llm_edge.layers.sights import MANY, SHORT
from llm_edge.message import Body, Controls, Headers, Request, Response, Saved, Stream
from llm_edge.runtime import FakeClock
from llm_edge.stores.memory import MemoryStore

from .kit import CHUNKS, DONE, Script, Watch, answer, call, failed, read_all, streamed

if TYPE_CHECKING:
    from tests.conftest import Colour


def reasons(body: Body, usage: Mapping[str, Any] | None) -> list[str] | None:
    """None for an answer that does not say what it used."""
    return [choice["finish_reason"] for choice in body.json["choices"]] if usage else None


UNDERSTOOD = Understanding(Watch, reasons)


class Kept:
    """A cache over a script, and the clock of both."""

    chance = 0.0

    def __init__(self, colour: Colour, *steps: Any, **rule: Any) -> None:
        self.colour, self.clock, self.script = colour, FakeClock(1000.0), Script(*(steps or [lambda request: answer()]))
        self.store: MemoryStore[Held] = MemoryStore()
        self.answers = Answers(self.store)
        rules = Rules(Keeping(**rule), {"brief": Keeping(ttl=5.0), "never": Keeping(policy="off")})
        runtime = colour.runtime(self.clock)
        self.layer = Cache(self.answers, runtime, rules, lambda dialect: UNDERSTOOD, chance=lambda: self.chance)

    def ask(self, request: Request | None = None, **fields: Any) -> tuple[str, Any]:
        """The cache's status, and the answer read to its end."""
        request = request or call(**fields)
        response = self.colour.run(self.layer(request, self.script))
        if response.stream is not None:
            return request.notes.cache, self.colour.run(read_all(response))
        assert response.body is not None
        return request.notes.cache, response.body.raw

    def statuses(self, *calls: dict[str, Any]) -> list[str]:
        return [self.ask(**fields)[0] for fields in calls]


STREAM: Callable[[Request], Response] = lambda request: streamed()


def test_the_same_question_again_is_a_hit_with_the_same_bytes(colour: Colour) -> None:
    kept = Kept(colour)
    first, again = kept.ask(), kept.ask()
    assert (first[0], again[0]) == ("MISS", "HIT")
    assert first[1] == again[1]
    assert len(kept.script.asked) == 1


def test_a_stream_is_replayed_as_the_bytes_that_came(colour: Colour) -> None:
    kept = Kept(colour, STREAM)
    assert kept.ask(streaming=True) == ("MISS", list(CHUNKS))
    assert kept.ask(streaming=True) == ("HIT", [b"".join(CHUNKS)])
    assert kept.ask(streaming=False)[0] == "MISS"


def test_a_stream_closed_at_its_terminal_event_is_kept(colour: Colour) -> None:
    kept = Kept(colour, STREAM)

    async def as_sdks_do() -> None:
        response = await kept.layer(call(streaming=True), kept.script)
        assert response.stream is not None
        async for chunk in response.stream:
            if chunk == DONE:
                break
        await response.stream.aclose()

    colour.run(as_sdks_do())
    assert kept.ask(streaming=True)[0] == "HIT"


def test_a_stream_that_does_not_say_what_it_used_is_kept_and_says_as_little_again(colour: Colour) -> None:
    class Silent(Watch):
        def feed(self, chunk: bytes, /) -> None:
            super().feed(chunk)
            self.usage = None

    kept = Kept(colour, lambda request: Response(status=200, stream=Stream(Saved(CHUNKS), Silent())))
    first, again = call(streaming=True), call(streaming=True)
    assert [kept.ask(first)[0], kept.ask(again)] == ["MISS", ("HIT", [b"".join(CHUNKS)])]
    assert again.notes.usage is None


def test_a_stream_left_early_is_not_kept(colour: Colour) -> None:
    kept = Kept(colour, STREAM)

    async def leave() -> None:
        response = await kept.layer(call(streaming=True), kept.script)
        assert response.stream is not None
        await response.stream.__anext__()
        await response.stream.aclose()

    colour.run(leave())
    assert kept.ask(streaming=True)[0] == "MISS"


BROKEN: list[Callable[[], Response]] = [
    lambda: streamed(b"a"),  # cut short
    lambda: streamed(b"a", error=ConnectionError("cut")),
    lambda: streamed(b"a", b"bad"),
    lambda: streamed(b"a", b"bad", DONE),
    lambda: streamed(b"filtered", DONE),
]


@pytest.mark.parametrize("broken", range(len(BROKEN)))
def test_a_stream_that_did_not_end_well_is_not_kept(colour: Colour, broken: int) -> None:
    kept = Kept(colour, lambda request: BROKEN[broken](), STREAM)
    try:
        kept.ask(streaming=True)
    except (EOFError, ConnectionError):
        pass
    assert kept.ask(streaming=True)[0] == "MISS"


def test_a_huge_stream_passes_and_is_not_kept(colour: Colour) -> None:
    kept = Kept(colour, lambda request: streamed(*[b"x" * 2**20] * 5, DONE))
    assert [len(kept.ask(streaming=True)[1]) for _ in range(2)] == [6, 6]
    assert len(kept.script.asked) == 2


ANSWERS: list[tuple[Callable[[], Response], bool]] = [
    (answer, True),
    (lambda: answer(finish="length"), True),
    (lambda: answer(finish="content_filter"), False),
    (lambda: answer(finish=""), False),
    (lambda: answer(status=201), False),
    (lambda: answer(status=404), False),
    (lambda: Response(status=200, body=Body(b'{"choices": []}')), False),
    (lambda: Response(status=200), False),
    (lambda: answer("x" * 5_000_000), False),
]


@pytest.mark.parametrize("number", range(len(ANSWERS)))
def test_only_a_whole_answer_that_ended_well_is_kept(colour: Colour, number: int) -> None:
    make, keeps = ANSWERS[number]
    kept = Kept(colour, lambda request: make())
    for _ in range(2):
        colour.run(kept.layer(call(), kept.script))
    assert len(kept.script.asked) == (1 if keeps else 2)


def test_a_failure_goes_up_and_is_not_kept(colour: Colour) -> None:
    error = failed()
    kept = Kept(colour, error, answer())
    with pytest.raises(type(error)):
        kept.ask()
    assert kept.ask()[0] == "MISS"


def test_the_answer_of_a_fallback_is_not_the_answer_of_the_target(colour: Colour) -> None:
    def fallen_back(request: Request) -> Response:
        request.notes.fallbacks = 1
        return answer()

    assert Kept(colour, fallen_back).statuses({}, {}) == ["MISS", "MISS"]


def test_an_answer_is_kept_for_its_time_and_no_longer(colour: Colour) -> None:
    kept = Kept(colour, ttl=60.0)
    kept.ask()
    kept.clock.advance(59.9)
    request = call()
    assert kept.ask(request)[0] == "HIT"
    assert request.notes.cache_age == pytest.approx(59.9)
    kept.clock.advance(0.1)
    assert kept.statuses({}, {}) == ["MISS", "HIT"]


def test_the_wall_clock_has_no_say(colour: Colour) -> None:
    kept = Kept(colour, ttl=60.0)
    kept.ask()
    kept.clock._offset += 86_400  # pyright: ignore[reportPrivateUsage]  # a day set forward
    assert kept.ask()[0] == "HIT"


def test_a_route_may_keep_for_another_time_or_not_at_all(colour: Colour) -> None:
    kept = Kept(colour)
    assert kept.statuses({"route": "brief"}, {"route": "brief"}) == ["MISS", "HIT"]
    kept.clock.advance(5.0)
    assert kept.statuses({"route": "brief"}, {"route": "never"}, {}) == ["MISS", "BYPASS", "MISS"]


def asked(**controls: Any) -> dict[str, Any]:
    return {"controls": Controls(**controls)}


def test_one_call_may_set_its_own_time(colour: Colour) -> None:
    kept = Kept(colour)
    kept.ask(**asked(ttl=5.0))
    kept.clock.advance(4.9)
    assert kept.ask()[0] == "HIT"
    kept.clock.advance(0.1)
    assert kept.statuses(asked(ttl=0.0), {}) == ["MISS", "MISS"]


def test_max_age_takes_nothing_older(colour: Colour) -> None:
    kept = Kept(colour)
    kept.ask()
    kept.clock.advance(10.0)
    assert kept.statuses(asked(max_age=10.0), asked(max_age=9.9), asked(max_age=0.0)) == ["HIT", "MISS", "HIT"]


def test_no_cache_asks_anew_and_refreshes(colour: Colour) -> None:
    kept = Kept(colour, answer("old"), answer("new"))
    assert kept.statuses({}, asked(no_cache=True), {}) == ["MISS", "MISS", "HIT"]
    assert b"new" in kept.ask()[1]


def test_no_store_may_read_and_keeps_nothing(colour: Colour) -> None:
    kept = Kept(colour)
    assert kept.statuses(asked(no_store=True), {}, asked(no_store=True)) == ["MISS", "MISS", "HIT"]


def test_only_if_cached_never_asks_anybody(colour: Colour) -> None:
    kept = Kept(colour)
    with pytest.raises(NotCached, match="has no answer"):
        kept.ask(**asked(only_if_cached=True))
    with pytest.raises(NotCached, match="the cache is off"):
        kept.ask(route="never", **asked(only_if_cached=True))
    assert kept.script.asked == []
    assert kept.statuses({}, asked(only_if_cached=True)) == ["MISS", "HIT"]


APART: list[dict[str, Any]] = [
    {"scope": "credential-2"},
    {"route": "fast"},
    {"url": "https://other.test/v1/chat/completions"},
    {"dialect": "anthropic.messages"},
    asked(tenant="acme"),
    asked(namespace="acme"),
    {"headers": Headers({"Anthropic-Beta": "x"})},
    {"headers": Headers({"OpenAI-Project": "p"})},
    {"headers": Headers({"Ocp-Apim-Subscription-Key": "k"})},
    {"headers": Headers({"Helicone-Auth": "Bearer k"})},
    {"headers": Headers({"X-Amzn-Bedrock-GuardrailIdentifier": "g"})},
    {"headers": Headers({"x-goog-user-project": "p"})},
    {"body": {"model": "m", "messages": [{"role": "user", "content": "Hi "}]}},
]


@pytest.mark.parametrize("number", range(len(APART)))
def test_what_may_not_be_shared_is_kept_apart(colour: Colour, number: int) -> None:
    kept = Kept(colour)
    assert kept.statuses({}, APART[number], {}, APART[number]) == ["MISS", "MISS", "HIT", "HIT"]
    assert len(kept.script.asked) == 2


@pytest.mark.parametrize("number", range(len(APART)))
def test_bytes_that_are_known_by_sight_are_kept_apart_too(colour: Colour, number: int) -> None:
    kept, fields = Kept(colour), APART[number]
    assert kept.statuses({}, {}, {}) == ["MISS", "HIT", "HIT"]
    assert kept.statuses(fields, fields, fields, {}) == ["MISS", "HIT", "HIT", "HIT"]


def test_bytes_that_are_known_by_sight_are_passed_by_where_nothing_is_kept(colour: Colour) -> None:
    kept = Kept(colour)
    assert kept.statuses({}, {}, {}, {"route": "never"}, {}) == ["MISS", "HIT", "HIT", "BYPASS", "HIT"]


def test_of_bytes_that_are_known_by_sight_there_are_only_so_many_and_the_others_are_hits_too(colour: Colour) -> None:
    kept = Kept(colour)
    asked = [{"body": {"model": "m", "messages": [], "n": number}} for number in range(MANY + 1)]
    asked.append({"body": {"model": "m", "messages": ["x" * SHORT]}})
    assert set(kept.statuses(*asked)) == {"MISS"}
    assert set(kept.statuses(*asked, *asked)) == {"HIT"}


SHARED: list[dict[str, Any]] = [
    {"headers": Headers({"User-Agent": "other", "X-Request-Id": "1"})},
    {"headers": Headers({"Idempotency-Key": "1", "X-Idempotency-Key": "2", "Authorization": "in the scope"})},
    {"timeout": 3.0},
    asked(deadline=3.0, fallbacks=False),
    {"body": {"messages": [{"content": "Hi", "role": "user"}], "user": "u-1", "model": "m"}},
]


@pytest.mark.parametrize("number", range(len(SHARED)))
def test_what_does_not_change_the_answer_is_shared(colour: Colour, number: int) -> None:
    assert Kept(colour).statuses({}, SHARED[number]) == ["MISS", "HIT"]


@pytest.mark.parametrize("operation", ["models", "opaque"])
def test_calls_of_other_kinds_pass_by(colour: Colour, operation: str) -> None:
    request = call(operation=operation)
    assert Kept(colour).ask(request)[0] == "BYPASS"
    assert request.notes.cache_reason == "calls of this kind are not kept"


@pytest.mark.parametrize("raw", [b"[1]", b"not json", b'{"a": ' + b"[" * 5000 + b"]" * 5000 + b"}"])
def test_a_body_without_a_key_passes_by(colour: Colour, raw: bytes) -> None:
    request = Request(body=Body(raw))
    assert Kept(colour).ask(request)[0] == "BYPASS"
    assert request.notes.cache_reason == "the body is not a JSON object"


def test_a_body_that_names_a_key_twice_is_asked_each_time(colour: Colour) -> None:
    kept = Kept(colour)
    raw = b'{"model":"m","temperature":1,"messages":[],"temperature":0}'
    for _ in range(2):
        request = Request(body=Body(raw))
        assert kept.ask(request)[0] == "BYPASS"
        assert "twice" in request.notes.cache_reason


def test_a_reader_cannot_change_what_the_next_one_gets(colour: Colour) -> None:
    kept, first, second = Kept(colour), call(), call()
    kept.ask()
    response = colour.run(kept.layer(first, kept.script))
    assert response.body is not None
    fields: Any = response.body.json
    fields["choices"].clear()
    usage: Any = first.notes.usage
    usage.clear()
    _, raw = kept.ask(second)
    assert json.loads(raw)["choices"]
    assert second.notes.usage == {"total_tokens": 3}


def test_a_hit_tells_who_answered_and_what_it_cost_then(colour: Colour) -> None:
    def by_a_target(request: Request) -> Response:
        request.notes.target = "openai/a"
        return streamed()

    kept, request = Kept(colour, by_a_target), call(streaming=True)
    kept.ask(streaming=True)
    kept.ask(request)
    assert (request.notes.target, request.notes.usage) == ("openai/a", {"total_tokens": 3})


def test_only_harmless_header_fields_are_kept(colour: Colour) -> None:
    given = [
        ("Content-Type", "application/json"),
        ("Set-Cookie", "a=1"),
        ("x-ratelimit-remaining-requests", "3"),
        ("x-request-id", "r"),
    ]
    kept = Kept(colour, lambda request: answer(headers=given))
    kept.ask()
    response = colour.run(kept.layer(call(), kept.script))
    assert dict(response.headers) == {"content-type": "application/json", "x-request-id": "r"}


def test_an_entry_that_names_another_key_is_not_served(colour: Colour) -> None:
    kept, request = Kept(colour), call()
    kept.ask(request)
    key = request.notes.cache_key
    found = kept.store.get(key)
    assert found is not None
    kept.store.put("0" * 64, found)
    other = call(scope="other")
    kept.ask(other)
    kept.store.put(other.notes.cache_key, found)  # as if the store had mixed two up
    assert kept.ask(scope="other")[0] == "MISS"


def test_an_entry_weighs_at_least_its_bytes(colour: Colour) -> None:
    for step, streaming, least in (
        (answer("x" * 9000), False, 9000),
        (streamed(*[b"y" * 90] * 100, DONE), True, 9000),
    ):
        kept, request = Kept(colour, step), call(streaming=streaming)
        kept.ask(request)
        found = kept.store.get(request.notes.cache_key)
        assert found is not None
        assert found.size > least


def test_a_stream_that_another_has_told_the_rest_of_is_not_kept(colour: Colour) -> None:
    kept = Kept(colour, STREAM)

    async def gone_on_with() -> None:
        request = call(streaming=True)
        response = await kept.layer(request, kept.script)
        assert response.stream is not None
        await response.stream.__anext__()
        request.notes.fallbacks += 1  # as the layer below says when it has the rest told
        async for _ in response.stream:
            pass

    colour.run(gone_on_with())
    assert kept.ask(streaming=True)[0] == "MISS"
