"""The real SDKs understand what a scripted provider says, whole and streamed, by socket and by transport."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest
from google import genai
from mistralai.client import Mistral

from llm_edge.testing import Provider, answer, embeddings, events, status, stream, tool_call

ASK: Any = {"model": "m", "messages": [{"role": "user", "content": "hello"}]}
CLAUDE: Any = ASK | {"max_tokens": 9}


@pytest.fixture
def provider() -> Iterator[Provider]:
    with Provider() as made:
        yield made


@pytest.fixture(params=["transport", "socket"])
def by(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Clients:
    """SDK clients for one provider, by socket or by transport; each async call runs in a loop of its own."""

    def __init__(self, provider: Provider, by: str) -> None:
        self.provider, self.by = provider, by

    def _options(self, base: str, client: Any) -> Any:
        options: Any = {"base_url": "http://scripted.test" + base, "api_key": "sk-test", "max_retries": 0}
        if self.by == "socket":
            return options | {"base_url": self.provider.url + base}
        return options | {"http_client": client}

    def openai(self) -> openai.OpenAI:
        return openai.OpenAI(**self._options("/v1", self.provider.http_client()))

    def async_openai(self) -> openai.AsyncOpenAI:
        return openai.AsyncOpenAI(**self._options("/v1", self.provider.async_http_client()))

    def anthropic(self) -> anthropic.Anthropic:
        return anthropic.Anthropic(**self._options("", self.provider.http_client()))

    def async_anthropic(self) -> anthropic.AsyncAnthropic:
        return anthropic.AsyncAnthropic(**self._options("", self.provider.async_http_client()))


@pytest.fixture
def clients(provider: Provider, by: str) -> Clients:
    return Clients(provider, by)


def test_openai_reads_an_answer(clients: Clients, colour: str) -> None:
    clients.provider.script(answer("hi", usage={"prompt_tokens": 5, "completion_tokens": 2, "cached_tokens": 4}))

    async def ask() -> Any:
        async with clients.async_openai() as client:
            return await client.chat.completions.create(**ASK)

    if colour == "sync":
        with clients.openai() as client:
            got: Any = client.chat.completions.create(**ASK)
    else:
        got = asyncio.run(ask())
    assert (got.choices[0].message.content, got.choices[0].finish_reason, got.model) == ("hi", "stop", "m")
    assert (got.usage.total_tokens, got.usage.prompt_tokens_details.cached_tokens) == (7, 4)


def test_openai_reads_a_stream(clients: Clients, colour: str) -> None:
    clients.provider.script(stream("a", "b", usage={"prompt_tokens": 5, "completion_tokens": 2}))
    fields = ASK | {"stream": True, "stream_options": {"include_usage": True}}

    async def ask() -> Any:
        async with clients.async_openai() as client:
            return [chunk async for chunk in await client.chat.completions.create(**fields)]

    if colour == "sync":
        with clients.openai() as client:
            chunks: Any = list(client.chat.completions.create(**fields))
    else:
        chunks = asyncio.run(ask())
    assert [chunk.choices[0].delta.content for chunk in chunks if chunk.choices] == ["", "a", "b", None]
    assert chunks[-1].usage.total_tokens == 7


def test_openai_collects_tool_calls_from_a_stream(clients: Clients) -> None:
    made = [tool_call("weather", {"city": "Oslo"}), tool_call("time", call_id="call_2")]
    clients.provider.script(answer(tool_calls=made))
    with clients.openai() as client, client.chat.completions.stream(**ASK) as got:
        message = got.get_final_completion().choices[0].message
    assert [(call.id, call.function.name, call.function.arguments) for call in message.tool_calls or []] == [
        ("call_1", "weather", '{"city":"Oslo"}'),
        ("call_2", "time", "{}"),
    ]


def test_openai_gets_as_many_choices_as_it_asked_for(clients: Clients) -> None:
    clients.provider.script(answer("x"))
    with clients.openai() as client:
        got = client.chat.completions.create(**ASK, n=3)
        chunks = list(client.chat.completions.create(**ASK, n=2, stream=True))
    assert [choice.index for choice in got.choices] == [0, 1, 2]
    assert [chunk.choices[0].index for chunk in chunks] == [0, 1] * 3


def test_openai_reads_embeddings_packed_and_plain(clients: Clients) -> None:
    clients.provider.script(embeddings([0.5, 0.25], [1.0, -1.0]))
    with clients.openai() as client:
        packed = client.embeddings.create(model="m", input=["a", "b", "c"])
        plain = client.embeddings.create(model="m", input="a", encoding_format="float")
        clients.provider.script(embeddings())
        made = client.embeddings.create(model="m", input=["a", "b"], dimensions=5)
        again = client.embeddings.create(model="m", input="b", dimensions=5)
        tokens = client.embeddings.create(model="m", input=[1, 2, 3])
    assert [item.embedding for item in packed.data] == [[0.5, 0.25], [1.0, -1.0], [0.5, 0.25]]
    assert plain.data[0].embedding == [0.5, 0.25]
    assert made.data[1].embedding == again.data[0].embedding
    assert (len(again.data[0].embedding), len(tokens.data)) == (5, 1)


def test_openai_reads_legacy_completions(clients: Clients) -> None:
    clients.provider.script(stream("a", "b"))
    with clients.openai() as client:
        whole = client.completions.create(model="m", prompt="x")
        parts = list(client.completions.create(model="m", prompt="x", stream=True))
    assert whole.choices[0].text == "ab"
    assert [part.choices[0].text for part in parts] == ["a", "b", ""]


@pytest.mark.parametrize("streamed", [False, True])
def test_openai_reads_responses(clients: Clients, streamed: bool) -> None:
    clients.provider.script(stream("a", "b", tool_calls=[tool_call("f", {"x": 1})], reasoning="hm"))
    with clients.openai() as client:
        if streamed:
            with client.responses.stream(model="m", input="x") as got:
                final: Any = got.get_final_response()
        else:
            final = client.responses.create(model="m", input="x")
    assert (final.output_text, final.status, final.usage.total_tokens) == ("ab", "completed", 12)
    assert [item.type for item in final.output] == ["reasoning", "message", "function_call"]
    assert (final.output[2].call_id, final.output[2].arguments) == ("call_1", '{"x":1}')


def test_openai_sees_a_refusal_in_both_of_its_dialects(clients: Clients) -> None:
    clients.provider.script(answer(refusal="no"))
    with clients.openai() as client:
        assert client.chat.completions.create(**ASK).choices[0].message.refusal == "no"
        with client.chat.completions.stream(**ASK) as got:
            assert got.get_final_completion().choices[0].message.refusal == "no"
        with client.responses.stream(model="m", input="x") as told:
            final: Any = told.get_final_response()
    assert (final.status, final.output[0].content[0].refusal) == ("completed", "no")


def test_openai_raises_its_own_errors(clients: Clients) -> None:
    with clients.openai() as client:
        for code, kind in ((400, "BadRequest"), (401, "Authentication"), (429, "RateLimit"), (500, "InternalServer")):
            clients.provider.script(status(code, "told you"))
            with pytest.raises(openai.APIStatusError, match="told you") as caught:
                client.chat.completions.create(**ASK)
            assert type(caught.value).__name__ == f"{kind}Error"


def test_openai_lists_models(clients: Clients) -> None:
    clients.provider.models = ("a", "b")
    with clients.openai() as client:
        assert [model.id for model in client.models.list()] == ["a", "b"]
        assert client.models.retrieve("b").id == "b"
        with pytest.raises(openai.NotFoundError):
            client.models.retrieve("c")


def test_an_endpoint_without_an_answer_here_is_not_found(clients: Clients) -> None:
    with clients.openai() as client, pytest.raises(openai.NotFoundError, match=r"GET /v1/files; script a json_body"):
        client.files.list()


def test_anthropic_reads_an_answer(clients: Clients, colour: str) -> None:
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "cached_tokens": 4, "cache_write_tokens": 1}
    made = tool_call("f", {"x": 1}, call_id="toolu_1")
    clients.provider.script(answer("hi", tool_calls=[made], reasoning="hm", usage=usage))

    async def ask() -> Any:
        async with clients.async_anthropic() as client:
            return await client.messages.create(**CLAUDE)

    if colour == "sync":
        with clients.anthropic() as client:
            got: Any = client.messages.create(**CLAUDE)
    else:
        got = asyncio.run(ask())
    assert [block.type for block in got.content] == ["thinking", "text", "tool_use"]
    assert (got.content[1].text, got.content[2].input, got.stop_reason) == ("hi", {"x": 1}, "tool_use")
    assert (got.usage.input_tokens, got.usage.cache_read_input_tokens, got.usage.output_tokens) == (5, 4, 2)


def test_anthropic_reads_a_stream(clients: Clients, colour: str) -> None:
    clients.provider.script(stream("a", "b", tool_calls=[tool_call("f", {"x": 1})], reasoning="hm"))

    async def ask() -> Any:
        async with clients.async_anthropic() as client, client.messages.stream(**CLAUDE) as got:
            return [text async for text in got.text_stream], await got.get_final_message()

    if colour == "sync":
        with clients.anthropic() as client, client.messages.stream(**CLAUDE) as got:
            texts: Any = list(got.text_stream)
            final: Any = got.get_final_message()
    else:
        texts, final = asyncio.run(ask())
    assert texts == ["a", "b"]
    assert [block.type for block in final.content] == ["thinking", "text", "tool_use"]
    assert (final.content[2].input, final.stop_reason, final.usage.output_tokens) == ({"x": 1}, "tool_use", 3)


def test_anthropic_raises_its_own_errors(clients: Clients) -> None:
    with clients.anthropic() as client:
        clients.provider.script(status(529, "busy", error_code="compaction_unavailable"))
        with pytest.raises(anthropic.APIStatusError, match="overloaded_error") as caught:
            client.messages.create(**CLAUDE)
    assert (caught.value.status_code, caught.value.request_id) == (529, "req_1")


def test_a_refusal_is_a_reason_to_stop_outside_openai(clients: Clients, gemini: genai.Client) -> None:
    clients.provider.script(answer(refusal="no"))
    with clients.anthropic() as client:
        message = client.messages.create(**CLAUDE)
    told: Any = gemini.models.generate_content(model="gemini-x", contents="hello").candidates
    assert (message.stop_reason, told[0].finish_reason) == ("refusal", "SAFETY")


def test_anthropic_counts_tokens_and_lists_models(clients: Clients) -> None:
    clients.provider.models = ("claude-a", "claude-b")
    with clients.anthropic() as client:
        assert client.messages.count_tokens(**ASK).input_tokens == 9
        assert [model.id for model in client.models.list()] == ["claude-a", "claude-b"]
        assert client.models.retrieve("claude-b").id == "claude-b"
        with pytest.raises(anthropic.NotFoundError):
            client.models.retrieve("gpt")


def test_arguments_that_are_no_json_go_out_only_where_the_wire_is_text(clients: Clients) -> None:
    clients.provider.script(answer(tool_calls=[tool_call("f", "{broken")]))
    with clients.openai() as client:
        calls: Any = client.chat.completions.create(**ASK).choices[0].message.tool_calls
    assert calls[0].function.arguments == "{broken"
    with clients.anthropic() as other, pytest.raises(anthropic.InternalServerError, match="these are not JSON"):
        other.messages.create(**CLAUDE)


@pytest.fixture
def gemini(provider: Provider) -> Iterator[genai.Client]:
    options = genai.types.HttpOptions(base_url=provider.url)
    with genai.Client(api_key="k", http_options=options) as client:
        yield client


def test_gemini_reads_an_answer(provider: Provider, gemini: genai.Client) -> None:
    usage = {"prompt_tokens": 5, "completion_tokens": 4, "reasoning_tokens": 1, "cached_tokens": 2}
    provider.script(answer("hi", tool_calls=[tool_call("f", {"x": 1})], reasoning="hm", usage=usage))
    got: Any = gemini.models.generate_content(model="gemini-x", contents="hello")
    assert (got.text, got.function_calls[0].args) == ("hi", {"x": 1})
    assert got.candidates[0].finish_reason == "STOP"
    counts = got.usage_metadata
    assert (counts.candidates_token_count, counts.thoughts_token_count, counts.total_token_count) == (3, 1, 9)
    assert (provider.last.model, provider.last.key) == ("gemini-x", "k")


def test_gemini_reads_a_stream(provider: Provider, gemini: genai.Client) -> None:
    provider.script(stream("a", "b", finish="length"))
    chunks: Any = list(gemini.models.generate_content_stream(model="gemini-x", contents="hello"))
    assert [chunk.text for chunk in chunks] == ["a", "b"]
    assert [chunk.candidates[0].finish_reason for chunk in chunks] == [None, "MAX_TOKENS"]


def test_gemini_without_events_streams_one_array(provider: Provider) -> None:
    provider.script(stream("a", "b"))
    with provider.http_client() as client:
        got = client.post("http://scripted.test/v1beta/models/m:streamGenerateContent", json={"contents": []})
    assert [part["candidates"][0]["content"]["parts"][0]["text"] for part in got.json()] == ["a", "b"]


def test_gemini_embeds_counts_lists_and_fails(provider: Provider, gemini: genai.Client) -> None:
    provider.script(embeddings([0.5, 0.25]))
    provider.models = ("gemini-x",)
    embedded: Any = gemini.models.embed_content(model="gemini-embedding-001", contents=["a", "b"])
    assert [item.values for item in embedded.embeddings] == [[0.5, 0.25]] * 2
    assert gemini.models.count_tokens(model="gemini-x", contents="hello").total_tokens == 9
    assert gemini.models.get(model="gemini-x").name == "models/gemini-x"
    assert [model.name for model in gemini.models.list()] == ["models/gemini-x"]
    with pytest.raises(genai.errors.ClientError, match="NOT_FOUND"):
        gemini.models.get(model="other")
    provider.script(status(429, "slow", error_code="RATE"))
    with pytest.raises(genai.errors.ClientError, match="RESOURCE_EXHAUSTED"):
        gemini.models.generate_content(model="gemini-x", contents="hello")


def test_gemini_embeds_one_text(provider: Provider) -> None:
    provider.script(embeddings([0.5]))
    with provider.http_client() as client:
        got = client.post("http://scripted.test/v1beta/models/m:embedContent", json={"content": {"parts": []}})
    assert got.json() == {"embedding": {"values": [0.5]}}


def test_mistral_reads_answers_and_streams(provider: Provider) -> None:
    provider.script(stream("a", "b"))
    with Mistral(api_key="k", server_url=provider.url) as client:
        whole: Any = client.chat.complete(**ASK)
        parts: Any = [event.data.choices[0].delta.content for event in client.chat.stream(**ASK)]
    assert whole.choices[0].message.content == "ab"
    assert [part for part in parts if part] == ["a", "b"]


def test_an_error_in_the_middle_of_a_stream_reaches_the_sdk(clients: Clients) -> None:
    clients.provider.script(events({"error": {"message": "fell over", "type": "server_error"}}))
    with clients.openai() as client, pytest.raises(openai.APIError, match="fell over"):
        list(client.chat.completions.create(**ASK, stream=True))


def test_calls_that_were_given_no_id_have_one_each(clients: Clients) -> None:
    """Agents put results to calls by their ids."""
    clients.provider.script(answer(tool_calls=[tool_call("f"), tool_call("f", call_id="mine"), tool_call("f")]))
    for got in (clients.openai().chat.completions.create(**ASK), clients.openai().chat.completions.create(**ASK)):
        assert [call.id for call in got.choices[0].message.tool_calls or ()] == ["call_1", "mine", "call_3"]
    blocks = clients.anthropic().messages.create(**CLAUDE).content
    assert [block.id for block in blocks if block.type == "tool_use"] == ["call_1", "mine", "call_3"]


def test_mistral_reads_embeddings_and_what_fills_a_middle(provider: Provider) -> None:
    with Mistral(api_key="sk-test", server_url=provider.url) as client:
        provider.script(embeddings([0.5, 0.25]))
        assert client.embeddings.create(model="m", inputs=["one"]).data[0].embedding == [0.5, 0.25]
        provider.script(answer("between"))
        message = client.fim.complete(model="m", prompt="a", suffix="b").choices[0].message
        assert message is not None
        assert message.content == "between"
