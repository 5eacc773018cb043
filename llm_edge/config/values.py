"""The small types that settings are made of: seconds, sizes, names, addresses, secrets.

Each refuses what can never work, in words a person can act on. No refusal repeats a value: it might be a secret in the
wrong place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Set
from datetime import date
from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import SplitResult, urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_core import PydanticCustomError

from ..errors import ConfigError
from ..policy.routing import STRATEGIES
from ..stores.places import place
from .trees import is_list, is_table

YEAR = 31_536_000.0
UNITS = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
NOT_OURS = frozenset({"connection", "content-length", "host", "transfer-encoding"})
"""Headers that belong to the connection; setting one breaks the framing of the request."""

SCOPES = ("global", "tenant", "key", "user", "route", "provider", "model")

_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,3})?) ?([A-Za-z]{1,3})?")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_TARGET = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}/[!-+\--~]{1,300}")
_ROUTE = re.compile(r"[!-~]{1,200}")
_HEADER = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_VISIBLE = re.compile(r"[!-~]+")
_PRINTABLE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[!-~]{1,2000}")
_PREFIX = re.compile(r"[!-~]{1,100}")
_LABEL = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.:_-]{0,98}[A-Za-z0-9])?")
_API_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,39}")
_REGION = re.compile(r"[a-z]{2,8}(?:-[a-z0-9]+)+-[0-9]{1,2}")
_FOREIGN_REFERENCE = re.compile(r"\$\{?[A-Z][A-Z0-9_]*\}?|os\.environ/\w+|env\.\w+")
_OPERATION = re.compile(r"(?:/chat/completions|/v1/(?:completions|embeddings|messages|models|responses))$")
_VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def refuse(what: str, fix: str, *, field: str = "") -> PydanticCustomError:
    """A refusal in plain words; `field` names the part of a section that is to blame."""
    return PydanticCustomError("edge", "{what}", {"what": what, "fix": fix, "field": field})


def not_a_switch(value: object) -> object:
    """Refuses true and false, which Python counts as 1 and 0."""
    if isinstance(value, bool):
        raise refuse("must be a number, not true or false", "Write a number.")
    return value


def size(value: object) -> object:
    """`"64MiB"`, `"1.5 GB"` or a plain number, as bytes."""
    if not isinstance(value, str):
        return not_a_switch(value)
    found = _SIZE.fullmatch(value.strip())
    factor = UNITS.get((found[2] or "B").upper()) if found else None
    if found is None or factor is None:
        raise refuse("is not a size", 'Write bytes as a number, or a text such as "64MiB", "500kB" or "1.5GiB".')
    return int(float(found[1]) * factor) if "." in found[1] else int(found[1]) * factor


def one_or_many(value: object) -> object:
    """One thing where a list may stand is a list of one."""
    return (value,) if isinstance(value, (str, SecretStr)) or is_table(value) else value


def keys(value: object) -> object:
    """One key is a list of one."""
    if value is None:
        raise refuse(
            "is None", 'Set the variable it was read from, or write "env:NAME", which says when NAME is missing.'
        )
    many = one_or_many(value)
    if not is_list(many):
        raise refuse("is not a key", 'Write "env:NAME", "file:PATH" or the key itself, or a list of such texts.')
    return many


def strategy(value: object) -> object:
    """The name of a routing strategy, or a function that is one."""
    if callable(value) or (isinstance(value, str) and value in STRATEGIES):
        return value
    known = ", ".join(STRATEGIES)
    raise refuse("is not a strategy", f"Use one of {known}; or pass a function by keyword.")


def version_text(value: object) -> object:
    """`tls_minimum = 1.2` without quotes is a number to TOML."""
    return str(value) if isinstance(value, float) else value


def date_text(value: object) -> object:
    """`api_version = 2024-10-21` without quotes is a date to TOML."""
    return value.isoformat() if type(value) is date else value


def name(value: str) -> str:
    """The name of a provider or a scope."""
    if not _NAME.fullmatch(value):
        raise refuse("is not a usable name", "Use letters, digits, dot, dash and underscore, up to 100 of them.")
    return value


def limit_scope(value: str) -> str:
    """What a limit is for: a scope, or one subject of it."""
    scope, colon, subject = value.partition(":")
    if scope not in SCOPES or (colon and scope == "global"):
        raise refuse(
            "is not a scope of limits",
            f'Use {", ".join(SCOPES)}, or one of them with a name, as in "tenant:acme".',
        )
    if colon and not (subject.isprintable() and 0 < len(subject) <= 256):
        raise refuse("names nobody after the colon", 'Write a name, as in "tenant:acme".')
    return value


def route_name(value: str) -> str:
    """A model name that callers send, which may hold slashes and colons."""
    if not _ROUTE.fullmatch(value):
        raise refuse("is not a usable model name", "Use visible ASCII characters without spaces, up to 200 of them.")
    return value


def header_name(value: str) -> str:
    """A header that may be set."""
    if not _HEADER.fullmatch(value):
        raise refuse("is not a header name", "Use letters, digits and dashes, as in x-team.")
    if value.lower() in NOT_OURS:
        raise refuse("belongs to the connection", "Remove it; llm_edge sets this header itself.")
    return value


def label(value: str) -> str:
    """The name of something in a cloud, which becomes part of an address."""
    if not _LABEL.fullmatch(value):
        raise refuse("is not a name as clouds give them", "Write the bare name: letters, digits, dots and dashes.")
    return value


def api_version(value: str) -> str:
    """A version of a cloud's API."""
    if not _API_VERSION.fullmatch(value):
        raise refuse("is not a version", 'Write it as in "2024-10-21" or "v1".')
    return value


def region(value: str) -> str:
    """One of AWS's regions."""
    if not _REGION.fullmatch(value):
        fix = 'Write it as AWS does, as in "us-east-1"; a region of Google\'s is set as `location`.'
        raise refuse("is not a region of AWS's", fix)
    return value


def target(value: str) -> str:
    """`provider/model`."""
    if not _TARGET.fullmatch(value):
        raise refuse("is not a target", 'Write "provider/model", as in "openai/gpt-5.4-mini".')
    return value


def base_url(value: str) -> str:
    """An address without credentials, query or slash at the end."""
    parts = address(value, {"http", "https"})
    if parts is None:
        raise refuse("is not an address", 'Write it whole, as in "https://api.example.com/v1".')
    if "@" in parts.netloc:
        raise refuse("holds a credential", "Put the credential into api_key or headers.")
    if "?" in value or "#" in value:
        raise refuse("holds a query or a fragment", "Keep scheme, host, port and path; a key belongs in api_key.")
    bare = value.rstrip("/")
    if _OPERATION.search(bare):
        raise refuse("names an operation", "Leave its path out, as in https://api.example.com/v1: it is added.")
    return bare


def address(value: str, schemes: Set[str]) -> SplitResult | None:
    """The parts of a URL that could be called; None for anything else."""
    if not _ADDRESS.fullmatch(value):
        return None
    try:
        parts = urlsplit(value)
        usable = parts.port != 0 and bool(parts.hostname) and parts.scheme in schemes
    except ValueError:
        return None
    return parts if usable else None


def file_path(value: Path) -> Path:
    """A path, with `~` as the home directory. Whether a file is there is looked at later."""
    text = str(value)
    if text in {"", "."} or not text.isprintable():
        raise refuse("is not a path", "Write the path of a file, without control characters.")
    try:
        return value.expanduser()
    except RuntimeError:
        raise refuse("starts with ~ and there is no home directory", "Write the whole path.") from None


def key(secret: SecretStr) -> SecretStr:
    """A key that can be sent as a header, or a reference to one."""
    _check(secret, wrong_in_key)
    return secret


def header_value(secret: SecretStr) -> SecretStr:
    """A header's value, or a reference to one."""
    _check(secret, wrong_in_header)
    return secret


def proxy_url(secret: SecretStr) -> SecretStr:
    """The address of a proxy, which may hold a password, or a reference to one."""
    _check(secret, wrong_in_proxy)
    return secret


def redis_url(secret: SecretStr) -> SecretStr:
    """The address of a Redis, which may hold a password, or a reference to one."""
    _check(secret, wrong_in_redis)
    return secret


def redis_prefix(value: str) -> str:
    """What the names of keys in a Redis begin with."""
    if not _PREFIX.fullmatch(value):
        raise refuse("is not a prefix of keys", "Use visible ASCII characters without spaces, up to 100 of them.")
    return value


def store_prefix(value: str) -> str:
    """The same, for keys that are to be of one slot: the braces that see to it are ours."""
    if "{" in value or "}" in value:
        raise refuse("holds a brace", "Leave the braces out: they are put around it.")
    return redis_prefix(value)


def signing(secret: SecretStr) -> SecretStr:
    """A secret to sign with, or a reference to one."""
    _check(secret, wrong_in_signing, "Use a random text, as `openssl rand -hex 32` prints one.")
    return secret


def _check(
    secret: SecretStr,
    wrong: Callable[[str], str],
    fix: str = "Copy the value again, without line breaks, spaces or quotes around it.",
) -> None:
    text = secret.get_secret_value()
    source = reference(text)
    if source is None:
        if _FOREIGN_REFERENCE.fullmatch(text):
            raise refuse("is a reference as others write it", 'Write it as in "env:OPENAI_API_KEY".')
        if what := wrong(text):
            raise refuse(what, fix)
    elif source[0] == "env" and not _VARIABLE.fullmatch(source[1]):
        raise refuse("does not name a variable after env:", 'Write the variable\'s name, as in "env:OPENAI_API_KEY".')
    elif source[0] == "file" and (not source[1] or not source[1].isprintable()):
        raise refuse("does not name a file after file:", 'Write a path, as in "file:/run/secrets/openai".')


def reference(text: str) -> tuple[str, str] | None:
    """`("env", NAME)` or `("file", PATH)` when the text points to a secret kept elsewhere; None for a plain one."""
    kind, colon, rest = text.partition(":")
    return (kind, rest) if colon and kind in {"env", "file"} else None


def wrong_in_key(text: str) -> str:
    """What keeps a key from being sent as a header; empty when nothing does."""
    if not text:
        return "is empty"
    if text.strip() != text:
        return "starts or ends with a space or a line break"
    if not _VISIBLE.fullmatch(text):
        return "holds a control character, a space or a character outside ASCII"
    return ""


def wrong_in_header(text: str) -> str:
    """As for a key, but words may be parted by spaces, as in `Bearer abc`."""
    if not text:
        return "is empty"
    if text.strip() != text:
        return "starts or ends with a space or a line break"
    if not _PRINTABLE.fullmatch(text):
        return "holds a control character or a character outside ASCII"
    return ""


def wrong_in_proxy(text: str) -> str:
    """As for a key, for the address of a proxy."""
    if address(text, {"http", "https", "socks5", "socks5h"}) is None:
        return "is not the address of a proxy (http://, https://, socks5:// or socks5h://)"
    return ""


def wrong_in_redis(text: str) -> str:
    """As for a key, for the address of a Redis."""
    try:
        place(text)
    except ConfigError:
        return "is not the address of a Redis (redis://, rediss://, unix://, redis+sentinel:// or redis+cluster://)"
    return ""


def wrong_in_signing(text: str) -> str:
    """As for a key, and one that is too short could be guessed."""
    return wrong_in_key(text) or ("is shorter than 16 characters" if len(text) < 16 else "")


Seconds = Annotated[float, BeforeValidator(not_a_switch), Field(gt=0, le=YEAR, allow_inf_nan=False)]
SecondsOrNone = Annotated[float, BeforeValidator(not_a_switch), Field(ge=0, le=YEAR, allow_inf_nan=False)]
Rate = Annotated[float, BeforeValidator(not_a_switch), Field(gt=0, le=1e9, allow_inf_nan=False)]
RateOrNone = Annotated[float, BeforeValidator(not_a_switch), Field(ge=0, le=1e9, allow_inf_nan=False)]
Share = Annotated[float, BeforeValidator(not_a_switch), Field(ge=0, le=1, allow_inf_nan=False)]
Weight = Annotated[float, BeforeValidator(not_a_switch), Field(ge=0, le=1e6, allow_inf_nan=False)]
Count = Annotated[int, BeforeValidator(not_a_switch), Field(ge=1, le=10**9)]
CountOrNone = Annotated[int, BeforeValidator(not_a_switch), Field(ge=0, le=10**9)]
Attempts = Annotated[int, BeforeValidator(not_a_switch), Field(ge=1, le=10)]
Size = Annotated[int, BeforeValidator(size), Field(ge=1, le=2**40)]
SizeOrNone = Annotated[int, BeforeValidator(size), Field(ge=0, le=2**40)]
Name = Annotated[str, AfterValidator(name)]
LimitScope = Annotated[str, AfterValidator(limit_scope)]
RouteName = Annotated[str, AfterValidator(route_name)]
Label = Annotated[str, AfterValidator(label)]
ApiVersion = Annotated[str, BeforeValidator(date_text), AfterValidator(api_version)]
HeaderName = Annotated[str, AfterValidator(header_name)]
Region = Annotated[str, AfterValidator(region)]
TargetName = Annotated[str, AfterValidator(target)]
Address = Annotated[str, AfterValidator(base_url)]
FilePath = Annotated[Path, AfterValidator(file_path)]
Key = Annotated[SecretStr, AfterValidator(key)]
HeaderValue = Annotated[SecretStr, AfterValidator(header_value)]
ProxyAddress = Annotated[SecretStr, AfterValidator(proxy_url)]
RedisAddress = Annotated[SecretStr, AfterValidator(redis_url)]
StorePrefix = Annotated[str, AfterValidator(store_prefix)]
RedisPrefix = Annotated[str, AfterValidator(redis_prefix)]
Secret = Annotated[SecretStr, AfterValidator(signing)]
TlsMinimum = Annotated[Literal["1.2", "1.3"], BeforeValidator(version_text)]
