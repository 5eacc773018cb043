"""Google's access tokens for Vertex AI, by google-auth."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC
from importlib.util import find_spec
from pathlib import Path as File
from typing import Any, Final

from ..config import ResolvedProvider
from ..errors import CallError, ConfigError, NetworkFailed, Unauthorized
from ..providers.base import Credential, Wire
from ..runtime import Runtime
from .credentials import Bearer, Fresh, Renewed

SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
WHAT: Final = "a Google access token"
PAYER: Final = "x-goog-user-project"
"""The project that pays, where the credentials name one."""

_FIX: Final = (
    "sign in with `gcloud auth application-default login`, or set credentials_file or GOOGLE_APPLICATION_CREDENTIALS"
)
_WORD: Final = re.compile(r"\b(invalid_grant|invalid_client|invalid_scope|unauthorized_client|access_denied)\b")


def google(name: str, found: ResolvedProvider) -> Credential:
    """Tokens of the configured file, or of Application Default Credentials. Raises ConfigError without the library."""
    if find_spec("google") is None or find_spec("google.auth") is None or find_spec("requests") is None:
        raise ConfigError(f"providers.{name}: Vertex AI needs google-auth; pip install 'llm_edge[gcp]'")
    file = found.settings.credentials_file
    return GoogleBearer(lambda: _credentials(file))


class GoogleBearer:
    """Shows a token of credentials of google-auth's, which are made when the first one is asked for."""

    def __init__(self, credentials: Callable[[], Any]) -> None:
        self._make = credentials
        self._credentials: Any = None
        self._bearer = Bearer(Renewed(self._fetch, what=WHAT))

    async def show(self, wire: Wire, runtime: Runtime, seconds: float | None, /) -> Wire:
        """The request with the token. Raises Unauthorized or NetworkFailed."""
        shown = await self._bearer.show(wire, runtime, seconds)
        payer = getattr(self._credentials, "quota_project_id", None)
        if not payer or PAYER in shown.headers:
            return shown
        return replace(shown, headers=shown.headers.having({PAYER: str(payer)}))

    def refused(self, wire: Wire, /) -> bool:
        """Whether another token may be taken where this request's was not."""
        return self._bearer.refused(wire)

    def _fetch(self) -> Fresh[str]:
        from google.auth.transport.requests import Request

        try:
            if self._credentials is None:
                self._credentials = self._make()
            self._credentials.refresh(Request())
        except Exception as error:
            raise _told(error) from None
        expiry = self._credentials.expiry  # in UTC, without saying so
        return Fresh(str(self._credentials.token), expiry and expiry.replace(tzinfo=UTC).timestamp())


def scoped(credentials: Any) -> Any:
    """The app's own credentials, for Vertex AI where they have to be asked for it."""
    from google.auth import credentials as known

    kind: Any = known  # it has no types
    return kind.with_scopes_if_required(credentials, [SCOPE])


def _credentials(file: File | None) -> Any:
    import google.auth
    from google.oauth2 import service_account

    # google-auth's functions have no types.
    auth: Any = google.auth
    accounts: Any = service_account.Credentials
    if file is None:
        return auth.default(scopes=[SCOPE])[0]
    held = json.loads(file.read_bytes())
    if held.get("type") == "service_account":
        return accounts.from_service_account_info(held, scopes=[SCOPE]).with_quota_project_from_environment()
    return auth.load_credentials_from_dict(held, scopes=[SCOPE])[0]


def _told(error: Exception) -> CallError:
    """What went wrong, in words of our own: the library's may quote what was sent."""
    from google.auth import exceptions

    if isinstance(error, exceptions.TransportError) or getattr(error, "retryable", False):
        return NetworkFailed("Google could not be asked for a token; look at the network", kind="ConnectError")
    if isinstance(error, exceptions.RefreshError):
        word = _WORD.search(str(error))
        return Unauthorized(f"Google gave no token{f' ({word[0]})' if word else ''}; {_FIX}")
    if isinstance(error, exceptions.DefaultCredentialsError):
        return Unauthorized(f"there are no Google credentials that can be used; {_FIX}")
    return Unauthorized(f"google-auth could not get a token ({type(error).__name__}); {_FIX}")
