"""
Known providers as data: where they live, whose key they take, and what they say differently.

A provider of a known dialect is one row here. A difference that a row cannot tell in data needs an
adapter of its own. Nothing in this file is read from the environment; `key_env` only names variables.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

OPENAI_PATHS: Mapping[str, str] = MappingProxyType(
    {
        "openai.chat": "/chat/completions",
        "openai.completions": "/completions",
        "openai.embeddings": "/embeddings",
    }
)
ANTHROPIC_PATHS: Mapping[str, str] = MappingProxyType(
    {"anthropic.messages": "/v1/messages", "anthropic.count": "/v1/messages/count_tokens"}
)
GOOGLES = ("gemini.generate", "gemini.embed", "gemini.count")
MAX_TOKENS: Mapping[str, str] = MappingProxyType({"max_completion_tokens": "max_tokens"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One provider."""

    name: str
    base_url: str
    key_env: tuple[str, ...] = ()
    """Variables that may hold its key, the first that is set wins."""
    prefixes: tuple[str, ...] = ()
    """How the names of its own models begin."""
    hosts: tuple[str, ...] = ()
    """More hosts that are it; one that begins with a dot stands for all below it."""
    paths: Mapping[str, str] = field(default_factory=lambda: OPENAI_PATHS)
    """The dialects it speaks, and where; `{model}` and `{action}` are filled in."""
    models_path: str = "/models"
    key_headers: Mapping[str, str] = field(default_factory=dict[str, str])
    """The header that shows the key, by dialect; `authorization` where not named."""
    headers: Mapping[str, Mapping[str, str]] = field(default_factory=dict[str, Mapping[str, str]])
    """Headers it must have, by dialect, when the caller brings none."""
    rename: Mapping[str, str] = field(default_factory=dict[str, str])
    """Chat fields it knows by another name."""
    drop: frozenset[str] = frozenset()
    """Chat fields it refuses and can do without."""
    developer: bool = False
    """It knows the `developer` role; others are told `system`."""
    slashes: bool = False
    """Its model names have slashes of their own."""
    key_optional: bool = False
    """It may be asked without a key: it runs on this machine or in this house."""
    settings: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """What it can be told besides, in a cloud, and the variables that say so where no setting does."""


_ENTRA: Mapping[str, tuple[str, ...]] = {"tenant_id": (), "client_id": (), "client_secret": ()}

_ROWS: tuple[Row, ...] = (
    Row(
        name="openai",
        base_url="https://api.openai.com/v1",
        key_env=("OPENAI_API_KEY",),
        prefixes=("gpt-", "chatgpt-", "o1", "o3", "o4", "text-embedding-", "davinci-", "babbage-", "computer-use-"),
        hosts=(".api.openai.com",),
        paths={**OPENAI_PATHS, "openai.responses": "/responses", "openai.count": "/responses/input_tokens"},
        developer=True,
    ),
    Row(
        name="anthropic",
        base_url="https://api.anthropic.com",
        key_env=("ANTHROPIC_API_KEY",),
        prefixes=("claude-",),
        paths=ANTHROPIC_PATHS,
        models_path="/v1/models",
        key_headers=dict.fromkeys((*ANTHROPIC_PATHS, ""), "x-api-key"),
        headers={dialect: {"anthropic-version": "2023-06-01"} for dialect in (*ANTHROPIC_PATHS, "")},
    ),
    Row(
        name="gemini",
        base_url="https://generativelanguage.googleapis.com",
        key_env=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        prefixes=("gemini-",),
        paths=dict.fromkeys(GOOGLES, "/v1beta/models/{model}:{action}"),
        models_path="/v1beta/models",
        key_headers=dict.fromkeys((*GOOGLES, ""), "x-goog-api-key"),
    ),
    Row(
        name="gemini-openai",
        base_url="https://generativelanguage.googleapis.com/v1beta/openai",
        key_env=("GEMINI_API_KEY", "GOOGLE_API_KEY"),
        paths={"openai.chat": "/chat/completions", "openai.embeddings": "/embeddings"},
    ),
    Row(
        name="mistral",
        base_url="https://api.mistral.ai/v1",
        key_env=("MISTRAL_API_KEY",),
        prefixes=("mistral-", "ministral-", "magistral-", "codestral-", "devstral-", "pixtral-", "open-mi"),
        paths={"openai.chat": "/chat/completions", "openai.embeddings": "/embeddings"},
        rename={**MAX_TOKENS, "seed": "random_seed"},
    ),
    Row(
        name="deepseek",
        base_url="https://api.deepseek.com/v1",
        key_env=("DEEPSEEK_API_KEY",),
        prefixes=("deepseek-",),
        paths={"openai.chat": "/chat/completions"},
        rename=MAX_TOKENS,
    ),
    Row(
        name="xai",
        base_url="https://api.x.ai/v1",
        key_env=("XAI_API_KEY",),
        prefixes=("grok-",),
        hosts=(".api.x.ai",),
    ),
    Row(
        name="perplexity",
        base_url="https://api.perplexity.ai",
        key_env=("PERPLEXITY_API_KEY", "PPLX_API_KEY"),
        prefixes=("sonar",),
        paths={"openai.chat": "/chat/completions"},
        rename=MAX_TOKENS,
    ),
    Row(
        name="moonshot",
        base_url="https://api.moonshot.ai/v1",
        key_env=("MOONSHOT_API_KEY", "MOONSHOTAI_API_KEY"),
        prefixes=("moonshot-", "kimi-"),
        hosts=("api.moonshot.cn",),
        paths={"openai.chat": "/chat/completions"},
        rename=MAX_TOKENS,
    ),
    Row(
        name="zai",
        base_url="https://api.z.ai/api/paas/v4",
        key_env=("ZAI_API_KEY",),
        prefixes=("glm-",),
        paths={"openai.chat": "/chat/completions"},
        rename=MAX_TOKENS,
    ),
    Row(
        name="cerebras",
        base_url="https://api.cerebras.ai/v1",
        key_env=("CEREBRAS_API_KEY",),
        paths={"openai.chat": "/chat/completions", "openai.completions": "/completions"},
    ),
    Row(name="groq", base_url="https://api.groq.com/openai/v1", key_env=("GROQ_API_KEY",), slashes=True),
    Row(
        name="together",
        base_url="https://api.together.xyz/v1",
        key_env=("TOGETHER_API_KEY",),
        hosts=("api.together.ai",),
        rename=MAX_TOKENS,
        slashes=True,
    ),
    Row(
        name="openrouter",
        base_url="https://openrouter.ai/api/v1",
        key_env=("OPENROUTER_API_KEY",),
        developer=True,
        slashes=True,
    ),
    Row(
        name="fireworks",
        base_url="https://api.fireworks.ai/inference/v1",
        key_env=("FIREWORKS_API_KEY",),
        rename=MAX_TOKENS,
        slashes=True,
    ),
    Row(
        name="deepinfra",
        base_url="https://api.deepinfra.com/v1/openai",
        key_env=("DEEPINFRA_API_KEY", "DEEPINFRA_TOKEN"),
        rename=MAX_TOKENS,
        slashes=True,
    ),
    Row(
        name="nvidia",
        base_url="https://integrate.api.nvidia.com/v1",
        key_env=("NVIDIA_API_KEY",),
        rename=MAX_TOKENS,
        slashes=True,
    ),
    Row(
        name="sambanova",
        base_url="https://api.sambanova.ai/v1",
        key_env=("SAMBANOVA_API_KEY",),
        paths={"openai.chat": "/chat/completions", "openai.embeddings": "/embeddings"},
        rename=MAX_TOKENS,
    ),
    Row(
        name="hyperbolic",
        base_url="https://api.hyperbolic.xyz/v1",
        key_env=("HYPERBOLIC_API_KEY",),
        rename=MAX_TOKENS,
        slashes=True,
    ),
    Row(
        name="huggingface",
        base_url="https://router.huggingface.co/v1",
        key_env=("HF_TOKEN",),
        paths={"openai.chat": "/chat/completions"},
        rename=MAX_TOKENS,
        slashes=True,
    ),
    Row(
        name="github",
        base_url="https://models.github.ai/inference",
        key_env=("GITHUB_API_KEY", "GITHUB_TOKEN"),
        paths={"openai.chat": "/chat/completions", "openai.embeddings": "/embeddings"},
        developer=True,
        slashes=True,
    ),
    # Servers on one's own machine: the newer field names are unknown to many that still run.
    Row(
        name="ollama",
        base_url="http://localhost:11434/v1",
        key_env=("OLLAMA_API_KEY",),
        rename=MAX_TOKENS,
        slashes=True,
        key_optional=True,
    ),
    Row(
        name="vllm",
        base_url="http://localhost:8000/v1",
        key_env=("VLLM_API_KEY",),
        rename=MAX_TOKENS,
        slashes=True,
        key_optional=True,
    ),
    Row(name="llamacpp", base_url="http://localhost:8080/v1", rename=MAX_TOKENS, slashes=True, key_optional=True),
    Row(name="lmstudio", base_url="http://localhost:1234/v1", rename=MAX_TOKENS, slashes=True, key_optional=True),
    # Clouds: `llm_edge/clouds` makes an address of their settings, and shows a token where there is no key.
    Row(
        name="azure",
        base_url="https://{resource}.openai.azure.com/openai/v1",
        key_env=("AZURE_OPENAI_API_KEY",),
        paths={**OPENAI_PATHS, "openai.responses": "/responses"},
        key_headers=dict.fromkeys((*OPENAI_PATHS, "openai.responses", ""), "api-key"),
        developer=True,
        settings={
            "base_url": ("AZURE_OPENAI_ENDPOINT",),
            "resource": (),
            "api_version": ("OPENAI_API_VERSION",),
            **_ENTRA,
        },
    ),
    Row(
        name="azure-anthropic",
        base_url="https://{resource}.services.ai.azure.com/anthropic",
        key_env=("ANTHROPIC_FOUNDRY_API_KEY",),
        paths=ANTHROPIC_PATHS,
        models_path="/v1/models",
        key_headers=dict.fromkeys((*ANTHROPIC_PATHS, ""), "x-api-key"),
        headers={dialect: {"anthropic-version": "2023-06-01"} for dialect in (*ANTHROPIC_PATHS, "")},
        settings={"base_url": ("ANTHROPIC_FOUNDRY_BASE_URL",), "resource": ("ANTHROPIC_FOUNDRY_RESOURCE",), **_ENTRA},
    ),
    Row(
        name="bedrock",
        base_url="https://bedrock-runtime.{region}.amazonaws.com",
        key_env=("AWS_BEARER_TOKEN_BEDROCK",),
        paths={
            "bedrock.converse": "/model/{model}/converse",
            "anthropic.messages": "/model/{model}/invoke",
            "bedrock.count": "/model/{model}/count-tokens",
        },
        settings={
            "region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
            "profile": ("AWS_PROFILE",),
            "access_key_id": ("AWS_ACCESS_KEY_ID",),
            "secret_access_key": ("AWS_SECRET_ACCESS_KEY",),
            "session_token": ("AWS_SESSION_TOKEN",),
            "api": (),
        },
    ),
    Row(
        name="vertex",
        base_url="https://{location}-aiplatform.googleapis.com/{api_version}/projects/{project}/locations/{location}",
        paths={
            **dict.fromkeys(GOOGLES, "/publishers/google/models/{model}:{action}"),
            "anthropic.messages": "/publishers/anthropic/models/{model}:{action}",
            "anthropic.count": "/publishers/anthropic/models/count-tokens:rawPredict",
            "openai.chat": "/endpoints/openapi/chat/completions",
        },
        settings={
            "project": ("GOOGLE_CLOUD_PROJECT", "ANTHROPIC_VERTEX_PROJECT_ID"),
            "location": ("GOOGLE_CLOUD_LOCATION", "CLOUD_ML_REGION"),
            "api_version": (),
            "credentials_file": (),
        },
    ),
)

ROWS: Mapping[str, Row] = MappingProxyType({row.name: row for row in _ROWS})


def key_env() -> Mapping[str, tuple[str, ...]]:
    """The variables that may hold each provider's key, by its name; providers without one are left out."""
    return {row.name: row.key_env for row in _ROWS if row.key_env}


def setting_env() -> Mapping[str, Mapping[str, tuple[str, ...]]]:
    """The variables that may hold each provider's settings, by its name and theirs."""
    found = {row.name: {name: names for name, names in row.settings.items() if names} for row in _ROWS}
    return {name: settings for name, settings in found.items() if settings}


def by_prefix(model: str) -> Row | None:
    """The provider whose own models are named like this; the longest prefix decides."""
    found: Row | None = None
    length = 0
    for row in _ROWS:
        for prefix in row.prefixes:
            if len(prefix) > length and model.startswith(prefix):
                found, length = row, len(prefix)
    return found


def _host_of(row: Row) -> str:
    return row.base_url.split("/")[2]


_HOSTS: Mapping[str, str] = {
    # Several rows may share a host: the first is its name.
    **{_host_of(row): row.name for row in reversed(_ROWS) if not row.key_optional},
    **{host: row.name for row in _ROWS for host in row.hosts if not host.startswith(".")},
}
_DOMAINS: tuple[tuple[str, str], ...] = (
    *((host, row.name) for row in _ROWS for host in row.hosts if host.startswith(".")),
    (".openai.azure.com", "azure"),
    (".services.ai.azure.com", "azure"),
    (".aiplatform.googleapis.com", "vertex"),
    ("-aiplatform.googleapis.com", "vertex"),
    ("aiplatform.googleapis.com", "vertex"),
)


def by_host(host: str) -> str:
    """A name for the place a caller addressed: the provider's whose host it is, else the host as given."""
    name = host.lower().removesuffix(":443").rstrip(".")
    if name in _HOSTS:
        return _HOSTS[name]
    if name.startswith(("bedrock-runtime.", "bedrock-runtime-fips.", "bedrock-mantle.")):
        return "bedrock"
    return next((provider for domain, provider in _DOMAINS if name.endswith(domain)), host)
