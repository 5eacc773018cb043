"""Takes secrets out of what a cassette keeps. What it is not sure about, it takes out."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, quote, urlencode, urlsplit, urlunsplit

from .call import Headers, is_secret

GONE = "***"

KEPT_REQUEST_HEADERS = frozenset({"accept", "content-type", "anthropic-version", "anthropic-beta", "openai-beta"})
KEPT_RESPONSE_HEADERS = frozenset(
    {"content-type", "retry-after", "retry-after-ms", "x-should-retry", "request-id", "x-request-id"}
    | {"openai-processing-ms", "openai-version", "location"}
)
KEPT_RESPONSE_PREFIXES = ("x-ratelimit-", "anthropic-ratelimit-")

SECRET_FIELDS = frozenset(
    {"api_key", "apikey", "api-key", "access_token", "refresh_token", "id_token", "auth_token", "authorization"}
    | {"client_secret", "password", "passwd", "private_key", "aws_secret_access_key", "x-amz-security-token"}
)
"""Fields of a body. Not `key`, `token` or `signature`: those are also words of the dialects themselves."""

SECRET_PARAMETERS = (
    SECRET_FIELDS
    | {"key", "token", "secret", "auth", "sig", "signature", "credential"}
    | {"x-amz-signature", "x-amz-credential", "x-goog-signature", "x-goog-credential"}
)

_LOOKS_SECRET = re.compile(
    r"""
      \b(?:sk|pk|rk)-[A-Za-z0-9_-]{8,}                          # OpenAI, Anthropic, OpenRouter, DeepSeek, Stripe
    | \b(?:gsk|xai|hf|r8|fw|nvapi|pplx|tgp|github_pat|gh[pousr]|glpat|npm|pypi)[_-][A-Za-z0-9_-]{12,}
    | \bAIza[A-Za-z0-9_-]{30,}                                  # Google
    | \bya29\.[A-Za-z0-9_.-]{10,}
    | \b(?:AKIA|ASIA)[A-Z0-9]{16}\b                             # AWS
    | \bxox[abprs]-[A-Za-z0-9-]{10,}                            # Slack
    | \beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]+ # JWT
    | -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]*PRIVATE[ ]KEY-----|\Z)
    | (?i:\b(?:bearer|basic)[ ]+)[A-Za-z0-9._~+/=-]{8,}
    """,
    re.VERBOSE | re.DOTALL,
)

# A field of that name in JSON, also in JSON quoted once more inside a string.
_FIELDS = "|".join(map(re.escape, sorted(SECRET_FIELDS)))
_SECRET_IN_JSON = re.compile(rf'(\\?"(?:{_FIELDS})\\?"\s*:\s*\\?")((?:[^"\\]|\\[^"])+)', re.IGNORECASE)


class Scrubber:
    """Knows the secrets of one request and takes them, and all that looks like one, out of text."""

    def __init__(self, headers: Headers, url: str) -> None:
        found: set[str] = set()
        for name in filter(is_secret, headers):
            found |= _parts(headers[name])
        parts = urlsplit(url)
        found |= {value for name, value in parse_qsl(parts.query) if name.lower() in SECRET_PARAMETERS}
        found |= {parts.username or "", parts.password or ""}
        found |= {other for secret in found for other in (quote(secret, safe=""), secret.replace("/", r"\/"))}
        # Short words like "Bearer" or "x" would only tear holes into harmless text.
        self._known = sorted((secret for secret in found if len(secret) >= 8), key=len, reverse=True)

    def text(self, text: str) -> str:
        """The text without secrets."""
        for secret in self._known:
            text = text.replace(secret, GONE)
        return _LOOKS_SECRET.sub(GONE, _SECRET_IN_JSON.sub(rf"\1{GONE}", text))

    def binary(self, data: bytes) -> bytes:
        """The same for bytes that are no text: what stands in them, stands there in ASCII."""
        return self.text(data.decode("latin-1")).encode("latin-1")

    def url(self, url: str) -> str:
        """The address without user, password and secret parameters."""
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True)
        query = urlencode(
            [(name, GONE if name.lower() in SECRET_PARAMETERS else value) for name, value in pairs], safe="*"
        )
        return self.text(urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, query, "")))

    def request_headers(self, headers: Headers) -> dict[str, str]:
        """Only what tells requests apart."""
        return {name: self.text(headers[name]) for name in headers if name in KEPT_REQUEST_HEADERS}

    def response_headers(self, pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
        """Only what an SDK or a layer reads."""
        return {
            name: self.text(value)
            for name, value in Headers(pairs).items()
            if name in KEPT_RESPONSE_HEADERS or name.startswith(KEPT_RESPONSE_PREFIXES)
        }


def _parts(value: str) -> set[str]:
    """A credential, and what it may be known by elsewhere: without its scheme or its cookie's name, and unpacked."""
    parts = {value, *(word.rstrip(";,") for word in value.split())}
    parts |= {part.partition("=")[2] for part in parts}
    scheme, _, packed = value.partition(" ")
    if scheme.lower() == "basic":
        try:
            parts |= set(base64.b64decode(packed, validate=True).decode().partition(":"))
        except ValueError:
            pass  # it is no user with a password
    return parts
