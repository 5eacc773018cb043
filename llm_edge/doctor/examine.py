"""
One tiny call to each provider, and what its outcome shows.

The call goes the way of every other (same address, same key, same engine), but for what would hide the truth: no
cache, no second attempt, no breaker, no limit. A stream is asked for, as it shows most at once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from typing import Any, Final
from urllib.parse import urlsplit

from ..client import EdgeClient
from ..config import EdgeConfig, Resolved, resolve
from ..errors import (
    BadAnswer,
    BadRequest,
    CallError,
    CertificateRefused,
    ConfigError,
    DeadlineExceeded,
    NetworkFailed,
    NotFound,
    Overloaded,
    QuotaExhausted,
    StreamBroken,
    Throttled,
    Unauthorized,
)
from ..http.senders.proxies import Proxies, without_credentials
from ..http.senders.settings import HttpSettings
from ..message import Headers
from ..providers.base import Target
from ..providers.keyless import KEY_HEADERS
from ..providers.table import ROWS, key_env, setting_env
from ..runtime import Clock, ThreadClock
from ..targets import Targets
from .findings import Checkup
from .patients import Patient, patients

PATIENCE: Final = 20.0
"""Seconds one call may take."""
ASIDE, APART = 60.0, 300.0
"""Seconds between two clocks that are worth telling, and that break tokens and signatures."""
_AT_ONCE: Final = 8
_LOCAL: Final = ("localhost", "127.0.0.1", "::1")


def examine(
    config: EdgeConfig,
    env: Mapping[str, str],
    *,
    only: Sequence[str] = (),
    models: Sequence[str] = (),
    every: bool = False,
    clock: Clock | None = None,
) -> list[Checkup]:
    """
    Asks every provider and tells what was found; see `patients` for who that is.

    Raises ConfigError when the configuration cannot be used at all.
    """
    secrets = resolve(config, env, key_env(), setting_env())
    bare = _bare(config)
    asked = patients(config, secrets, only=only, models=models, every=every)
    with EdgeClient(bare, env=env) as edge, ThreadPoolExecutor(_AT_ONCE) as pool:
        doctor = Doctor(edge, bare, secrets, clock or ThreadClock())
        return list(pool.map(doctor.examine, asked))


def _bare(config: EdgeConfig) -> EdgeConfig:
    """The configuration without what would hide how a provider really is."""
    plain = config.changed(cache={"policy": "off"}, retry={"attempts": 1}, breaker={"enabled": False})
    return plain.model_copy(update={"routes": {}, "limits": {}})


class Doctor:
    """Asks through one client."""

    def __init__(self, edge: EdgeClient, config: EdgeConfig, secrets: Resolved, clock: Clock) -> None:
        self._edge, self._config, self._secrets, self._clock = edge, config, secrets, clock
        self._targets = Targets(config, secrets)
        proxy = None if secrets.proxy is None else secrets.proxy.get_secret_value()
        self._proxies = Proxies(HttpSettings(proxy=proxy, trust_env=config.http.trust_env))

    def examine(self, patient: Patient) -> Checkup:
        checkup = Checkup(provider=patient.provider)
        try:
            (target,) = self._targets.named([patient.target])
        except ConfigError as error:
            checkup.say("key", "bad", str(error))
            return checkup
        checkup.address = target.base_url
        shown = self._shows(target)
        if not shown:
            checkup.say("key", "bad", self._no_key(patient.provider))
            return checkup
        checkup.target = patient.target
        self._way(target, checkup)
        _Visit(self._edge, self._clock, patient, checkup, shown).make()
        return checkup

    def _shows(self, target: Target) -> str:
        """What shows the provider who calls, in words; empty when something should and nothing does."""
        if target.key:
            return "the key"
        if self._targets.credential(target) is not None:
            return "the token"
        found = self._secrets.providers.get(target.provider)
        if found and any(name.lower() in KEY_HEADERS for name in found.headers):
            return "the header"
        given = self._config.providers.get(target.provider)
        row = ROWS.get((given and given.kind) or target.provider)
        own_address = given is not None and given.base_url is not None
        return "no key, as none is set," if own_address or row is None or row.key_optional else ""

    def _no_key(self, provider: str) -> str:
        given = self._config.providers.get(provider)
        row = ROWS.get((given and given.kind) or provider)
        variables = " or ".join(row.key_env) if row else ""
        return f"there is none; set {f'the variable {variables}, or ' if variables else ''}providers.{provider}.api_key"

    def _way(self, target: Target, checkup: Checkup) -> None:
        """How calls travel, as far as that can be told before one does."""
        parts = urlsplit(target.base_url)
        host, port = parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)
        proxy = self._proxies(parts.scheme, host, port)
        if proxy is not None:
            checkup.say("proxy", "note", f"calls go through {without_credentials(proxy)[0]}")
        if parts.scheme == "http" and host not in _LOCAL:
            checkup.say("tls", "note", "calls travel in the clear: anybody between can read the key")


class _Visit:
    """One provider's calls."""

    def __init__(self, edge: EdgeClient, clock: Clock, patient: Patient, checkup: Checkup, shown: str) -> None:
        self._edge, self._clock, self._patient, self._checkup, self._shown = edge, clock, patient, checkup, shown
        self._began = clock.time()

    def make(self) -> None:
        try:
            if "embed" in self._patient.model:
                reply = self._edge.embed(self._patient.target, "ok", timeout=PATIENCE)
                self._taken(reply.headers)
                return
            self._stream()
        except CallError as error:
            self._failed(error)

    def _stream(self) -> None:
        fields: dict[str, Any] = {"max_completion_tokens": 32, "timeout": PATIENCE}
        clock, say = self._clock, self._checkup.say
        began = clock.now()
        try:
            with self._edge.chat(self._patient.target, "Say ok.", stream=True, **fields) as stream:
                first = clock.now() - began
                self._taken(stream.headers)
                events = sum(1 for _ in stream)
        except (BadAnswer, StreamBroken) as error:
            say("streaming", "bad", str(error))
            if isinstance(error, BadAnswer):
                reply = self._edge.chat(self._patient.target, "Say ok.", stream=False, **fields)
                self._taken(reply.headers)
            return
        say("streaming", "good", f"{events} events, the first after {first:.1f} s")

    def _taken(self, headers: Headers) -> None:
        self._key_is_good()
        if self._patient.nameless:
            self._checkup.say("model", "note", "no route names one; whatever name is asked for is answered")
        else:
            self._checkup.say("model", "good", "it answers")
        self._came(headers)

    def _key_is_good(self) -> None:
        self._checkup.say("key", "good", f"{self._shown} is taken")

    def _failed(self, error: CallError) -> None:
        if error.response is not None:
            self._came(error.response.headers)
        say, words = self._checkup.say, str(error)
        if isinstance(error, Unauthorized):
            status = f" ({error.status})" if error.response is not None else ""
            say("key", "bad", f"{self._shown} is not taken{status}: {words}" if status else words)
        elif isinstance(error, QuotaExhausted):
            say("key", "bad", f"{self._shown} is known, but its money or quota is used up: {words}")
        elif isinstance(error, CertificateRefused):
            say("tls", "bad", words)
        elif isinstance(error, NetworkFailed):
            say("network", "bad", f"{words}; look at the address, the network and the proxy")
        elif isinstance(error, DeadlineExceeded):
            say("network", "bad", f"no answer within {PATIENCE:.0f} s")
        else:
            self._answered(error, words)

    def _answered(self, error: CallError, words: str) -> None:
        """What an error shows of a provider that took the key."""
        say = self._checkup.say
        if isinstance(error, (NotFound, BadRequest)):
            self._key_is_good()
            if self._patient.nameless:
                fix = f"llm-edge doctor --model {self._patient.provider}/NAME"
                say("model", "note", f"no route names one, so none was looked at; name one: {fix}")
            elif isinstance(error, NotFound):
                say("model", "bad", f"the provider does not know {self._patient.model}, or not for this key: {words}")
            else:
                say("model", "bad", f"the provider refuses the simplest call: {words}")
        elif isinstance(error, Throttled):
            self._key_is_good()
            say("model", "note", f"too busy to answer right now: {words}")
        elif isinstance(error, Overloaded):
            say("network", "bad", f"the provider is in trouble ({error.status}): {words}")
        else:
            say("model", "bad", words)

    def _came(self, headers: Headers) -> None:
        """An answer came, whatever it says."""
        if self._checkup.address.startswith("https:"):
            self._checkup.say("tls", "good", "the certificate is trusted")
        self._compare_clocks(headers)

    def _compare_clocks(self, headers: Headers) -> None:
        try:
            theirs = parsedate_to_datetime(headers.get("date", "")).timestamp()
        except ValueError:
            return  # it does not say
        ended = self._clock.time()
        # The answer was dated at some moment of the call, to the second.
        apart = max(self._began - 1 - theirs, theirs - ended - 1, 0.0)
        if apart < ASIDE:
            self._checkup.say("clock", "good", "this machine's agrees with the provider's")
            return
        way = "behind" if theirs > ended else "ahead of"
        words = f"this machine's is {apart:.0f} s {way} the provider's; set it, or signatures and tokens fail"
        self._checkup.say("clock", "bad" if apart >= APART else "note", words)
