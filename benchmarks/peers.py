"""
Other gateways in the app's process, measured beside ours where they are installed.

Their parts may not agree with ours (litellm asks for an older openai), so they may live in a folder of their own:
`pip install --target DIR 'litellm[proxy]' liter-llm tensorzero gptcache langchain-openai` and
`python -m benchmarks --peers DIR`.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from .contenders import KEY, Ask, AsyncAsk, Contender, body, extra
from .provider import MODEL


@contextmanager
def litellm(url: str) -> Iterator[Ask]:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or it asks the network for prices
    import litellm as library

    def ask(prompt: str, stream: bool) -> str:
        messages = [{"role": "user", "content": prompt}]
        answer = library.completion(
            model=f"openai/{MODEL}", api_base=f"{url}/v1", api_key=KEY, messages=messages, **extra(stream)
        )
        if stream:
            return "".join(choice.delta.content or "" for chunk in answer for choice in chunk.choices)
        return answer.choices[0].message.content

    yield ask


@asynccontextmanager
async def litellm_async(url: str) -> AsyncIterator[AsyncAsk]:
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
    import litellm as library

    async def ask(prompt: str, stream: bool) -> str:
        messages = [{"role": "user", "content": prompt}]
        answer = await library.acompletion(
            model=f"openai/{MODEL}", api_base=f"{url}/v1", api_key=KEY, messages=messages, **extra(stream)
        )
        if stream:
            return "".join([choice.delta.content or "" async for chunk in answer for choice in chunk.choices])
        return answer.choices[0].message.content

    yield ask


@asynccontextmanager
async def liter_llm_async(url: str) -> AsyncIterator[AsyncAsk]:
    import liter_llm
    from liter_llm._internal_bindings import (
        ChatCompletionRequest,
    )  # the one its client takes; the public one is another

    client = liter_llm.create_client(api_key=KEY, base_url=f"{url}/v1", max_retries=0)
    model = f"openai/{MODEL}"

    async def ask(prompt: str, stream: bool) -> str:
        asked = ChatCompletionRequest.from_json(json.dumps({**body(prompt, stream), "model": model}))
        if stream:
            said = [choice.delta.content or "" async for chunk in client.chat_stream(asked) for choice in chunk.choices]
            return "".join(said)
        answer = await client.chat(asked)
        return str(answer.choices[0].message.content)

    yield ask


TENSORZERO = """
[gateway]
disable_pseudonymous_usage_analytics = true
observability.enabled = false
[models.bench]
routing = ["bench"]
[models.bench.providers.bench]
type = "openai"
model_name = "{model}"
api_base = "{url}/v1/"
api_key_location = "none"
"""
"""TensorZero's configuration, of a model and the provider's address."""


@contextmanager
def _settings(url: str) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tensorzero.toml"
        file.write_text(TENSORZERO.format(model=MODEL, url=url))
        yield str(file)


@contextmanager
def tensorzero(url: str) -> Iterator[Ask]:
    from tensorzero import TensorZeroGateway

    with _settings(url) as file, TensorZeroGateway.build_embedded(config_file=file) as gateway:

        def ask(prompt: str, stream: bool) -> str:
            asked = {"messages": [{"role": "user", "content": prompt}]}
            answer = gateway.inference(model_name="bench", input=asked, stream=stream)
            if stream:
                return "".join(block.text for chunk in answer for block in chunk.content)
            return answer.content[0].text

        yield ask


@asynccontextmanager
async def tensorzero_async(url: str) -> AsyncIterator[AsyncAsk]:
    from tensorzero import AsyncTensorZeroGateway

    with _settings(url) as file:
        async with await AsyncTensorZeroGateway.build_embedded(config_file=file) as gateway:

            async def ask(prompt: str, stream: bool) -> str:
                asked = {"messages": [{"role": "user", "content": prompt}]}
                answer = await gateway.inference(model_name="bench", input=asked, stream=stream)
                if stream:
                    return "".join([block.text async for chunk in answer for block in chunk.content])
                return answer.content[0].text

            yield ask


PEERS = {
    "litellm": Contender("litellm", litellm, litellm_async),
    "liter-llm": Contender("liter-llm", None, liter_llm_async),
    "tensorzero": Contender("TensorZero, embedded", tensorzero, tensorzero_async),
}
