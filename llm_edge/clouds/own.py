"""
Credentials that the app brings itself: `EdgeClient(credentials={"azure": DefaultAzureCredential()})`.

What the clouds' own SDKs take is taken here, told apart by what it can do: a function that gives a token, a credential
of azure-identity's, of google-auth's or of botocore's, a session of boto3's. Each is asked on a thread of its own,
before the last answer runs out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import iscoroutinefunction
from typing import Any, Final
from urllib.parse import urlsplit

from ..config import ResolvedProvider
from ..errors import ConfigError, NetworkFailed, Unauthorized
from ..providers.base import Credential
from .aws import signing
from .aws_keys import by_chain
from .credentials import Bearer, Fresh, Renewed
from .entra import scope_of, tokens
from .google import GoogleBearer, scoped

LASTS: Final = 3600.0
"""Seconds a token that does not say when it ends is used, where no newer one can be had."""
_AFTER: Final = 60.0
"""Seconds after which such a one is asked for again, in the background."""


@dataclass(frozen=True, slots=True)
class Place:
    """Whom a credential is for."""

    name: str
    kind: str
    found: ResolvedProvider
    base_url: str


def own(place: Place, given: object) -> Credential:
    """What shows the provider who calls. Raises ConfigError for what is no credential, or none for this provider."""
    asked = next((each for each in _ASKED if callable(getattr(given, each, None))), "")
    _refuse_for_loops(place.name, getattr(given, asked) if asked else given)
    if asked:
        return _ASKED[asked](place, given)
    if not callable(given):
        raise ConfigError(
            f"credentials[{place.name!r}] is no credential; give a function that returns a token, or a credential of"
            " azure-identity, google-auth or botocore (a fixed key is the provider's api_key)"
        )
    return _function(place.name, given)


def _refuse_for_loops(name: str, act: Any) -> None:
    if iscoroutinefunction(act) or iscoroutinefunction(type(act).__call__):
        raise ConfigError(
            f"credentials[{name!r}] is for event loops only; give its blocking twin: it is asked on a thread of its own"
        )


def _entra(place: Place, given: Any) -> Credential:
    host = urlsplit(place.base_url).hostname or ""
    if not place.kind.startswith("azure") and ".azure." not in host:
        raise ConfigError(
            f"credentials[{place.name!r}] is Entra's, which needs a scope; give a function:"
            " azure.identity.get_bearer_token_provider(credential, scope)"
        )
    return Bearer(tokens(lambda: given, scope_of(place.base_url)))


def _google(place: Place, given: Any) -> Credential:
    return GoogleBearer(lambda: scoped(given))


def _session(place: Place, given: Any) -> Credential:
    return _signed(place, given.get_credentials)


def _access(place: Place, given: Any) -> Credential:
    return _signed(place, lambda: given)


def _signed(place: Place, find: Callable[[], Any]) -> Credential:
    if place.kind != "bedrock":
        raise ConfigError(
            f"credentials[{place.name!r}] is AWS's, and {place.name} is no provider of the kind 'bedrock'"
        )
    return signing(place.name, place.found, by_chain(find))


_ASKED: Final[Mapping[str, Callable[[Place, Any], Credential]]] = {
    "get_token": _entra,
    "get_credentials": _session,
    "get_frozen_credentials": _access,
    "refresh": _google,
}
"""What is made of a credential, by what it can be asked."""


def _function(name: str, give: Callable[[], Any]) -> Credential:
    what = f"a token for {name}"

    def fetch() -> Fresh[str]:
        try:
            given = give()
        except OSError as error:
            raise NetworkFailed(f"{what} could not be had ({type(error).__name__})", kind="ConnectError") from None
        token, ends = getattr(given, "token", given), getattr(given, "expires_on", None)
        if not isinstance(token, str) or not token or not token.isprintable() or not token.isascii():
            raise Unauthorized(f"credentials[{name!r}] gave no token, but {_shape(token)}; return the text of one")
        return Fresh(token, None if ends is None else float(ends))

    return Bearer(Renewed(fetch, what=what, lasts=LASTS, again=_AFTER))


def _shape(token: object) -> str:
    """What came in place of a token, without showing it."""
    if not isinstance(token, str):
        return f"a {type(token).__name__}"
    return "an empty text" if not token else "a text that cannot stand in a header"
