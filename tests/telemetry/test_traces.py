"""Spans and metrics of OpenTelemetry: against the SDK's own exporters, and a receiver on loopback."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from llm_edge import EdgeClient
from llm_edge.config import EdgeConfig
from llm_edge.errors import Overloaded
from llm_edge.telemetry import logs
from llm_edge.testing import Provider, answer, status, stream

from ..conftest import Colour

Edges = Callable[..., EdgeClient]
USED = {"prompt_tokens": 1000, "completion_tokens": 100, "cached_tokens": 50}
SECRET = "my very private question"


class Seen:
    """What was exported."""

    def __init__(self, **options: Any) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider(shutdown_on_exit=False, **options)
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.reader = InMemoryMetricReader()
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)

    def spans(self, name: str = "") -> list[ReadableSpan]:
        return [span for span in self.exporter.get_finished_spans() if span.name.startswith(name)]

    def one(self, name: str) -> ReadableSpan:
        (span,) = self.spans(name)
        return span

    def points(self, name: str) -> list[Any]:
        data = self.reader.get_metrics_data()
        assert data is not None
        metrics = [metric for each in data.resource_metrics for scope in each.scope_metrics for metric in scope.metrics]
        return [point for metric in metrics if metric.name == name for point in metric.data.data_points]


@pytest.fixture
def seen() -> Iterator[Seen]:
    one = Seen()
    yield one
    one.provider.shutdown()
    one.meters.shutdown()


@pytest.fixture
def make(edges: Edges, provider: Provider) -> Callable[..., EdgeClient]:
    place = {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"}

    def made(seen: Seen, **sections: Any) -> EdgeClient:
        return edges(
            tracer_provider=seen.provider, meter_provider=seen.meters, providers={"gpt": place, "spare": place},
            routes={"r": {"targets": ["gpt/m", "spare/m"]}}, retry={"base": 0, "attempts": 2},
            prices={"models": {"gpt/m": {"input": 2.5, "output": 10}}}, **sections,
        )  # fmt: skip

    return made


def parent(span: ReadableSpan) -> int:
    return 0 if span.parent is None else span.parent.span_id


def identity(span: ReadableSpan) -> int:
    assert span.context is not None
    return span.context.span_id


def facts(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def test_a_call_is_a_span_with_its_attempt_below(colour: Colour, make: Any, seen: Seen, provider: Provider) -> None:
    provider.script(answer("Hi", usage=USED))
    reply = colour.chat(make(seen), "gpt/m", SECRET, temperature=0.5, max_tokens=9)
    call, attempt = seen.one("chat gpt/m"), seen.one("edge.attempt")
    assert parent(attempt) == identity(call)
    told = facts(call)
    expected = {
        "gen_ai.operation.name": "chat", "gen_ai.request.model": "gpt/m", "gen_ai.provider.name": "gpt",
        "gen_ai.request.temperature": 0.5, "gen_ai.request.max_tokens": 9, "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100, "gen_ai.usage.cache_read.input_tokens": 50,
        "gen_ai.response.finish_reasons": ("stop",), "llm_edge.cache": "MISS", "llm_edge.target": "gpt/m",
        "llm_edge.attempts": 1, "llm_edge.cost_usd": 0.0035, "llm_edge.request_id": reply.request_id,
    }  # fmt: skip
    assert {name: told.get(name) for name in expected} == expected
    assert call.kind.name == "CLIENT"
    assert call.start_time is not None
    assert attempt.start_time is not None
    assert attempt.end_time is not None
    assert call.end_time is not None
    assert call.start_time <= attempt.start_time <= attempt.end_time <= call.end_time


def test_the_provider_is_told_the_attempts_context(colour: Colour, make: Any, seen: Seen, provider: Provider) -> None:
    colour.chat(make(seen), "gpt/m", "Hi")
    version, trace, span, _ = provider.last.headers["traceparent"].split("-")
    attempt = seen.one("edge.attempt")
    assert attempt.context is not None
    assert (version, int(trace, 16), int(span, 16)) == ("00", attempt.context.trace_id, attempt.context.span_id)


def test_logs_and_story_name_the_trace(
    colour: Colour, make: Any, seen: Seen, provider: Provider, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "llm_edge.calls")
    story = colour.chat(make(seen), "gpt/m", "Hi").explain()
    context = seen.one("chat gpt/m").context
    assert context is not None
    assert int(story["trace_id"], 16) == context.trace_id
    (record,) = [each for each in caplog.records if each.name == "llm_edge.calls"]
    assert (record.__dict__["trace_id"], len(story["trace_id"])) == (story["trace_id"], 32)
    assert json.loads(logs.formatter("json").format(record))["trace_id"] == story["trace_id"]


def test_durations_name_a_trace_to_look_up_where_that_is_switched_on(
    colour: Colour, make: Any, seen: Seen, provider: Provider
) -> None:
    edge, quiet = (
        make(seen, telemetry={"exemplars": True}),
        make(Seen(sampler=ALWAYS_OFF), telemetry={"exemplars": True}),
    )
    off = make(seen)
    for each in (edge, quiet, off):
        _ = each.metrics
        story = colour.chat(each, "gpt/m", "Hi").explain()
        body, kind = each.metrics.told("application/openmetrics-text; version=1.0.0")
        examples = [
            sample.exemplar.labels["trace_id"]
            for family in (text_string_to_metric_families(body.decode()) if "openmetrics" in kind else ())
            for sample in family.samples
            if sample.exemplar is not None
        ]
        assert examples == ([story["trace_id"]] if each is edge else [])
        assert b"# EOF" not in each.metrics.text()
        assert each.metrics.told("text/plain")[1].startswith("text/plain")


def test_no_content_leaves_unless_switched_on(colour: Colour, make: Any, seen: Seen, provider: Provider) -> None:
    provider.script(answer("a private answer"))
    colour.chat(make(seen), "gpt/m", SECRET)
    assert SECRET not in str([span.to_json() for span in seen.spans()])
    assert "private" not in str([span.to_json() for span in seen.spans()])
    colour.chat(make(seen, telemetry={"capture_content": True}), "gpt/m", SECRET)
    told = facts(seen.spans("chat")[-1])
    assert SECRET in told["gen_ai.input.messages"]
    assert "a private answer" in told["gen_ai.output.messages"]


def test_a_streams_answer_is_told_whole_where_content_is(
    colour: Colour, make: Any, seen: Seen, provider: Provider
) -> None:
    provider.script(stream("a private ", "answer", usage=USED))
    edge = make(seen, telemetry={"capture_content": True})
    colour.items(colour.finish((edge.chat if colour.name == "sync" else edge.achat)("gpt/m", "Hi", stream=True)))
    assert "a private answer" in facts(seen.one("chat"))["gen_ai.output.messages"]


def test_retries_fallbacks_and_hits_are_told_apart(colour: Colour, make: Any, seen: Seen, provider: Provider) -> None:
    provider.script(status(503), status(503), answer("Hi", usage=USED))
    edge = make(seen)
    colour.chat(edge, "r", "Hi")
    colour.chat(edge, "gpt/m", "Ho")
    colour.chat(edge, "gpt/m", "Ho")
    told = [(facts(span)["llm_edge.target"], facts(span)["llm_edge.outcome"]) for span in seen.spans("edge.attempt")]
    assert told[:3] == [("gpt/m", "Overloaded"), ("gpt/m", "Overloaded"), ("spare/m", "ok")]
    assert [facts(span)["llm_edge.cache"] for span in seen.spans("edge.cache")] == ["HIT"]
    assert facts(seen.one("edge.route"))["llm_edge.targets"] == ("gpt/m", "spare/m")


def test_a_miss_that_looked_into_a_second_tier_has_a_span_for_it(
    colour: Colour, make: Any, seen: Seen, tmp_path: Path
) -> None:
    edge = make(seen, cache={"disk": {"directory": str(tmp_path / "kept")}})
    colour.chat(edge, "gpt/m", "Hi")
    colour.embed(edge, "gpt/m", ["one", "two"])
    assert [facts(span)["llm_edge.cache"] for span in seen.spans("edge.cache")] == ["MISS", "MISS"]


def test_a_failure_is_an_error_without_its_words(colour: Colour, make: Any, seen: Seen, provider: Provider) -> None:
    provider.script(*[status(503, "the words of the provider")] * 2)
    with pytest.raises(Overloaded):
        colour.chat(make(seen), "gpt/m", "Hi")
    call = seen.one("chat")
    assert (call.status.status_code.name, call.status.description) == ("ERROR", None)
    assert facts(call)["error.type"] == "Overloaded"
    assert "the words of the provider" not in str([span.to_json() for span in seen.spans()])


def test_a_streams_span_ends_when_the_stream_ends(colour: Colour, make: Any, seen: Seen, provider: Provider) -> None:
    provider.script(stream("a", "b", "c", usage=USED))
    edge = make(seen)
    reply = colour.finish((edge.chat if colour.name == "sync" else edge.achat)("gpt/m", "Hi", stream=True))
    assert seen.spans() == []
    colour.items(reply)
    told = facts(seen.one("chat"))
    assert told["gen_ai.usage.output_tokens"] == 100
    assert told["gen_ai.request.stream"] is True
    assert told["gen_ai.response.time_to_first_chunk"] >= 0
    assert told["gen_ai.response.finish_reasons"] == ("stop",)


def test_the_apps_span_is_the_parent_in_every_thread(make: Any, colour: Colour, seen: Seen) -> None:
    edge, tracer = make(seen), seen.provider.get_tracer("app")
    if colour.name == "async":

        async def ask(number: int) -> None:
            with tracer.start_as_current_span(f"app {number}"):
                await edge.achat("gpt/m", f"number {number}")

        async def all_of_them() -> None:
            await asyncio.gather(*(ask(number) for number in range(8)))

        colour.run(all_of_them())
    else:

        def ask_now(number: int) -> None:
            with tracer.start_as_current_span(f"app {number}"):
                edge.chat("gpt/m", f"number {number}")

        threads = [threading.Thread(target=ask_now, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    apps = {identity(span) for span in seen.spans("app")}
    assert {parent(span) for span in seen.spans("chat")} == apps
    assert len(apps) == 8


def test_the_context_is_given_back(colour: Colour, make: Any, seen: Seen) -> None:
    edge, tracer = make(seen), seen.provider.get_tracer("app")

    async def two() -> None:
        for text in ("one", "two"):
            with tracer.start_as_current_span("app"):
                await edge.achat("gpt/m", text)

    if colour.name == "async":
        colour.run(two())
    else:
        for text in ("one", "two"):
            with tracer.start_as_current_span("app"):
                edge.chat("gpt/m", text)
    assert [parent(span) for span in seen.spans("chat")] == [identity(span) for span in seen.spans("app")]


def test_a_header_names_the_parent_where_the_app_has_no_span(colour: Colour, make: Any, seen: Seen) -> None:
    client = colour.openai(make(seen), "http://127.0.0.1:9/v1")
    given = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
    messages: Any = [{"role": "user", "content": "Hi"}]
    colour.finish(client.chat.completions.create(model="gpt/m", messages=messages, extra_headers=given))
    call = seen.one("chat")
    assert call.context is not None
    assert (hex(call.context.trace_id), hex(parent(call))) == (
        "0xaf7651916cd43dd8448eb211c80319c",
        "0xb7ad6b7169203331",
    )


def test_a_call_that_is_not_sampled_still_carries_its_context(colour: Colour, make: Any, provider: Provider) -> None:
    quiet = Seen(sampler=ALWAYS_OFF)
    colour.chat(make(quiet), "gpt/m", "Hi")
    assert quiet.spans() == []
    assert not int(provider.last.headers["traceparent"][-2:], 16) & 1


def test_the_metrics_of_the_conventions(colour: Colour, make: Any, seen: Seen, provider: Provider) -> None:
    provider.script(answer("Hi", usage=USED))
    colour.chat(make(seen), "gpt/m", "Hi")
    (duration,) = seen.points("gen_ai.client.operation.duration")
    assert duration.count == 1
    assert duration.attributes["gen_ai.provider.name"] == "gpt"
    tokens = {point.attributes["gen_ai.token.type"]: point.sum for point in seen.points("gen_ai.client.token.usage")}
    assert tokens == {"input": 1000, "output": 100}


def test_without_an_sdk_nothing_is_sent_along(colour: Colour, edges: Edges, provider: Provider) -> None:
    place = {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"}
    for traces in (True, False):
        edge = edges(providers={"gpt": place}, telemetry={"traces": traces})
        colour.chat(edge, "gpt/m", "Hi")
        assert "traceparent" not in provider.last.headers


class Receiver:
    """A collector that speaks OTLP over HTTP, as far as it keeps what it gets."""

    def __init__(self) -> None:
        got = self.got = list[tuple[str, bytes]]()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                got.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None: ...

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def test_a_collector_gets_the_spans_over_otlp(colour: Colour, make: Any, seen: Seen) -> None:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    receiver = Receiver()
    exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{receiver.server.server_port}/v1/traces")
    seen.provider.add_span_processor(SimpleSpanProcessor(exporter))
    try:
        colour.chat(make(seen), "gpt/m", "Hi")
        seen.provider.force_flush()
    finally:
        exporter.shutdown()
        receiver.close()
    names = set[str]()
    for path, body in receiver.got:
        assert path == "/v1/traces"
        told = ExportTraceServiceRequest.FromString(body)
        names |= {span.name for each in told.resource_spans for scope in each.scope_spans for span in scope.spans}
    assert names == {"chat gpt/m", "edge.attempt"}


def names_of(receiver: Receiver) -> set[str]:
    """The spans that were received, by name; and whose they are."""
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    found = set[str]()
    for path, body in receiver.got:
        assert path == "/v1/traces"
        for each in ExportTraceServiceRequest.FromString(body).resource_spans:
            found |= {word.value.string_value for word in each.resource.attributes if word.key == "service.name"}
            found |= {span.name for scope in each.scope_spans for span in scope.spans}
    return found


@pytest.mark.parametrize("path", ["", "/v1/traces"])
def test_a_collector_that_is_configured_gets_the_spans_when_the_client_is_closed(
    colour: Colour, edges: Edges, provider: Provider, path: str
) -> None:
    receiver = Receiver()
    place = {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"}
    address = f"http://127.0.0.1:{receiver.server.server_port}{path}"
    try:
        edge = edges(providers={"gpt": place}, telemetry={"otlp_endpoint": address})
        colour.chat(edge, "gpt/m", "Hi")
        edge.close()
    finally:
        receiver.close()
    assert names_of(receiver) == {"llm_edge", "chat gpt/m", "edge.attempt"}


def test_a_collector_that_is_not_there_costs_no_call_anything(colour: Colour, edges: Edges, provider: Provider) -> None:
    place = {"kind": "openai", "base_url": f"{provider.url}/v1", "api_key": "k"}
    nobody = Receiver()
    nobody.close()
    address = f"http://127.0.0.1:{nobody.server.server_port}"
    edge = edges(providers={"gpt": place}, telemetry={"otlp_endpoint": address})
    assert colour.chat(edge, "gpt/m", "Hi").text
    edge.close()


def test_the_sidecars_variables_switch_tracing() -> None:
    env = {"OTLP_ENDPOINT": "http://collector:4318", "ENABLE_TRACING": "false"}
    told = EdgeConfig.load(None, env=env, serving=True).telemetry
    assert (told.otlp_endpoint, told.traces) == ("http://collector:4318", False)
    assert EdgeConfig.load(None, env=env).telemetry.otlp_endpoint is None
