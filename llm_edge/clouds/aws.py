"""A configured Bedrock: which address, which API, and what shows who calls."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Final

from ..config import ResolvedProvider
from ..errors import ConfigError
from ..providers.base import Credential, Family
from ..providers.bedrock_adapter import MANTLE, OPENAI, Bedrock, Native
from ..providers.keyless import KEY_HEADERS
from .aws_keys import Keys, Signing, Written, by_chain, region_of, session

_SUFFIXES: Final = (
    ("cn-", "amazonaws.com.cn"),
    ("eusc-", "amazonaws.eu"),
    ("us-iso-", "c2s.ic.gov"),
    ("us-isob-", "sc2s.sgov.gov"),
    ("us-isof-", "csp.hci.ic.gov"),
    ("eu-isoe-", "cloud.adc-e.uk"),
)


def bedrock(name: str, found: ResolvedProvider) -> tuple[Family, Callable[[], Credential] | None]:
    """One of Bedrock's APIs; its requests are signed where there is no bearer token. Raises ConfigError."""
    given = found.settings
    region = _region(name, found)
    headers = {field: value.get_secret_value() for field, value in found.headers.items()}
    mantle = given.api == "mantle"
    base = given.base_url or (
        f"https://bedrock-mantle.{region}.api.aws" if mantle else f"https://bedrock-runtime.{region}.{_suffix(region)}"
    )
    adapter: Family
    if given.api in ("openai", "mantle"):
        adapter = Native(row=MANTLE if mantle else OPENAI, name=name, base_url=base, headers=headers)
    else:
        adapter = Bedrock(name=name, base_url=base, headers=headers, invoke=given.api == "invoke")
    if found.keys or any(field.lower() in KEY_HEADERS for field in headers):
        return adapter, None
    return adapter, lambda: signing(name, found, _keys(name, found))


def signing(name: str, found: ResolvedProvider, keys: Keys) -> Signing:
    """Signs a provider's requests. Raises ConfigError where nobody says for which region."""
    service = "bedrock-mantle" if found.settings.api == "mantle" else "bedrock"
    return Signing(keys, region=_region(name, found), service=service)


def _region(name: str, found: ResolvedProvider) -> str:
    region = found.settings.region or region_of(found.settings.profile or "")
    if not region:
        raise ConfigError(f"providers.{name} has no region; set `region`, or the variable AWS_REGION, as in us-east-1")
    return region


def _keys(name: str, found: ResolvedProvider) -> Keys:
    if found.access is not None:
        return Written(found.access)
    if find_spec("botocore") is None:
        raise ConfigError(
            f"providers.{name}: without keys written down Bedrock needs botocore; pip install 'llm_edge[aws]',"
            " or set AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    profile = found.settings.profile or ""
    return by_chain(lambda: session(profile).get_credentials())


def _suffix(region: str) -> str:
    return next((suffix for start, suffix in _SUFFIXES if region.startswith(start)), "amazonaws.com")
