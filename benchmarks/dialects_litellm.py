"""litellm's own translation of the same chat, in a process of its own: prints microseconds by vendor as JSON."""

from __future__ import annotations

import copy
import json
import os
from collections.abc import Callable
from typing import Any

os.environ.setdefault("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # else it fetches a file from the network

from .dialects import CHAT, VENDORS, Vendor, timed

_PARAMS = {name: CHAT[name] for name in ("max_completion_tokens", "tools")}


class _Log:
    """Where litellm wants to write what it did."""

    optional_params: dict[str, Any] = {}  # noqa: RUF012  its own shape

    def post_call(self, **facts: Any) -> None: ...


def there_and_back(vendor: Vendor) -> Callable[[], object]:
    """The request as litellm would send it, and its answer as litellm would give it."""
    import httpx
    from litellm import ModelResponse
    from litellm.llms.anthropic.chat.transformation import AnthropicConfig
    from litellm.llms.bedrock.chat.converse_transformation import AmazonConverseConfig
    from litellm.llms.vertex_ai.gemini import transformation
    from litellm.llms.vertex_ai.gemini.vertex_and_google_ai_studio_gemini import VertexGeminiConfig

    made: Any = {"Anthropic": AnthropicConfig, "Gemini": VertexGeminiConfig, "Bedrock": AmazonConverseConfig}
    config: Any = made[vendor.name]()
    answered = json.dumps(vendor.answer).encode()

    def work() -> object:
        # It changes what it is given, so each call gets its own; the time of that is taken off by the caller.
        messages: Any = copy.deepcopy(CHAT["messages"])
        params: Any = config.map_openai_params(copy.deepcopy(_PARAMS), {}, vendor.model, True)
        if vendor.name != "Gemini":
            sent: Any = config.transform_request(vendor.model, messages, params, {}, {})
        else:
            sent = transformation._transform_request_body(messages, vendor.model, params, "gemini", {}, None)
        raw = httpx.Response(200, content=answered, headers={"content-type": "application/json"})
        reply: Any = config.transform_response(
            vendor.model, raw, ModelResponse(), _Log(), sent, messages, params, {}, None
        )
        return json.dumps(sent), reply.json()

    return work


def copied() -> object:
    """What it costs to give each call its own."""
    return copy.deepcopy(CHAT["messages"]), copy.deepcopy(_PARAMS)


if __name__ == "__main__":
    copying = timed(copied)
    print(json.dumps({vendor.name: timed(there_and_back(vendor)) - copying for vendor in VENDORS}))
