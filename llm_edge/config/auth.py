"""The sections on who may come in: API keys, tokens, and pages of other origins."""

from __future__ import annotations

import re
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, model_validator

from . import values
from .sections import Section
from .values import refuse

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_ORIGIN = re.compile(r"https?://[A-Za-z0-9.-]{1,253}(:[0-9]{1,5})?")
SHORTEST_KEY, SHORTEST_HMAC = 16, 32


def _commas(value: object) -> object:
    """`"one,two"`, as a variable says it, is a list of two."""
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return values.one_or_many(value)


def wrong_in_caller_key(text: str) -> str:
    """What is wrong with a caller's key; empty when nothing is."""
    if text.startswith("sha256:") and not _DIGEST.fullmatch(text):
        return "is not a digest: after sha256: come 64 hexadecimal digits"
    if what := values.wrong_in_key(text):
        return what
    return f"is shorter than {SHORTEST_KEY} characters" if len(text) < SHORTEST_KEY else ""


def wrong_in_jwt_secret(text: str) -> str:
    """What is wrong with a secret that tokens are signed with; empty when nothing is."""
    if not text:
        return "is empty"
    return f"is shorter than {SHORTEST_HMAC} bytes" if len(text.encode()) < SHORTEST_HMAC else ""


def _checked_key(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if values.reference(text) is None and (what := wrong_in_caller_key(text)):
        raise refuse(what, "Write a random text, as `openssl rand -hex 32` prints one, or its sha256: digest.")
    return secret


def _checked_jwt_secret(secret: SecretStr) -> SecretStr:
    text = secret.get_secret_value()
    if values.reference(text) is None and (what := wrong_in_jwt_secret(text)):
        raise refuse(what, "Use a random text, as `openssl rand -hex 32` prints one.")
    return secret


def _origin(value: str) -> str:
    if not _ORIGIN.fullmatch(value):
        raise refuse("is not an origin", 'Write scheme and host, as in "https://app.example.com".')
    return value


CallerKey = Annotated[SecretStr, AfterValidator(_checked_key)]
JwtSecret = Annotated[SecretStr, AfterValidator(_checked_jwt_secret)]
Origin = Annotated[str, AfterValidator(_origin)]


class ServeJwtConfig(Section):
    """Tokens of an issuer; one of `secret`, `public_key_file` and `jwks_url` says how they are checked."""

    issuer: str | None = Field(
        default=None, description="Who makes the tokens: their `iss`.", examples=["https://login.example.com"]
    )
    audience: str | None = Field(
        default=None, description="Whom they are made for: their `aud`.", examples=["llm-edge"]
    )
    secret: JwtSecret | None = Field(
        default=None,
        description="What they are signed with (HS256), of 32 bytes at least; may be a reference.",
        examples=["env:JWT_SECRET"],
    )
    public_key_file: values.FilePath | None = Field(
        default=None,
        description="The key they are checked with, as PEM: RSA of 2048 bits at least, EC or Ed25519.",
        examples=["/etc/ssl/issuer.pem"],
    )
    jwks_url: values.Address | None = Field(
        default=None,
        description="Where the issuer keeps its keys. Default: what the issuer's OIDC discovery says, where neither"
        " `secret` nor `public_key_file` is set.",
        examples=["https://login.example.com/jwks.json"],
    )
    leeway: Annotated[float, Field(ge=0, le=60)] = Field(
        default=30.0, description="Seconds by which clocks may differ, 60 at most."
    )

    @model_validator(mode="after")
    def _whole(self) -> Self:
        ways = [name for name in ("secret", "public_key_file", "jwks_url") if getattr(self, name)]
        if len(ways) > 1:
            raise refuse(
                f"stands beside {ways[0]}", "Keep one of them: a key of one kind only is believed.", field=ways[1]
            )
        if (ways or self.issuer or self.audience) and not self.issuer:
            raise refuse("is missing", "Set it to the `iss` of the tokens.", field="issuer")
        if self.issuer and not self.audience:
            raise refuse("is missing", "Set it to the `aud` of the tokens.", field="audience")
        return self


class ServeAuthConfig(Section):
    """Who is let in."""

    enabled: bool | None = Field(
        default=None,
        description="Whether callers must show a key or a token. Default: when keys, a database or an issuer are set."
        " On an address that others reach it must be on, or `false` in so many words.",
        examples=[True],
    )
    keys: Annotated[tuple[CallerKey, ...], BeforeValidator(_commas)] = Field(
        default=(),
        description='Keys that may ask models: texts of 16 characters at least, references, or "sha256:" digests.',
        examples=[("env:EDGE_KEY", "sha256:" + "0" * 64)],
    )
    database: values.FilePath | None = Field(
        default=None,
        description="Where the keys stand that `llm-edge keys` makes, and the trail of changes: an SQLite file that"
        " nobody else may read.",
        examples=["~/.local/share/llm-edge/keys.db"],
    )
    redis: values.RedisAddress | None = Field(
        default=None,
        description="A Redis or Valkey that keeps them in place of `database`, for several machines; may be a"
        " reference, and is treated as a secret.",
        examples=["redis://127.0.0.1:6379/0"],
    )
    redis_prefix: values.StorePrefix = Field(
        default="llm-edge:keys", description="What the names of its keys begin with, in braces: they are of one slot."
    )
    redis_ca_file: values.FilePath | None = Field(
        default=None,
        description="Certificates to trust besides the system's, as PEM; for an address with TLS.",
        examples=["/etc/ssl/own-ca.pem"],
    )
    pepper: JwtSecret | None = Field(
        default=None,
        description="What the keys in `redis` are digested with, of 32 bytes at least; may be a reference. The same on"
        " all machines, and kept with backups: without it no key opens.",
        examples=["env:EDGE_PEPPER"],
    )
    health: bool = Field(
        default=False, description="Whether /health needs a key too; without one it then says nothing of the parts."
    )
    metrics: bool = Field(default=True, description="Whether /metrics needs a key too, with that permission.")
    jwt: ServeJwtConfig = Field(default_factory=ServeJwtConfig.unset, description="Tokens, besides keys.")

    @property
    def on(self) -> bool:
        """Whether callers must show who they are."""
        if self.enabled is not None:
            return self.enabled
        return bool(self.keys or self.database or self.redis or self.jwt.issuer)

    @model_validator(mode="after")
    def _somebody_may(self) -> Self:
        if self.enabled and not (self.keys or self.database or self.redis or self.jwt.issuer):
            raise refuse("lets nobody in", "Set keys, database, redis or jwt.issuer.", field="enabled")
        if self.redis and self.database:
            raise refuse("stands beside database", "Keep one of the two.", field="redis")
        if self.redis and not self.pepper:
            raise refuse("is missing", "Set it to a random text, as `openssl rand -hex 32` prints one.", field="pepper")
        return self


class ServeCorsConfig(Section):
    """Pages in browsers that may ask."""

    origins: Annotated[tuple[Origin, ...], BeforeValidator(_commas)] = Field(
        default=(),
        description="Where they come from. Default: none; a key in a page is anybody's key.",
        examples=[("https://app.example.com",)],
    )
