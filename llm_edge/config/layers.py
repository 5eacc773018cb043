"""Where settings come from, and how the layers lie over each other.

Lowest first: `edge.toml`, `edge.<environment>.toml`, short names in the environment, `LLM_EDGE__A__B` in the
environment, keywords. Each setting remembers its place, so that a refusal can name it.
"""

from __future__ import annotations

import json
import os
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path as File

from pydantic import BaseModel

from ..errors import ConfigError
from .problems import Problem, all_paths, failure
from .trees import Path, dotted, is_table

PREFIX = "LLM_EDGE__"
ENVIRONMENT = "LLM_EDGE_ENV"
SHORT_NAMES: Mapping[str, tuple[str, ...]] = {
    "L1_CACHE_SIZE": ("cache", "entries"),
    "L1_TTL_SECONDS": ("cache", "ttl"),
    "RATE_LIMIT_ENABLED": ("limits", "global", "enabled"),
    "RATE_LIMIT_RPM": ("limits", "global", "requests_per_minute"),
    "RATE_LIMIT_BURST": ("limits", "global", "burst"),
}
"""Names from the systems people come from, and the settings they stand for."""

SERVE_NAMES: Mapping[str, tuple[str, ...]] = {
    "HOST": ("serve", "host"),
    "PORT": ("serve", "port"),
    "SERVER_TIMEOUT_SECONDS": ("deadline", "total"),
    "MAX_REQUEST_SIZE": ("serve", "max_body"),
    "ENABLE_METRICS": ("serve", "metrics"),
    "ENABLE_TRACING": ("telemetry", "traces"),
    "OTLP_ENDPOINT": ("telemetry", "otlp_endpoint"),
    "LOG_LEVEL": ("telemetry", "log_level"),
    "LOG_FORMAT": ("telemetry", "log_format"),
    "METRICS_PORT": ("serve", "metrics_port"),
    "AUTH_ENABLED": ("serve", "auth", "enabled"),
    "AUTH_HEALTH_CHECK": ("serve", "auth", "health"),
    "API_KEYS": ("serve", "auth", "keys"),
    "JWT_SECRET": ("serve", "auth", "jwt", "secret"),
    "TLS_CERT_PATH": ("serve", "tls", "cert_file"),
    "TLS_KEY_PATH": ("serve", "tls", "key_file"),
}
"""More of them, that only the sidecar reads: an app's shell may well have a HOST of its own."""

SERVER_ADDRESS, ENABLE_TLS = "SERVER_ADDRESS", "ENABLE_TLS"
SECOND_TIER, REDIS_URL, L2_TTL = "ENABLE_L2_CACHE", "REDIS_URL", "L2_TTL_SECONDS"
"""What the second tier of the cache is switched with: many an app has a REDIS_URL for purposes of its own."""
_NO = frozenset({"false", "0", "no", "off", ""})

_ENVIRONMENT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_HEADER = re.compile(r"\s*(\[[^\[\]]+\])\s*(?:#.*)?")
_SETTING = re.compile(r"\s*((?:[A-Za-z0-9_-]+|\"[^\"]*\"|'[^']*'|\s*\.\s*)+?)\s*=")


class Places:
    """Where each setting was set. Holds no values, so it can stay with the configuration."""

    def __init__(self) -> None:
        self._at: dict[Path, str] = {}

    def mark(self, path: Path, place: str) -> None:
        """Remembers the place of one setting."""
        self._at[path] = place

    def forget(self, path: Path) -> None:
        """Forgets a setting, and what stood in it when it was a table."""
        for old in [at for at in self._at if at[: len(path)] == path]:
            del self._at[old]

    def of(self, path: Path) -> str:
        """Where a setting, or what stands in a table, was set; `default` when nowhere."""
        for end in range(len(path), 0, -1):
            if found := self._at.get(path[:end]):
                return found
        return self._inside(path) or "default"

    def near(self, path: Path) -> str:
        """As `of`; a setting that is missing has the place of the table it is missing from."""
        found = self.of(path)
        while found == "default" and path:
            path = path[:-1]
            found = self._inside(path) or found
        return found

    def _inside(self, path: Path) -> str | None:
        return next((place for at, place in self._at.items() if at[: len(path)] == path), None) if path else None


class Layers:
    """Settings laid over each other, and the place each came from."""

    def __init__(self) -> None:
        self.tree: dict[str, object] = {}
        self.places = Places()

    def lay(self, settings: Mapping[str, object], place: Callable[[Path], str]) -> None:
        """Puts settings over what is there: tables are joined, anything else is replaced."""
        self._join(self.tree, settings, (), place)

    def _join(
        self, below: dict[str, object], above: Mapping[str, object], path: Path, place: Callable[[Path], str]
    ) -> None:
        for key, value in ((str(key), value) for key, value in above.items()):
            here = (*path, key)
            plain = as_plain(value)
            if not is_table(plain):
                self.places.forget(here)
                self.places.mark(here, place(here))
                below[key] = plain
                continue
            inner = below.get(key)
            joined: dict[str, object] = dict(inner) if is_table(inner) else {}
            if not is_table(inner):
                self.places.forget(here)
            if not plain:
                self.places.mark(here, place(here))
            below[key] = joined
            self._join(joined, plain, here, place)

    def has(self, *path: str) -> bool:
        """Whether this was set, and not to nothing."""
        found: object = self.tree
        for name in path:
            found = found.get(name) if is_table(found) else None
        return found is not None


def as_plain(value: object) -> object:
    """A section given as a model counts as the settings it was made with."""
    return value.model_dump(exclude_unset=True) if isinstance(value, BaseModel) else value


def gather(
    file: str | os.PathLike[str] | None,
    env: Mapping[str, str] | None,
    environment: str | None,
    overrides: Mapping[str, object] | None,
    *,
    serving: bool = False,
) -> Layers:
    """All layers, lowest first. Raises ConfigError when one cannot be read."""
    layers = Layers()
    variables = env or {}
    if file is not None:
        base = File(file)
        _lay_file(layers, base)
        chosen = variables.get(ENVIRONMENT) if environment is None else environment
        if chosen:
            _lay_file(layers, _beside(base, chosen, "the argument" if environment else f"variable {ENVIRONMENT}"))
    for path, value, variable in served_in(variables) if serving else ():
        layers.lay(_nested(path, value), _in(variable))
    for path, value, variable in settings_in(variables):
        layers.lay(_nested(path, value), _in(variable))
    layers.lay(overrides or {}, keyword)
    if (
        _switched_on(variables)
        and not layers.has("cache", "disk", "directory")
        and not layers.has("cache", "redis", "url")
    ):
        fix = f"Set {REDIS_URL}, or cache.disk.directory, or leave the variable out."
        raise failure([Problem(("cache", "redis", "url"), "is not set", fix)], _in(SECOND_TIER))
    return layers


def keyword(path: Path) -> str:
    """The place of what was passed as a keyword."""
    return f"keyword {dotted(path[:1])}"


def _beside(base: File, environment: str, source: str) -> File:
    if not _ENVIRONMENT_NAME.fullmatch(environment):
        raise ConfigError(f"environment ({source}): is not a name. Use letters, digits, dash and underscore.")
    file = base.with_name(f"{base.stem}.{environment}{base.suffix}")
    if not file.exists():
        raise ConfigError(
            f"environment ({source}): there is no file {shown(file)}. Create it (it may be empty) or unset the name."
        )
    return file


# ---- files


def _lay_file(layers: Layers, file: File) -> None:
    text = read_text(file)
    settings, wrong = _parsed(text)
    if wrong:
        raise ConfigError(f"{shown(file)}: is not TOML: {wrong}.")
    lines = line_numbers(text)

    def place(path: Path) -> str:
        line = next((lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in lines), None)
        return shown(file) if line is None else f"{shown(file)}:{line}"

    layers.lay(settings, place)


def shown(file: File) -> str:
    """A file's name for a message; nothing in it can break a line."""
    text = str(file)
    return text if text.isprintable() else json.dumps(text)


def read_text(file: File) -> str:
    """What stands in a file. Raises ConfigError with the reason when it cannot be read."""
    wrong = ""
    try:
        return file.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        wrong = "there is no such file. Check the path; it counts from the working directory."
    except IsADirectoryError:
        wrong = "is a directory. Give the file in it."
    except (UnicodeDecodeError, ValueError):
        wrong = "is not UTF-8 text. Save it as UTF-8."
    except OSError as error:
        wrong = f"cannot be read: {error.strerror or 'the system refuses'}. Check its permissions."
    # Raised out here, so that nothing of the file's contents hangs on the error.
    raise ConfigError(f"{shown(file)}: {wrong}")


def _parsed(text: str) -> tuple[dict[str, object], str]:
    try:
        return tomllib.loads(text), ""
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"\(at (?:line \d+, column \d+|end of document)\)", str(error))
        # The parser's own words may quote the text, and the text may be a secret.
        return {}, f"a mistake {where[0].strip('()')}" if where else "a mistake somewhere"
    except (RecursionError, ValueError):
        return {}, "a value is too large or too deep"


def line_numbers(text: str) -> dict[Path, int]:
    """The lines on which settings stand. Best effort: nothing at all when strings run over lines."""
    if '"""' in text or "'''" in text:
        return {}
    lines: dict[Path, int] = {}
    table: Path = ()
    for number, line in enumerate(text.splitlines(), start=1):
        if header := _HEADER.fullmatch(line):
            table = _keys(header[1])
            lines.setdefault(table, number)
        elif setting := _SETTING.match(line):
            keys = _keys(f"{setting[1]} = 0")
            lines.setdefault((*table, *keys), number)
    return lines


def _keys(text: str) -> Path:
    """The path that one line of TOML opens."""
    try:
        at: object = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return ()
    path: list[str] = []
    while is_table(at) and at:
        key, at = next(iter(at.items()))
        path.append(key)
    return tuple(path)


# ---- variables


def settings_in(env: Mapping[str, str]) -> Iterator[tuple[Sequence[str], object, str]]:
    """The settings in an environment as (path, value, variable), the lowest first."""
    for short, path in SHORT_NAMES.items():
        if short in env:
            yield path, env[short], short
    yield from _second_tier(env)
    for variable in sorted(env):
        if variable.startswith(PREFIX):
            path = tuple(part.lower() for part in variable.removeprefix(PREFIX).split("__"))
            if not all(path):
                raise failure(
                    [Problem(path, "has an empty part in its name", "Join names with two underscores.")], _in(variable)
                )
            yield path, parsed(env[variable]), variable
        elif variable.startswith(PREFIX[:-1]) and variable != ENVIRONMENT and (meant := _meant(variable)):
            raise failure([Problem((variable,), "is nearly a setting", f"Write {meant}.")], _in(variable))


def _meant(variable: str) -> str:
    """The name that was probably meant; empty for one that may be the app's own."""
    rest = variable[len(PREFIX) - 1 :]
    if "__" in rest:
        return PREFIX + rest
    if rest == "ENVIRONMENT":
        return ENVIRONMENT
    if rest.endswith("_PORT"):
        return ""  # Kubernetes sets LLM_EDGE_SERVE_PORT where a service is called llm-edge-serve
    from .edge import EdgeConfig  # which itself stands on this module

    known = (path for path in all_paths(EdgeConfig) if len(path) > 1 and "_".join(path) == rest.lower())
    return next((PREFIX + "__".join(path).upper() for path in known), "")


def _second_tier(env: Mapping[str, str]) -> Iterator[tuple[Sequence[str], object, str]]:
    """The short names of the second tier: switched on with an address, or off whatever the file says."""
    if _switched_on(env):
        if env.get(REDIS_URL):
            yield ("cache", "redis", "url"), env[REDIS_URL], REDIS_URL
    elif SECOND_TIER in env:
        yield ("cache", "disk", "directory"), None, SECOND_TIER
        yield ("cache", "redis", "url"), None, SECOND_TIER
    if L2_TTL in env:
        yield ("cache", "disk", "ttl"), env[L2_TTL], L2_TTL
        yield ("cache", "redis", "ttl"), env[L2_TTL], L2_TTL


def _switched_on(env: Mapping[str, str]) -> bool:
    return env.get(SECOND_TIER, "").lower() not in _NO


def served_in(env: Mapping[str, str]) -> Iterator[tuple[Sequence[str], object, str]]:
    """The short names that only a server reads. Raises ConfigError for an address that is none."""
    if address := env.get(SERVER_ADDRESS):
        where, colon, port = address.rpartition(":")
        if not colon:
            problem = Problem(("serve", "host"), "is not an address", 'Write host and port, as in "127.0.0.1:8080".')
            raise failure([problem], _in(SERVER_ADDRESS))
        yield ("serve", "host"), where, SERVER_ADDRESS
        yield ("serve", "port"), port, SERVER_ADDRESS
    secured = env.get(ENABLE_TLS, "true").lower() not in _NO
    for short, path in SERVE_NAMES.items():
        if env.get(short) and (secured or not short.startswith("TLS_")):
            yield path, env[short], short


def _in(variable: str) -> Callable[[Path], str]:
    return lambda _: f"variable {variable}"


def parsed(text: str) -> object:
    """A list or a table written as JSON; any other text as it stands."""
    if text[:1] in {"[", "{"}:
        try:
            found: object = json.loads(text)
        except ValueError:
            return text
        return found
    return text


def _nested(path: Sequence[str], value: object) -> dict[str, object]:
    """The value under its path: `(a, b)` and 3 make `{"a": {"b": 3}}`."""
    nested: dict[str, object] = {path[-1]: value}
    for part in reversed(path[:-1]):
        nested = {part: nested}
    return nested
