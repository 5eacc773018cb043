"""
Fetches what callers name by an address, and trusts neither them nor the address.

A name may lead into the network this process stands in, where nobody asked the caller in (server-side request forgery).
So each address of a name must be one of the public internet, and the connection goes to the very address that was
looked at; each step of a redirect anew. No credential, no proxy and no cookie goes along.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal, TypeAlias
from urllib.parse import urljoin

from ..errors import InvalidRequest, NetworkFailed
from ..message import Headers
from ..providers.base import Wire
from ..runtime import Runtime
from .sender import Answer, Patience
from .senders import HttpSettings, choose
from .senders.requests import address

From: TypeAlias = Literal["public", "any"]
"""From where: the public internet alone, or the network around this process, too."""

LARGEST: Final = 10 * 2**20
"""Bytes."""
LONGEST: Final = 10.0
"""Seconds for all of it."""
STEPS: Final = 3
"""Redirects that are followed."""

_HEADERS: Final = Headers([("accept", "image/*"), ("accept-encoding", "identity"), ("user-agent", "llm_edge")])


@dataclass(frozen=True, slots=True)
class Fetching:
    """Fetches in one colour. Connections are opened for it and closed after it."""

    settings: HttpSettings
    runtime: Runtime
    source: From = "public"

    async def __call__(self, url: str, until: float | None) -> bytes:
        """The bytes there. Raises InvalidRequest, which names the host and no more: addresses may hold secrets."""
        clock = self.runtime.clock
        moment = clock.now() + LONGEST
        until = moment if until is None or moment < until else until
        direct = replace(self.settings, engine="httpx2", proxy=None, trust_env=False, public=self.source == "public")
        send = choose(direct)[1 if self.runtime.apart else 0]
        alarm = self.runtime.alarm()
        host = "its host"
        try:
            for _ in range(STEPS + 1):
                host = address(url).host
                patience = Patience(clock, total=until, connect=self.settings.connect, whole=True)
                answer = await alarm.until(until, send(Wire(method="GET", url=url, headers=_HEADERS), patience))
                try:
                    if 300 <= answer.status < 400 and "location" in answer.headers:
                        url = urljoin(url, answer.headers["location"])
                        continue
                    if answer.status != 200:
                        raise _refused(host, f"answered {answer.status}")
                    return await alarm.until(until, _bounded(answer, host))
                finally:
                    await answer.source.aclose()
            raise _refused(host, "led on and on")
        except TimeoutError:
            fault = _refused(host, f"took longer than {LONGEST:g} s, or than the call may take")
        except InvalidRequest:
            raise
        except ValueError:
            fault = _refused(host, "led to what is no address")
        except NetworkFailed as error:
            outside = " at an address of the public internet" if self.source == "public" else ""
            fault = _refused(host, "did not answer in time" if error.timed_out else f"could not be asked{outside}")
            await send.aclose()
        raise fault


async def _bounded(answer: Answer, host: str) -> bytes:
    pieces, size = list[bytes](), 0
    while True:
        try:
            piece = await answer.source.__anext__()
        except StopAsyncIteration:
            return b"".join(pieces)
        size += len(piece)
        if size > LARGEST:
            raise _refused(host, f"holds more than {LARGEST // 2**20} MiB")
        pieces.append(piece)


def _refused(host: str, why: str) -> InvalidRequest:
    refused = InvalidRequest(
        f"a picture could not be fetched: {host} {why}. Send it as a data URL, or see http.pictures"
    )
    refused.elsewhere = True  # another target may fetch pictures by itself
    return refused
