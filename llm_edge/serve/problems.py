"""
What the sidecar refuses before the chain is asked, and how every refusal looks.

A refusal is told in the dialect of the path that was called; paths of no dialect get OpenAI's shape. The words name
what is wrong and never repeat what came.
"""

from __future__ import annotations

import math

from ..errors import CallError, ConfigError, InvalidRequest, Rejected, Unauthorized
from ..message import Body
from ..providers.dialects import by_name
from .wire import RawPairs


class Refused(Rejected):
    """The sidecar does not take this request."""

    status = 400
    code = "invalid_request_error"


class Unauthenticated(Refused):
    """Nobody we know, or no credential at all."""

    status = 401
    code = "invalid_api_key"


class Forbidden(Refused):
    """Somebody we know, who may not do this."""

    status = 403
    code = "permission_denied"


class NoSuchPath(Refused):
    """Nothing is served under this path, or no such model."""

    status = 404
    code = "not_found"


class WrongMethod(Refused):
    """The path takes another method; `allowed` says which, as the `allow` header does."""

    status = 405
    code = "method_not_allowed"
    allowed = "POST"


class TooSlow(Refused):
    """The request did not arrive in time."""

    status = 408
    code = "request_timeout"


class TooLarge(Refused):
    """The request is larger than it may be."""

    status = 413
    code = "request_too_large"


class WrongKind(Refused):
    """The body is not of a kind that is taken here."""

    status = 415
    code = "unsupported_media_type"


class HeadersTooLarge(Refused):
    """The header fields are larger, or more, than they may be."""

    status = 431
    code = "headers_too_large"


class NoKeysNow(Refused):
    """The store of the keys cannot be asked, so nobody can be let in."""

    status = 503
    code = "keys_unavailable"


class Internal(Rejected):
    """Something of ours went wrong."""

    status = 500
    code = "internal_error"


class OurCredential(Rejected):
    """The provider refused the sidecar's own credential: nothing the caller can mend."""

    status = 502
    code = "provider_credential_refused"


def shown(error: Exception) -> CallError:
    """The failure as a caller may see it: no words of ours about the inside, nothing about the house's own keys."""
    if isinstance(error, Unauthorized):
        told: CallError = OurCredential("the provider refused the gateway's credential; ask whoever runs the gateway")
    elif isinstance(error, CallError):
        return error
    elif isinstance(error, ConfigError):
        told = Internal("the gateway is not configured for this model; ask whoever runs the gateway")
    else:
        told = Internal("something went wrong inside the gateway")
    return told


def refusal(error: CallError, dialect: str, request_id: str, guards: RawPairs) -> tuple[int, RawPairs, bytes]:
    """Status, header fields and body of a refusal that the chain has not seen."""
    spoken = by_name(dialect) or by_name("openai.chat")
    assert spoken is not None, "OpenAI's chat is always known"
    headers: RawPairs = [
        (b"content-type", b"application/json"),
        (b"x-llm-edge-request-id", request_id.encode()),
        (b"x-should-retry", b"false"),
        *guards,
    ]
    if isinstance(error, Unauthenticated):
        headers.append((b"www-authenticate", b"Bearer"))
    if isinstance(error, WrongMethod):
        headers.append((b"allow", error.allowed.encode()))
    if error.retry_after is not None:
        headers.append((b"retry-after", str(max(1, math.ceil(error.retry_after))).encode()))
    return error.status, headers, Body(json=spoken.refusal(error, request_id)).raw


def not_json(why: str) -> InvalidRequest:
    """A body that is no JSON object we take."""
    return InvalidRequest(f"the body {why}")
