"""Secrets as they will be used: references followed, values checked, nothing printed.

A key is written as itself, as `env:NAME` or as `file:PATH`. What cannot be sent as a header is refused here, by the
name of the setting and never by its value: an HTTP library would repeat it in its own error.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path as File

from pydantic import BaseModel, SecretStr, ValidationError

from ..errors import ConfigError
from ..providers.sigv4 import AccessKeys
from . import values
from .edge import EdgeConfig
from .problems import Problem, explain, failure
from .sections import ProviderConfig
from .trees import Path, is_table

HIDDEN = "**********"
LARGEST = 64 * 1024
"""Bytes of a file that may be a secret."""

_SHOWN_VARIABLE = re.compile(r"[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+")
_SHOWN_FILE = re.compile(r"(?:~|\.{1,2})?/.*")


@dataclass(frozen=True, slots=True)
class ResolvedProvider:
    """What a provider's calls carry."""

    keys: tuple[SecretStr, ...] = ()
    headers: Mapping[str, SecretStr] = field(default_factory=dict[str, SecretStr])
    settings: ProviderConfig = field(default_factory=ProviderConfig.unset)
    """What was set, and for what was not, what variables say."""
    from_variables: frozenset[str] = frozenset()
    """The settings that variables said."""
    client_secret: SecretStr | None = None
    access: AccessKeys | None = None
    """Keys that sign calls to AWS."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """All secrets of a configuration, ready for use."""

    providers: Mapping[str, ResolvedProvider]
    proxy: SecretStr | None = None
    cache_secret: SecretStr | None = None
    redis_url: SecretStr | None = None
    store_url: SecretStr | None = None
    unusable: Mapping[str, ConfigError] = field(default_factory=dict[str, ConfigError])
    """Providers nobody configured whose known variables cannot be used: refused when they are asked for, not before."""
    meant: frozenset[str] = frozenset()
    """Those of them that a variable with a key speaks for, whatever is wrong; other variables are everybody's."""
    known: frozenset[str] = field(default=frozenset(), repr=False)
    """Every secret there is, as it is used: what must not be read in a log."""


def resolve(
    config: EdgeConfig,
    env: Mapping[str, str] | None = None,
    key_env: Mapping[str, Sequence[str]] | None = None,
    setting_env: Mapping[str, Mapping[str, Sequence[str]]] | None = None,
) -> Resolved:
    """The secrets of all providers. Raises ConfigError for those that are missing, empty or cannot be sent.

    `key_env` names the variables that each kind of provider is known by, as `{"openai": ["OPENAI_API_KEY"]}`. They are
    read for providers without a key of their own, and only at the provider's own address: a `base_url` gets no key that
    was not meant for it. Providers that are known by their variable alone are in the result too; what is wrong with
    such a variable is no error of this configuration, and is kept in `unusable`. `setting_env` names the variables of
    other settings, as `{"vertex": {"project": ["GOOGLE_CLOUD_PROJECT"]}}`; what is set goes before them.
    """
    reading = _Reading(env or {}, setting_env or {})
    known = key_env or {}
    providers = {name: reading.provider(name, given, known) for name, given in config.providers.items()}
    unusable: dict[str, ConfigError] = {}
    meant: set[str] = set()
    for name in (known.keys() | reading.setting_env.keys()) - config.providers.keys():
        unasked = _Reading(reading.env, reading.setting_env)
        found = unasked.provider(name, ProviderConfig.unset(), known)
        if unasked.problems:
            unusable[name] = failure(unasked.problems, config.place)
            if found.keys or any("api_key" in problem.path for problem in unasked.problems):
                meant.add(name)
        elif found.keys or found.from_variables:
            providers[name] = found
    proxy = config.http.proxy and reading.secret(("http", "proxy"), config.http.proxy, values.wrong_in_proxy)
    kept = config.cache
    signing = kept.secret and reading.secret(("cache", "secret"), kept.secret, values.wrong_in_signing)
    redis = kept.redis.url and reading.secret(("cache", "redis", "url"), kept.redis.url, values.wrong_in_redis)
    reading.file_is_there(("cache", "redis", "ca_file"), kept.redis.ca_file)
    counts = config.store
    store = counts.url and reading.secret(("store", "url"), counts.url, values.wrong_in_redis)
    reading.file_is_there(("store", "ca_file"), counts.ca_file)
    for setting in ("ca_file", "cert_file", "key_file"):
        reading.file_is_there(("http", setting), getattr(config.http, setting))
    if reading.problems:
        raise failure(reading.problems, config.place)
    resolved = Resolved(providers, proxy, signing, redis, store, unusable, frozenset(meant))
    return replace(resolved, known=_all(reading.env, config, resolved))


def follow(
    config: EdgeConfig, env: Mapping[str, str], wanted: Iterable[tuple[Path, SecretStr, Callable[[str], str]]]
) -> list[SecretStr]:
    """These secrets, references followed; each with its path and what says what is wrong in it. Raises ConfigError."""
    reading = _Reading(env, {})
    found = [reading.secret(path, secret, wrong) for path, secret, wrong in wanted]
    if reading.problems:
        raise failure(reading.problems, config.place)
    return [secret for secret in found if secret is not None]


def _all(env: Mapping[str, str], *holders: object) -> frozenset[str]:
    """All secrets that stand in these sections and resolved settings; of references to files, those that resolved."""
    found: set[str] = set()
    left = list(holders)
    while left:
        each = left.pop()
        if isinstance(each, SecretStr):
            source = values.reference(each.get_secret_value())
            text = each.get_secret_value() if source is None else env.get(source[1], "")
            found |= {text} - {""}
        elif isinstance(each, AccessKeys):
            found |= {each.access_key_id, each.secret_access_key, each.session_token} - {""}
        elif isinstance(each, BaseModel):
            left += [getattr(each, name) for name in type(each).model_fields]
        elif is_dataclass(each):
            left += [getattr(each, field.name) for field in fields(each)]
        elif is_table(each):
            left += list(each.values())
        elif isinstance(each, (list, tuple, set, frozenset)):
            left += list(each)  # pyright: ignore[reportUnknownArgumentType]  # whatever it holds is looked at
    return frozenset(found)


def shown(secret: SecretStr) -> str:
    """A secret for human eyes: a reference that is surely none itself, or stars."""
    text = secret.get_secret_value()
    source = values.reference(text)
    return text if source and _is_harmless(*source) else HIDDEN


def _is_harmless(kind: str, rest: str) -> bool:
    # Somebody may write `env:sk-…`, with the key where its name belongs.
    return bool((_SHOWN_VARIABLE if kind == "env" else _SHOWN_FILE).fullmatch(rest)) and rest.isprintable()


def _plain(secret: object) -> str:
    return secret.get_secret_value() if isinstance(secret, SecretStr) else ""


class _Reading:
    """Follows references and collects what is wrong."""

    def __init__(self, env: Mapping[str, str], setting_env: Mapping[str, Mapping[str, Sequence[str]]]) -> None:
        self.env, self.setting_env = env, setting_env
        self.problems: list[Problem] = []

    def provider(self, name: str, given: ProviderConfig, known: Mapping[str, Sequence[str]]) -> ResolvedProvider:
        path: Path = ("providers", name)
        many = len(given.api_key) > 1
        keys = [
            self.secret((*path, "api_key", at) if many else (*path, "api_key"), secret, values.wrong_in_key)
            for at, secret in enumerate(given.api_key)
        ]
        headers = {
            header: self.secret((*path, "headers", header), secret, values.wrong_in_header)
            for header, secret in given.headers.items()
        }
        written = given.access_key_id or given.profile  # which go before a token that stands in a variable
        if not keys and given.base_url is None and not written:
            keys = [self._from_known((*path, "api_key"), known.get(given.kind or name, ()))]
        principal = given.client_secret
        said = self._said(path, given, self.setting_env.get(given.kind or name, {}))
        self.file_is_there((*path, "credentials_file"), given.credentials_file)
        return ResolvedProvider(
            tuple(key for key in keys if key is not None),
            {header: value for header, value in headers.items() if value is not None},
            given.model_copy(update=said),
            frozenset(said),
            principal and self.secret((*path, "client_secret"), principal, values.wrong_in_key),
            self._access(path, given, said),
        )

    def _access(self, path: Path, given: ProviderConfig, said: Mapping[str, object]) -> AccessKeys | None:
        """The keys that were set; else, where no profile was, those in AWS's own variables."""
        settings = ("access_key_id", "secret_access_key", "session_token")
        found = {name: self._followed(path, name, getattr(given, name)) for name in settings}
        if not any(found.values()) and not given.profile:
            found = {name: _plain(said.get(name)) for name in settings}
            return AccessKeys(*found.values()) if found["access_key_id"] and found["secret_access_key"] else None
        for name, other in (("secret_access_key", "access_key_id"), ("access_key_id", "secret_access_key")):
            if getattr(given, name) is None and (getattr(given, other) or given.session_token):
                self.problems.append(Problem((*path, name), "is missing", f"Set it beside {other}."))
        other = "profile" if given.profile else "api_key" if given.api_key else ""
        if given.access_key_id and other:
            self.problems.append(Problem((*path, "access_key_id"), f"stands beside {other}", "Keep one of the two."))
        return AccessKeys(*found.values()) if found["access_key_id"] else None

    def _followed(self, path: Path, name: str, secret: SecretStr | None) -> str:
        return _plain(secret and self.secret((*path, name), secret, values.wrong_in_key))

    def _said(self, path: Path, given: ProviderConfig, known: Mapping[str, Sequence[str]]) -> dict[str, object]:
        """What variables say where the settings say nothing."""
        said: dict[str, object] = {}
        for setting, variables in known.items():
            variable = next((each for each in variables if self.env.get(each)), None)
            # An address that was set is another place: what variables say of theirs does not hold there.
            if variable is None or getattr(given, setting) is not None or (given.base_url and setting == "resource"):
                continue
            try:
                said[setting] = getattr(ProviderConfig.model_validate({setting: self.env[variable]}), setting)
            except ValidationError as error:
                wrong = explain(error, ProviderConfig)[0]
                self.problems.append(Problem((*path, setting), f"the variable {variable} {wrong.what}", wrong.fix))
        if "resource" in said or given.resource:
            said.pop("base_url", None)
        return said

    def secret(self, path: Path, secret: SecretStr, wrong: Callable[[str], str]) -> SecretStr | None:
        source = values.reference(secret.get_secret_value())
        if source is None:
            return secret
        kind, rest = source
        if kind == "env":
            label = f"variable {rest}" if _is_harmless(kind, rest) else "variable that env: names"
            return self._checked(path, self.env.get(rest), label, wrong)
        label = f"file {rest}" if _is_harmless(kind, rest) else "file that file: names"
        return self._checked(path, self._in_file(path, rest, label), label, wrong)

    def file_is_there(self, path: Path, file: File | None) -> None:
        if file is not None and not (file.is_file() and os.access(file, os.R_OK)):
            self.problems.append(Problem(path, "there is no such file, or it cannot be read", "Check the path."))

    def _from_known(self, path: Path, variables: Sequence[str]) -> SecretStr | None:
        for variable in variables:
            if self.env.get(variable):
                return self._checked(path, self.env[variable], f"variable {variable}", values.wrong_in_key)
        return None

    def _checked(self, path: Path, text: str | None, label: str, wrong: Callable[[str], str]) -> SecretStr | None:
        if text is None:
            if not self.problems or self.problems[-1].path != path:
                self.problems.append(Problem(path, f"the {label} is not set", "Set it, or change the reference."))
        elif what := wrong(text):
            fix = "Give it a value." if not text else "Copy the value again, without line breaks, spaces or quotes."
            self.problems.append(Problem(path, f"the {label} {what}", fix))
        else:
            return SecretStr(text)
        return None

    def _in_file(self, path: Path, name: str, label: str) -> str | None:
        try:
            with File(name).expanduser().open("rb") as file:
                content = file.read(LARGEST + 1)
        except (OSError, RuntimeError, ValueError):
            self.problems.append(Problem(path, f"the {label} cannot be read", "Check the path and its permissions."))
            return None
        if len(content) > LARGEST:
            self.problems.append(Problem(path, f"the {label} is too large for a secret", "Check the path."))
            return None
        # Editors and `echo` end a file with one line break; it is no part of the secret.
        return content.decode("latin-1").removesuffix("\n").removesuffix("\r")
