"""
AWS's access keys, wherever they come from, and requests signed with them.

Keys that were written down stay as they are. All others come by botocore's chain: profile, role, container,
instance, single sign-on.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, Protocol

from ..errors import NetworkFailed, Unauthorized
from ..providers.base import Wire
from ..providers.sigv4 import AccessKeys, signed
from ..runtime import Runtime
from .credentials import Fresh, Renewed

EARLY: Final = 840.0
"""Seconds before keys run out when new ones are got: botocore itself renews none that are good for 15 minutes."""
_FIX: Final = (
    "set AWS_BEARER_TOKEN_BEDROCK, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or the provider's `profile`"
)


class Keys(Protocol):
    """Where access keys come from."""

    async def get(self, runtime: Runtime, seconds: float | None = None) -> AccessKeys: ...
    def refused(self, value: AccessKeys) -> bool: ...


class Written:
    """Keys that were written down."""

    def __init__(self, keys: AccessKeys) -> None:
        self._keys = keys

    async def get(self, runtime: Runtime, seconds: float | None = None) -> AccessKeys:
        """Always the same."""
        return self._keys

    def refused(self, value: AccessKeys) -> bool:
        """There are no others."""
        return False


class Signing:
    """Shows AWS who calls, by a signature."""

    def __init__(self, keys: Keys, *, region: str, service: str) -> None:
        self._keys, self._region, self._service = keys, region, service
        self._last: AccessKeys | None = None

    async def show(self, wire: Wire, runtime: Runtime, seconds: float | None, /) -> Wire:
        """The request, signed. Raises what getting the keys raises."""
        keys = self._last = await self._keys.get(runtime, seconds)
        return signed(wire, keys, region=self._region, service=self._service, now=runtime.clock.time())

    def refused(self, wire: Wire, /) -> bool:
        """Whether other keys may be taken where this request's were not."""
        last = self._last
        if last is None or f"Credential={last.access_key_id}/" not in wire.headers.get("authorization", ""):
            return True  # there are others by now
        return self._keys.refused(last)


def by_chain(find: Callable[[], Any]) -> Renewed[AccessKeys]:
    """The keys of botocore's credentials that `find` finds, perhaps by its chain; renewed before they run out."""
    chain = _Chain(find)
    return Renewed(chain.fetch, what="AWS credentials", early=EARLY)


class _Chain:
    """Asks botocore, which may read files and ask servers."""

    def __init__(self, find: Callable[[], Any]) -> None:
        self._find = find
        self._credentials: Any = None
        """botocore's own, which renews itself when asked in time."""
        self._last: AccessKeys | None = None

    def fetch(self) -> Fresh[AccessKeys]:
        """The keys now. Raises Unauthorized when there are none, NetworkFailed when nobody answers."""
        troubles: Any = import_module("botocore.exceptions")  # it has no types of its own
        try:
            fresh = self._asked()
            if fresh is not None and fresh.value == self._last:
                # Asked again, for they were refused or run out: what they came from may have others by now.
                self._credentials = None
                fresh = self._asked()
        except troubles.HTTPClientError as error:
            raise NetworkFailed(f"AWS credentials: nobody answers ({type(error).__name__})") from None
        except Exception as error:
            # Its words may quote a token; its name says enough to find out more.
            raise Unauthorized(f"AWS credentials could not be had ({type(error).__name__}); {_FIX}") from None
        if fresh is None:
            raise Unauthorized(f"botocore finds no AWS credentials; {_FIX}")
        self._last = fresh.value
        return fresh

    def _asked(self) -> Fresh[AccessKeys] | None:
        credentials = self._credentials or self._find()
        if credentials is None:
            return None
        frozen = credentials.get_frozen_credentials()
        self._credentials = credentials
        ends = getattr(credentials, "_expiry_time", None)  # botocore says it in no other way
        keys = AccessKeys(frozen.access_key, frozen.secret_key, frozen.token or "")
        return Fresh(keys, None if ends is None else ends.timestamp())


def session(profile: str) -> Any:
    """A session of botocore's. Raises what botocore raises for a profile that is not there."""
    module: Any = import_module("botocore.session")  # as above
    return module.Session(profile=profile or None)


def region_of(profile: str) -> str:
    """The region in AWS's own configuration; empty when it names none, or botocore is not there."""
    try:
        return str(session(profile).get_config_variable("region") or "")
    except Exception:
        return ""  # nobody wrote one down that could be read
