"""What others call the providers and strategies that we have."""

from __future__ import annotations

from urllib.parse import urlsplit

from ..providers.table import ROWS, by_prefix

PROVIDERS = {
    "aws": "bedrock", "azure_ai": "azure", "azure_openai": "azure", "fireworks_ai": "fireworks",
    "google": "gemini", "hosted_vllm": "vllm", "hugging_face": "huggingface", "mistral_ai": "mistral",
    "nvidia_nim": "nvidia", "ollama_chat": "ollama", "perplexity_ai": "perplexity", "text_completion_openai": "openai",
    "together_ai": "together", "vertex_ai": "vertex", "vertex_ai_beta": "vertex", "x_ai": "xai",
    "custom_openai": "openai", "openai_like": "openai", "litellm_proxy": "openai", "zhipu": "zai",
}  # fmt: skip

STRATEGIES = {
    "simple_shuffle": "weighted", "least_busy": "least-busy", "usage_based_routing": "usage",
    "usage_based_routing_v2": "usage", "latency_based_routing": "least-latency", "cost_based_routing": "cost",
    "fallback": "failover", "loadbalance": "weighted", "single": "failover",
}  # fmt: skip


def known(name: str) -> str:
    """Our name for a provider; empty for one that is not known."""
    plain = name.strip().lower().replace("-", "_")
    for candidate in (PROVIDERS.get(plain, ""), plain.replace("_", "-"), plain):
        if candidate in ROWS:
            return candidate
    return ""


def compatible(kind: str, address: str) -> str:
    """The address at which a provider is asked in OpenAI's protocol: others name an Ollama by where its own begins."""
    try:
        bare = not urlsplit(address).path.strip("/")
    except ValueError:
        return address
    return f"{address.rstrip('/')}/v1" if kind == "ollama" and bare else address


def strategy(name: str) -> str:
    """Our name for a strategy; empty for one we do not have."""
    return STRATEGIES.get(name.strip().lower().replace("-", "_"), "")


def parted(model: str) -> tuple[str, str]:
    """The provider and its model of LiteLLM's `provider/model`, or of a bare name."""
    first, slash, rest = model.partition("/")
    if slash and known(first):
        return first, rest
    row = by_prefix(model)
    return (row.name, model) if row is not None else (first, rest) if slash else ("openai", model)
