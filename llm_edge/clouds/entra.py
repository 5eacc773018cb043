"""Entra's tokens for Azure, by azure-identity."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any, Final

from ..config import ResolvedProvider
from ..errors import CallError, ConfigError, NetworkFailed, Unauthorized
from ..providers.base import Credential
from .credentials import Bearer, Fresh, Renewed

WHAT: Final = "an Entra token"
_FIX: Final = (
    "set api_key; or sign in with `az login`, or give this machine a managed identity with the role"
    " Cognitive Services User, or set tenant_id, client_id and client_secret"
)
_CODE: Final = re.compile(r"AADSTS\d{4,9}")


def scope_of(base_url: str) -> str:
    """What a token for this address is asked for."""
    host = base_url.split("/")[2].partition(":")[0].lower()
    end = next((end for end in ("us", "cn") if host.endswith(f".azure.{end}")), "com")
    return f"https://cognitiveservices.azure.{end}/.default"


def entra(name: str, found: ResolvedProvider, base_url: str) -> Credential:
    """Tokens of the configured principal, or of whom azure-identity finds. Raises ConfigError without the library."""
    if find_spec("azure") is None or find_spec("azure.identity") is None:
        raise ConfigError(
            f"providers.{name} has no api_key, and Entra tokens need azure-identity; set api_key"
            " (with a base_url it is never read from a variable unasked), or pip install 'llm_edge[azure]'"
        )
    return Bearer(tokens(lambda: _identity(found), scope_of(base_url)))


def tokens(identity: Callable[[], Any], scope: str) -> Renewed[str]:
    """Tokens for a scope, of a credential of azure-identity's that is made when the first is asked for."""
    made: list[Any] = []

    def fetch() -> Fresh[str]:
        try:
            if not made:
                made.append(identity())
            token = made[0].get_token(scope)
        except Exception as error:
            raise _told(error) from None
        return Fresh(str(token.token), float(token.expires_on))

    return Renewed(fetch, what=WHAT)


def _identity(found: ResolvedProvider) -> Any:
    from azure.identity import ClientSecretCredential, DefaultAzureCredential

    given, secret = found.settings, found.client_secret
    if secret is not None:
        return ClientSecretCredential(str(given.tenant_id), str(given.client_id), secret.get_secret_value())
    return DefaultAzureCredential(**({"managed_identity_client_id": given.client_id} if given.client_id else {}))


def _told(error: Exception) -> CallError:
    """What went wrong, in words of our own: the library's are long, and may quote what was sent."""
    from azure.core.exceptions import ClientAuthenticationError, HttpResponseError

    for each in _behind(error):
        if why := _network(each):
            told = f"Entra could not be asked for a token ({why}); look at the network"
            return NetworkFailed(told, kind="ConnectError")
    if isinstance(error, ClientAuthenticationError | HttpResponseError):
        code = _CODE.search(str(error))
        return Unauthorized(f"Entra gave no token{f' ({code[0]})' if code else ''}; {_FIX}")
    return Unauthorized(f"azure-identity could not get a token ({type(error).__name__}); {_FIX}")


def _behind(error: BaseException | None) -> Iterator[BaseException]:
    """An error and those it came from: azure-identity makes all of them into one kind."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _network(error: BaseException) -> str:
    """What kept the question from being answered; empty when it was."""
    from azure.core.exceptions import HttpResponseError, ServiceRequestError, ServiceResponseError

    if isinstance(error, ServiceRequestError | ServiceResponseError):
        return type(error).__name__
    status = error.status_code if isinstance(error, HttpResponseError) else None
    return f"status {status}" if status is not None and (status == 429 or status >= 500) else ""
