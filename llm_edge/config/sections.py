"""The sections of a configuration, as frozen models.

Every field says what it is for: the words are printed in `docs/edge.example.toml`. Sections hold no behaviour of the
chain and read nothing from outside.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from . import values
from .values import refuse


class Section(BaseModel):
    """What all sections share: they cannot change, and know every setting they may hold."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", hide_input_in_errors=True, allow_inf_nan=False,
        defer_build=True,  # what checks a section takes megabytes: made when there is something to check
    )  # fmt: skip

    @classmethod
    def unset(cls) -> Self:
        """With nothing set: the defaults, which need no check."""
        return cls.model_construct()


class ProviderConfig(Section):
    """One place to send calls to; its name is the part of a target before the slash."""

    kind: values.Name | None = Field(
        default=None,
        description="Which provider this is, or whose protocol it speaks. Default: its own name.",
        examples=["openai"],
    )
    api_key: Annotated[tuple[values.Key, ...], BeforeValidator(values.keys)] = Field(
        default=(),
        description='The key, as "env:NAME", "file:PATH" or the key itself; or a list of keys to rotate over.'
        " Default: the variable that the provider's own SDK reads, unless base_url is set.",
        examples=["env:LOCAL_API_KEY"],
    )
    base_url: values.Address | None = Field(
        default=None,
        description="Where the API begins. Default: the provider's public address.",
        examples=["http://127.0.0.1:11434/v1"],
    )
    headers: Mapping[values.HeaderName, values.HeaderValue] = Field(
        default_factory=dict,
        description="Headers sent with every call; values may be references, and are treated as secrets.",
        examples=[{"x-team": "search"}],
    )

    heed_limits: bool = Field(
        default=True,
        description="Whether what it says about its limits counts: it is left alone while it has no room.",
    )
    idempotency_header: values.HeaderName | None = Field(
        default=None,
        description="A header of this provider's that makes a repeated call count once: all attempts of a call send one"
        " and the same random value.",
        examples=["idempotency-key"],
    )
    resource: values.Label | None = Field(
        default=None,
        description='For kind = "azure" and "azure-anthropic": the resource, as in https://RESOURCE.openai.azure.com;'
        " in place of base_url. Default: AZURE_OPENAI_ENDPOINT, or ANTHROPIC_FOUNDRY_RESOURCE.",
        examples=["my-resource"],
    )
    api_version: values.ApiVersion | None = Field(
        default=None,
        description='For kind = "azure": a dated version, as 2024-10-21, to speak to deployments by path.'
        " Default: OPENAI_API_VERSION, else the v1 API, which needs none."
        ' For kind = "vertex": v1 or v1beta1 (default).',
        examples=["2024-10-21"],
    )
    tenant_id: values.Label | None = Field(
        default=None,
        description="For Azure without an api_key: the tenant of a service principal that gets Entra tokens, with"
        " client_id and client_secret. Default: what azure-identity finds (az login, a managed identity, AZURE_…).",
        examples=["00000000-0000-0000-0000-000000000000"],
    )
    client_id: values.Label | None = Field(
        default=None,
        description="The service principal; alone: a managed identity of this machine that the user assigned.",
        examples=["00000000-0000-0000-0000-000000000000"],
    )
    client_secret: values.Key | None = Field(
        default=None, description="Goes with tenant_id and client_id.", examples=["env:TEAM_AZURE_SECRET"]
    )
    project: values.Label | None = Field(
        default=None,
        description='For kind = "vertex": the project. Default: GOOGLE_CLOUD_PROJECT or ANTHROPIC_VERTEX_PROJECT_ID.',
        examples=["my-project"],
    )
    location: values.Label | None = Field(
        default=None,
        description='For kind = "vertex": the region, or us, eu or global.'
        " Default: GOOGLE_CLOUD_LOCATION or CLOUD_ML_REGION, else global.",
        examples=["europe-west4"],
    )
    credentials_file: values.FilePath | None = Field(
        default=None,
        description='For kind = "vertex": the credentials of a service account or a workload, as JSON.'
        " Default: Application Default Credentials, as google-auth finds them.",
        examples=["/etc/secrets/vertex.json"],
    )

    region: values.Region | None = Field(
        default=None,
        description='For kind = "bedrock": the region. Default: AWS_REGION, AWS_DEFAULT_REGION, or the profile\'s.',
        examples=["us-east-1"],
    )
    profile: str | None = Field(
        default=None,
        min_length=1,
        description='For kind = "bedrock": the profile in AWS\'s own files whose credentials sign the calls.',
        examples=["research"],
    )
    access_key_id: values.Key | None = Field(
        default=None,
        description='For kind = "bedrock": keys of its own, as "env:NAME", "file:PATH" or themselves.'
        " Default: an api_key or AWS_BEARER_TOKEN_BEDROCK, else AWS_ACCESS_KEY_ID and its kin, else botocore's chain.",
        examples=["env:TEAM_AWS_KEY_ID"],
    )
    secret_access_key: values.Key | None = Field(
        default=None, description="Goes with access_key_id.", examples=["env:TEAM_AWS_SECRET"]
    )
    session_token: values.Key | None = Field(
        default=None, description="Goes with access_key_id, for a role.", examples=["env:TEAM_AWS_TOKEN"]
    )
    api: Literal["converse", "invoke", "openai", "mantle"] | None = Field(
        default=None,
        description='For kind = "bedrock": which of its APIs is asked. "converse" (default) for every model, and Claude'
        ' in its own words for callers who speak them; "invoke": Claude and Llama in their own words; "openai" and'
        ' "mantle": the APIs of OpenAI\'s shape.',
        examples=["invoke"],
    )

    @model_validator(mode="after")
    def _principal_whole(self) -> Self:
        if self.client_secret and not (self.tenant_id and self.client_id):
            missing = "client_id" if self.tenant_id else "tenant_id"
            raise refuse("is missing", f"Set {missing}, which goes with client_secret.", field=missing)
        if self.tenant_id and not self.client_secret:
            raise refuse("is missing", "Set client_secret, or leave tenant_id out.", field="client_secret")
        return self

    @model_validator(mode="after")
    def _headers_once(self) -> Self:
        if len({header.lower() for header in self.headers}) < len(self.headers):
            raise refuse("holds one header twice", "Capitals make no difference: keep one of them.", field="headers")
        return self


class DeadlineConfig(Section):
    """How long a call may take, in seconds, with everything inside: queue, cache, retries and the next targets."""

    total: values.Seconds | None = Field(
        default=None, description="One time for every operation, in place of the three below.", examples=[20.0]
    )
    chat: values.Seconds = Field(default=30.0, description="A whole answer in one piece.")
    stream: values.Seconds = Field(default=120.0, description="A streamed answer, to its end.")
    embeddings: values.Seconds = Field(default=5.0, description="Embeddings.")
    first_token: values.Seconds = Field(default=30.0, description="Until the first event of a stream.")
    idle: values.Seconds = Field(default=30.0, description="Between two events of a stream; comments do not count.")
    attempt: values.Seconds | None = Field(
        default=None,
        description="One attempt, to its end or to the first event of its stream; then it is tried again, or elsewhere."
        " Default: as long as the call.",
        examples=[10.0],
    )
    untouched: values.Seconds = Field(
        default=600.0,
        description="Without a byte in what passes untouched (files, audio, batches), where the app sets no timeout.",
    )


class CacheDiskConfig(Section):
    """Answers kept in a directory, for longer, and for all processes of one user on this machine."""

    directory: values.FilePath | None = Field(
        default=None,
        description="Where; nobody else may write there. Without it nothing is kept on disk.",
        examples=["~/.cache/llm-edge"],
    )
    ttl: values.Seconds = Field(default=3600.0, description="How long an answer is kept there, in seconds.")
    bytes: values.Size = Field(default=2**30, description="How large it may grow; the oldest answers make room.")


class CacheRedisConfig(Section):
    """Answers kept in a Redis or Valkey, for all processes that share it. They are signed with `cache.secret`."""

    url: values.RedisAddress | None = Field(
        default=None,
        description="Where: redis://host:6379/0, rediss:// with TLS, unix:///path, redis+sentinel://host,host/service"
        " or redis+cluster://host,host; may be a reference, and is treated as a secret. Without it there is none.",
        examples=["redis://127.0.0.1:6379/0"],
    )
    ttl: values.Seconds = Field(default=3600.0, description="How long an answer is kept there, in seconds.")
    prefix: values.RedisPrefix = Field(default="llm-edge:cache:", description="What the names of its keys begin with.")
    ca_file: values.FilePath | None = Field(
        default=None,
        description="Certificates to trust besides the system's, as PEM; for an address with TLS.",
        examples=["/etc/ssl/own-ca.pem"],
    )


class CacheSemanticConfig(Section):
    """The answer to a question that means the same as one asked before; off until a model for it is named."""

    model: str | None = Field(
        default=None,
        min_length=1,
        max_length=256,
        description="Who turns questions into vectors, as provider/model or a route; needs the extra `semantic`.",
        examples=["openai/text-embedding-3-small"],
    )
    threshold: values.Share = Field(
        default=0.95, description="How alike two questions must be: the cosine of their vectors, 1 for the same."
    )
    entries: values.Count = Field(default=1000, description="How many questions are remembered at most.")


class CacheConfig(Section):
    """Answers that are kept, so that the same question is asked once."""

    policy: Literal["all", "deterministic", "off"] = Field(
        default="all",
        description='What is kept: "all" that may be; "deterministic": temperature 0, a seed, or embeddings; "off".',
    )
    ttl: values.Seconds = Field(default=300.0, description="How long an answer is kept, in seconds.")
    entries: values.CountOrNone = Field(default=1000, description="How many answers at most; 0 keeps none.")
    bytes: values.SizeOrNone = Field(default=64 * 2**20, description="How much memory at most; 0 keeps none.")
    idle: values.Seconds | None = Field(
        default=None,
        description="How long an answer stays in memory without being asked for, in seconds. Default: as long as ttl.",
        examples=[60.0],
    )
    stale_while_revalidate: values.SecondsOrNone = Field(
        default=0.0,
        description="How long after its end an answer is still given while it is asked for again in the background.",
    )
    stale_if_error: values.SecondsOrNone = Field(
        default=0.0,
        description="How long after its end an answer is still given when nobody else answers; never after a refusal.",
    )
    early_refresh: bool = Field(
        default=True,
        description="Whether an answer is now and then asked for again in the background shortly before its end, so"
        " that nobody has to wait for it; the sooner, the longer the provider took.",
    )
    coalesce: bool = Field(
        default=True, description="Whether identical calls at the same time share one call to the provider."
    )
    lease: values.SecondsOrNone = Field(
        default=30.0,
        description="How long other processes wait for an answer that one of them is asking for, where they share a"
        " second tier; 0 lets each ask for itself.",
    )
    replay_pace: values.SecondsOrNone = Field(
        default=0.0, description="The pause between two events of a kept stream, in seconds; 0 gives it at once."
    )
    secret: values.Secret | None = Field(
        default=None,
        description='What answers in a shared store are signed with, as "env:NAME", "file:PATH" or the text itself;'
        " the same for all that share it. A directory makes its own where none is set; a Redis must have one.",
        examples=["env:LLM_EDGE_CACHE_SECRET"],
    )
    disk: CacheDiskConfig = Field(
        default_factory=CacheDiskConfig.unset, description="Answers kept in a directory, too."
    )
    redis: CacheRedisConfig = Field(
        default_factory=CacheRedisConfig.unset,
        description="Answers kept in a Redis or Valkey, too; in place of a directory.",
    )
    semantic: CacheSemanticConfig = Field(
        default_factory=CacheSemanticConfig.unset, description="Answers to questions that mean the same."
    )

    @model_validator(mode="after")
    def _one_second_tier(self) -> Self:
        if self.disk.directory and self.redis.url:
            raise refuse("stands beside cache.disk.directory", "Keep one of the two.", field="redis")
        if self.redis.url and not self.secret:
            raise refuse(
                "is missing, and others may write to a Redis",
                'Under [cache] add the line secret = "env:LLM_EDGE_CACHE_SECRET", and set that variable to a random'
                " text.",
                field="secret",
            )
        return self


class HttpConfig(Section):
    """How calls travel to the providers. Certificates are always verified."""

    engine: Literal["auto", "httpx2", "httptools", "pyreqwest"] = Field(
        default="auto",
        description='Which HTTP library: "auto" takes httptools where it is installed, else httpx2. Proxies and HTTP/2,'
        " which httptools has not, then go over httpx2.",
    )
    connect: values.Seconds = Field(default=5.0, description="How long a connection may take to open, in seconds.")
    pool: values.Count = Field(default=100, description="Connections at most.")
    proxy: values.ProxyAddress | None = Field(
        default=None,
        description="The proxy for all calls; may be a reference, and is treated as a secret."
        " Default: the environment's, where trust_env is true.",
        examples=["env:LLM_PROXY"],
    )
    trust_env: bool = Field(
        default=True,
        description="Whether HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY count where proxy is not set.",
    )
    ca_file: values.FilePath | None = Field(
        default=None,
        description="Certificates to trust besides the system's, as PEM.",
        examples=["/etc/ssl/own-ca.pem"],
    )
    cert_file: values.FilePath | None = Field(
        default=None, description="The client's certificate, as PEM.", examples=["/etc/ssl/client.pem"]
    )
    key_file: values.FilePath | None = Field(
        default=None, description="The key of cert_file, as PEM.", examples=["/etc/ssl/client.key"]
    )
    tls_minimum: values.TlsMinimum = Field(default="1.2", description='The oldest TLS that is spoken: "1.2" or "1.3".')
    http2: bool = Field(
        default=False,
        description="Whether HTTP/2 may be spoken. With httpx2 a cancelled call then goes on at the provider.",
    )
    max_body: values.Size = Field(
        default=64 * 2**20, description="The largest answer that is read, counted after inflating."
    )
    pictures: Literal["off", "public", "any"] = Field(
        default="public",
        description="Whether pictures that a call names by an address are fetched for providers that fetch none"
        ' (Bedrock, Claude on Vertex AI, Ollama): "public" from the public internet alone, "any" from this network'
        " too.",
    )

    @model_validator(mode="after")
    def _certificate_and_key(self) -> Self:
        if self.cert_file and not self.key_file:
            raise refuse(
                "is missing", "Set it to the key of cert_file (the same file, if it holds both).", field="key_file"
            )
        if self.key_file and not self.cert_file:
            raise refuse("is missing", "Set it to the certificate that goes with key_file.", field="cert_file")
        return self
