"""How a request leaves: for a provider of the table, and for the place the caller addressed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, strategies as st
from pydantic import SecretStr

from llm_edge.clouds.table import CLOUDS
from llm_edge.config import ProviderConfig, ResolvedProvider
from llm_edge.errors import InvalidRequest
from llm_edge.message import Body, Headers, Request, Saved
from llm_edge.providers.addressed import Addressed
from llm_edge.providers.base import Adapter, Family, Target
from llm_edge.providers.compatible import Compatible
from llm_edge.providers.table import ROWS

from .exchanges import WIRES

OPENAI = Compatible(row=ROWS["openai"])
TARGET = Target(provider="openai", model="gpt-5.4-mini", key="test-key")


def asking(body: dict[str, Any] | bytes, **facts: Any) -> Request:
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    headers = Headers(facts.pop("headers", {}))
    return Request(body=Body(raw), headers=headers, **facts)


def adapter_of(told: dict[str, Any]) -> Adapter:
    """A row's, or a cloud's with the case's settings."""
    name, given = told["provider"], dict[str, Any](told.get("settings", {}))
    if name not in CLOUDS:
        return Compatible(row=ROWS[name])
    settings = ProviderConfig(**given)
    keys = (SecretStr(told["key"]),) if told["key"] else ()
    made, _ = CLOUDS[name](name, ResolvedProvider(keys=keys, headers=settings.headers, settings=settings))
    return made.for_model(told["model"]) if isinstance(made, Family) else made


@pytest.mark.parametrize("case", WIRES, ids=lambda path: f"{path.parent.name}/{path.name.removesuffix('.wire.json')}")
def test_a_request_leaves_as_its_case_says(case: Path) -> None:
    told = json.loads(case.read_bytes())
    request = asking(
        told["request"],
        dialect=told["dialect"],
        headers=told["headers"],
        streaming=told["streaming"],
        url=told["addressed"],
    )
    target = Target(provider=told["provider"], model=told["model"], key=told["key"])
    wire = adapter_of(told).encode(request, target)
    assert wire.url == told["wire"]["url"]
    assert json.loads(wire.content) == told["wire"]["body"]
    sent = {name: value for name, value in wire.headers.items() if name not in ("user-agent", "traceparent")}
    assert sent == told["wire"]["headers"]


def test_fields_that_are_given_again_are_made_once_for_each_key_and_kind_of_call() -> None:
    headers = Headers({"x-team": "search", "authorization": "Bearer the-callers"})
    body, other = Body(b'{"model":"m"}'), Target(provider="openai", model="m", key="other-key")

    def sent(target: Target, **facts: Any) -> Headers:
        return OPENAI.encode(Request(body=body, headers=headers, **facts), target).headers

    assert sent(TARGET) is sent(TARGET)
    assert sent(TARGET)["authorization"] == "Bearer test-key"
    assert sent(other)["authorization"] == "Bearer other-key"
    assert sent(TARGET, streaming=True)["accept"] == "text/event-stream"
    assert sent(TARGET, streaming=True)["x-team"] == sent(other)["x-team"] == "search"
    assert Compatible(row=ROWS["groq"]).encode(Request(body=body, headers=headers), other).headers is not sent(other)
    assert "test-key" not in repr((headers, OPENAI))


def test_both_are_adapters() -> None:
    adapters: list[Adapter] = [OPENAI, Addressed()]
    assert [adapter.name for adapter in adapters] == ["openai", "addressed"]


def test_bytes_leave_as_they_came_when_nothing_changes() -> None:
    raw = b'{ "model" : "gpt-5.4-mini",\n "messages": [], "big": 123456789012345678901234567890, "x": 1.0 }'
    assert OPENAI.encode(asking(raw), TARGET).content is raw


def test_a_number_past_64_bits_survives_a_change_of_model() -> None:
    raw = b'{"model":"other","big":123456789012345678901234567890}'
    assert json.loads(OPENAI.encode(asking(raw), TARGET).content)["big"] == 123456789012345678901234567890


@pytest.mark.parametrize("row", [row for row in ROWS.values() if not row.settings], ids=lambda row: row.name)
def test_every_row_says_where_to_go_and_shows_its_key(row: Any) -> None:
    adapter = Compatible(row=row)
    for dialect in row.paths:
        assert adapter.speaks(dialect)
        wire = adapter.encode(
            asking({"messages": []}, dialect=dialect), Target(provider=row.name, model="a/b", key="test-key")
        )
        assert wire.url.startswith(row.base_url)
        assert "{" not in wire.url
        assert [value for _, value in wire.headers.pairs if "test-key" in value]
        assert "test-key" not in f"{adapter} {wire}"
        bare = adapter.encode(asking({"messages": []}, dialect=dialect), Target(provider=row.name, model="m"))
        assert not {"authorization", "x-api-key", "x-goog-api-key"} & set(bare.headers)


def test_a_dialect_not_spoken_is_refused_with_those_that_are() -> None:
    adapter = Compatible(row=ROWS["deepseek"])
    assert not adapter.speaks("anthropic.messages")
    with pytest.raises(InvalidRequest, match=r"deepseek does not speak anthropic\.messages; it speaks openai\.chat"):
        adapter.encode(asking({}, dialect="anthropic.messages"), TARGET)


def test_the_list_of_models_is_asked_with_get() -> None:
    wire = OPENAI.encode(asking(b"", operation="models", dialect="openai.models"), TARGET)
    assert (wire.method, wire.url, wire.content) == ("GET", "https://api.openai.com/v1/models", b"")
    assert "content-type" not in wire.headers
    assert wire.headers["authorization"] == "Bearer test-key"


def test_an_address_and_headers_of_ones_own_go_before_the_rows() -> None:
    adapter = Compatible(
        row=ROWS["openai"],
        name="local",
        base_url="http://127.0.0.1:9/v1/",
        headers={"X-Team": "search", "User-Agent": "mine"},
    )
    wire = adapter.encode(asking({"model": "m"}, headers={"user-agent": "theirs"}), TARGET)
    assert adapter.name == "local"
    assert wire.url == "http://127.0.0.1:9/v1/chat/completions"
    assert [pair for pair in wire.headers.pairs if pair[0].lower() == "user-agent"] == [("user-agent", "mine")]
    assert wire.headers["x-team"] == "search"
    elsewhere = adapter.encode(
        asking({"model": "m"}), Target(provider="local", model="m", base_url="http://127.0.0.1:8/v1")
    )
    assert elsewhere.url == "http://127.0.0.1:8/v1/chat/completions"


def test_a_field_that_is_there_under_both_names_keeps_the_one_that_is_known() -> None:
    body = {"model": "deepseek-chat", "max_completion_tokens": 5, "max_tokens": 9}
    wire = Compatible(row=ROWS["deepseek"]).encode(asking(body), Target(provider="deepseek", model="deepseek-chat"))
    assert json.loads(wire.content) == {"model": "deepseek-chat", "max_tokens": 9}


def test_the_callers_own_request_is_not_changed() -> None:
    request = asking({"model": "m", "messages": [{"role": "developer", "content": "x"}], "max_completion_tokens": 1})
    before = json.dumps(request.body.json)
    Compatible(row=ROWS["ollama"]).encode(request, Target(provider="ollama", model="n"))
    assert json.dumps(request.body.json) == before


SECRETS = (
    "Authorization",
    "x-api-key",
    "api-key",
    "X-Goog-Api-Key",
    "Cookie",
    "Proxy-Authorization",
    "cf-access-client-secret",
    "Helicone-Auth",
    "x-portkey-api-key",
    "X-Amz-Security-Token",
    "x-custom-token",
    "My-Password",
    "OpenAI-Organization",
)
CONNECTION = (
    "Host",
    "Content-Length",
    "Transfer-Encoding",
    "Connection",
    "Accept-Encoding",
    "X-Stainless-Retry-Count",
    "x-llm-edge-route",
    "X-Forwarded-For",
    "Content-Encoding",
    "Expect",
)


@pytest.mark.parametrize(
    ("row", "dialect"), [("openai", "openai.chat"), ("anthropic", "anthropic.messages"), ("openrouter", "openai.chat")]
)
def test_nothing_of_the_callers_connection_or_account_travels_to_another_host(row: str, dialect: str) -> None:
    given_headers = dict.fromkeys((*SECRETS, *CONNECTION), "the-callers")
    request = asking({"messages": []}, headers=given_headers, dialect=dialect)
    wire = Compatible(row=ROWS[row]).encode(request, Target(provider=row, model="m", key="ours"))
    assert "the-callers" not in str(wire.headers.pairs)


def test_other_headers_of_the_caller_travel_on() -> None:
    kept = {
        "traceparent": "00-1",
        "x-title": "app",
        "http-referer": "https://app.test",
        "x-request-id": "1",
        "idempotency-key": "2",
        "user-agent": "u",
    }
    wire = OPENAI.encode(asking({"model": "m"}, headers=kept), TARGET)
    assert kept.items() <= dict(wire.headers).items()


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["a", "A", "content-type", "Accept", "accept-encoding", "user-agent", "x-b"]),
            st.sampled_from(["1", "2"]),
        )
    )
)
def test_no_header_of_ours_comes_twice(pairs: list[tuple[str, str]]) -> None:
    wire = OPENAI.encode(Request(body=Body(b'{"model":"m"}'), headers=Headers(pairs)), TARGET)
    names = [name.lower() for name, _ in wire.headers.pairs if name.lower() not in ("a", "x-b", "user-agent")]
    assert len(names) == len(set(names))


def test_an_addressed_call_goes_where_it_was_sent_as_it_came() -> None:
    pairs = [
        ("Host", "api.example.test"),
        ("Authorization", "Bearer the-callers"),
        ("X-Stainless-Lang", "python"),
        ("x-b", "1"),
        ("x-b", "2"),
    ]
    request = asking(
        b"{ }",
        headers=pairs,
        dialect="opaque",
        operation="opaque",
        method="PUT",
        url="https://api.example.test/v1/files?x=1",
    )
    wire = Addressed().encode(request, Target(provider="p", model="", addressed=True))
    assert (wire.method, wire.url, wire.content) == ("PUT", request.url, b"{ }")
    assert wire.headers is request.headers
    assert Addressed().decode(request.body, request) is request.body


def test_an_addressed_call_keeps_what_was_meant_for_us() -> None:
    request = asking(
        b"{}", headers={"X-LLM-Edge-Route": "fast", "x-llm-edge-tenant": "t", "accept": "*/*"}, dialect="opaque"
    )
    assert dict(Addressed().encode(request, TARGET).headers) == {"accept": "*/*"}


@pytest.mark.parametrize(("streaming", "coding"), [(False, "gzip, deflate"), (True, "identity")])
def test_an_addressed_call_we_read_ourselves_asks_for_codings_we_undo(streaming: bool, coding: str) -> None:
    request = asking(b"{}", headers={"Accept-Encoding": "br, zstd"}, streaming=streaming)
    assert dict(Addressed().encode(request, TARGET).headers) == {"accept-encoding": coding}
    opaque = asking(b"{}", headers={"Accept-Encoding": "br, zstd"}, dialect="opaque")
    assert Addressed().encode(opaque, TARGET).headers["accept-encoding"] == "br, zstd"


def test_an_upload_travels_as_one() -> None:
    upload = Saved([b"x"])
    request = Request(body=Body(b""), upload=upload, dialect="opaque", url="http://x.test/")
    wire = Addressed().encode(request, TARGET)
    assert wire.upload is upload
    assert wire.content == b""
    assert Addressed().speaks("anything")
