"""Three SDKs made to say the same things, each in its own words."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from typing import Any, ClassVar, Protocol

import httpx2

from .conftest import Sdks

QUESTION = "What is a gateway?"
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}


@dataclass
class Heard:
    """An answer, however the SDK tells it."""

    text: str = ""
    thoughts: str = ""
    calls: list[tuple[str, Any]] = field(default_factory=list[tuple[str, Any]])
    """Names and arguments."""
    pieces: list[str] = field(default_factory=list[str])
    finish: str = ""
    tokens: tuple[int, int] = (0, 0)
    own: Any = None
    """The SDK's object, to be given back in the next turn."""


class Caller(Protocol):
    """One SDK over an edge."""

    errors: type[Exception]
    """What it raises for an error of the provider's."""
    broken: tuple[type[Exception], ...]
    """What it raises for a stream that breaks off."""
    told: type[Exception]
    """What it raises for an error told in mid-stream."""
    own: str
    """The vendor whose SDK it is."""
    finishes: ClassVar[dict[str, str]]
    """The unified finish reasons in its words."""

    def ask(self, model: str, **options: Any) -> Heard: ...
    def stream(self, model: str, **options: Any) -> Heard: ...


class OpenAICaller:
    own = "openai"
    finishes: ClassVar[dict[str, str]] = {
        "stop": "stop",
        "length": "length",
        "tool_calls": "tool_calls",
        "content_filter": "content_filter",
    }

    def __init__(self, sdks: Sdks, edge: Any, provider: Any) -> None:
        import openai

        self.errors: type[Exception] = openai.APIStatusError
        self.broken: tuple[type[Exception], ...] = (openai.APIConnectionError,)
        self.told: type[Exception] = openai.APIError
        self.colour = sdks.colour
        self.client = sdks.openai(edge, provider)

    def _given(self, options: dict[str, Any]) -> dict[str, Any]:
        given: dict[str, Any] = {"messages": [{"role": "user", "content": QUESTION}]}
        if options.get("image"):
            url = f"data:image/png;base64,{base64.b64encode(PNG).decode()}"
            parts = [{"type": "text", "text": QUESTION}, {"type": "image_url", "image_url": {"url": url}}]
            given["messages"] = [{"role": "user", "content": parts}]
        if options.get("system"):
            given["messages"].insert(0, {"role": "system", "content": options["system"]})
        if options.get("tool"):
            function = {"name": options["tool"], "description": "It", "parameters": SCHEMA}
            given["tools"] = [{"type": "function", "function": function}]
        if options.get("schema"):
            given["response_format"] = {"type": "json_schema", "json_schema": {"name": "place", "schema": SCHEMA}}
        if options.get("think"):
            given["reasoning_effort"] = "low"
        if options.get("after"):
            said: Heard = options["after"]
            call = said.own.tool_calls[0]
            turn = said.own.model_dump(exclude_none=True)
            given["messages"] += [turn, {"role": "tool", "tool_call_id": call.id, "content": options["result"]}]
        return given

    def ask(self, model: str, **options: Any) -> Heard:
        reply = self.colour.finish(self.client.chat.completions.create(model=model, **self._given(options)))
        message = reply.choices[0].message
        return Heard(
            text=message.content or "",
            thoughts=getattr(message, "reasoning_content", None) or "",
            calls=[(call.function.name, json.loads(call.function.arguments)) for call in message.tool_calls or ()],
            finish=reply.choices[0].finish_reason,
            tokens=(reply.usage.prompt_tokens, reply.usage.completion_tokens),
            own=message,
        )

    def stream(self, model: str, **options: Any) -> Heard:
        from openai.lib.streaming.chat import ChatCompletionStreamState

        asked = {"stream": True, "stream_options": {"include_usage": True}, **self._given(options)}
        state: ChatCompletionStreamState[None] = ChatCompletionStreamState()
        heard = Heard()
        for chunk in self.colour.items(self.colour.finish(self.client.chat.completions.create(model=model, **asked))):
            state.handle_chunk(chunk)
            if chunk.choices and chunk.choices[0].delta.content:
                heard.pieces.append(chunk.choices[0].delta.content)
            if chunk.usage:
                heard.tokens = (chunk.usage.prompt_tokens, chunk.usage.completion_tokens)
        choice = state.current_completion_snapshot.choices[0]
        heard.text, heard.finish, heard.own = choice.message.content or "", choice.finish_reason or "", choice.message
        heard.thoughts = getattr(choice.message, "reasoning_content", None) or ""
        for call in choice.message.tool_calls or ():
            function: Any = call.to_dict()["function"]
            heard.calls.append((function["name"], json.loads(function["arguments"])))
        return heard


class AnthropicCaller:
    own = "anthropic"
    finishes: ClassVar[dict[str, str]] = {
        "stop": "end_turn",
        "length": "max_tokens",
        "tool_calls": "tool_use",
        "content_filter": "refusal",
    }

    def __init__(self, sdks: Sdks, edge: Any, provider: Any) -> None:
        import anthropic

        self.errors: type[Exception] = anthropic.APIStatusError
        self.broken: tuple[type[Exception], ...] = (httpx2.RemoteProtocolError,)
        self.told: type[Exception] = anthropic.APIStatusError
        self.colour = sdks.colour
        self.client = sdks.anthropic(edge, provider, max_retries=0)

    def _given(self, options: dict[str, Any]) -> dict[str, Any]:
        content: Any = QUESTION
        if options.get("image"):
            source = {"type": "base64", "media_type": "image/png", "data": base64.b64encode(PNG).decode()}
            content = [{"type": "text", "text": QUESTION}, {"type": "image", "source": source}]
        given: dict[str, Any] = {"max_tokens": 2000, "messages": [{"role": "user", "content": content}]}
        if options.get("system"):
            given["system"] = options["system"]
        if options.get("tool"):
            given["tools"] = [{"name": options["tool"], "description": "It", "input_schema": SCHEMA}]
        if options.get("schema"):
            given["output_config"] = {"format": {"type": "json_schema", "schema": SCHEMA}}
        if options.get("think"):
            given["thinking"] = {"type": "enabled", "budget_tokens": 1024}
        if options.get("after"):
            said: Heard = options["after"]
            blocks = [block.model_dump(exclude_none=True) for block in said.own.content]
            use = next(block for block in blocks if block["type"] == "tool_use")
            result = {"type": "tool_result", "tool_use_id": use["id"], "content": options["result"]}
            given["messages"] += [{"role": "assistant", "content": blocks}, {"role": "user", "content": [result]}]
        return given

    def _heard(self, message: Any) -> Heard:
        blocks = message.content
        return Heard(
            text="".join(block.text for block in blocks if block.type == "text"),
            thoughts="".join(block.thinking for block in blocks if block.type == "thinking"),
            calls=[(block.name, block.input) for block in blocks if block.type == "tool_use"],
            finish=message.stop_reason,
            tokens=(message.usage.input_tokens, message.usage.output_tokens),
            own=message,
        )

    def ask(self, model: str, **options: Any) -> Heard:
        return self._heard(self.colour.finish(self.client.messages.create(model=model, **self._given(options))))

    def stream(self, model: str, **options: Any) -> Heard:
        given = self._given(options)
        pieces: list[str] = []

        async def collect() -> Any:
            async with self.client.messages.stream(model=model, **given) as got:
                pieces.extend([text async for text in got.text_stream])
                return await got.get_final_message()

        if self.colour.name == "async":
            message = self.colour.run(collect())
        else:
            with self.client.messages.stream(model=model, **given) as got:
                pieces.extend(got.text_stream)
                message = got.get_final_message()
        heard = self._heard(message)
        heard.pieces = pieces
        return heard


class GoogleCaller:
    own = "gemini"
    finishes: ClassVar[dict[str, str]] = {
        "stop": "STOP",
        "length": "MAX_TOKENS",
        "tool_calls": "STOP",
        "content_filter": "SAFETY",
    }

    def __init__(self, sdks: Sdks, edge: Any, provider: Any) -> None:
        from google.genai import errors

        self.errors: type[Exception] = errors.APIError
        self.broken: tuple[type[Exception], ...] = (httpx2.RemoteProtocolError,)
        self.told: type[Exception] = errors.APIError
        self.colour = sdks.colour
        self.models = sdks.google(edge, provider)

    def _given(self, options: dict[str, Any]) -> dict[str, Any]:
        from google.genai import types

        parts: list[Any] = [types.Part(text=QUESTION)]
        if options.get("image"):
            parts.append(types.Part(inline_data=types.Blob(mime_type="image/png", data=PNG)))
        contents: list[Any] = [types.Content(role="user", parts=parts)]
        config: dict[str, Any] = {}
        if options.get("system"):
            config["system_instruction"] = options["system"]
        if options.get("tool"):
            function = {"name": options["tool"], "description": "It", "parameters_json_schema": SCHEMA}
            config["tools"] = [{"function_declarations": [function]}]
            config["automatic_function_calling"] = {"disable": True}
        if options.get("schema"):
            config |= {"response_mime_type": "application/json", "response_json_schema": SCHEMA}
        if options.get("think"):
            config["thinking_config"] = {"thinking_level": "LOW", "include_thoughts": True}
        if options.get("after"):
            said: Heard = options["after"]
            call = said.own.function_calls[0]
            response = types.FunctionResponse(id=call.id, name=call.name, response={"output": options["result"]})
            answered = types.Content(role="user", parts=[types.Part(function_response=response)])
            contents += [said.own.candidates[0].content, answered]
        return {"contents": contents, "config": types.GenerateContentConfig(**config)}

    def _heard(self, answers: list[Any]) -> Heard:
        heard = Heard(own=answers[-1])
        for answer in answers:
            candidates = answer.candidates or ()
            for candidate in candidates:
                heard.finish = candidate.finish_reason or heard.finish
                for part in (candidate.content and candidate.content.parts) or ():
                    if part.function_call:
                        heard.calls.append((part.function_call.name, part.function_call.args))
                    elif part.thought:
                        heard.thoughts += part.text or ""
                    elif part.text:
                        heard.pieces.append(part.text)
            usage = answer.usage_metadata
            if usage is not None:
                said = (usage.candidates_token_count or 0) + (usage.thoughts_token_count or 0)
                heard.tokens = (usage.prompt_token_count, said)
        heard.text = "".join(heard.pieces)
        return heard

    def ask(self, model: str, **options: Any) -> Heard:
        return self._heard([self.colour.finish(self.models.generate_content(model=model, **self._given(options)))])

    def stream(self, model: str, **options: Any) -> Heard:
        got = self.colour.finish(self.models.generate_content_stream(model=model, **self._given(options)))
        return self._heard(self.colour.items(got))


CALLERS: dict[str, type[OpenAICaller] | type[AnthropicCaller] | type[GoogleCaller]] = {
    "openai": OpenAICaller,
    "anthropic": AnthropicCaller,
    "google": GoogleCaller,
}
