"""
Heeds what a provider says about its limits: we stop asking before we are refused, and when we have been.

A call that would be refused goes to the next target or the next key where there is one; else it waits, as long as its
deadline allows.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Literal, TypeAlias

from ..errors import CallError, NetworkFailed, Overloaded, RateLimited, Throttled
from ..message import UNCHARGED, Handler, Request, Response
from ..policy.estimate import guess
from ..policy.keys import fingerprint
from ..policy.throttle import LONGEST, Flow, Reading, Throttle, What
from ..providers.base import Target
from ..providers.quota import TELLING, readings
from ..runtime import Guard, Runtime, Signal, mind_forks

Outcome: TypeAlias = Literal["well", "refused", "other"]

_MOST = 4096
_NOTHING: Sequence[Reading] = ()
_ONE: Mapping[What, float] = {"requests": 1.0}
_GUESSED_OUTPUT = 1000


class Credential:
    """What one credential may do, for all threads and loops."""

    def __init__(self) -> None:
        self.guard = Guard()
        self.flow = Flow()
        self.gates: dict[str, Throttle] = {}
        self._queue: deque[Signal] = deque()
        self._calm: list[None] = []
        """One for each call that began while nothing had been refused yet: `flow` is told of them when that is over."""
        mind_forks(self)

    def after_fork(self) -> None:
        # The calls under way are the parent's.
        self.flow.in_flight, self._calm = 0, []
        self._queue.clear()

    def gate(self, model: str) -> Throttle:
        gate = self.gates.get(model)
        if gate is None:
            if len(self.gates) >= _MOST:
                self.gates.clear()
            gate = self.gates[model] = Throttle()
        return gate

    def closed_for(self, model: str, now: float) -> float:
        """Seconds until a small call may go."""
        gate = self.gates.get(model)
        return 0.0 if gate is None else self.guard.do(lambda: gate.wait(_ONE, now))

    def room(self, model: str, now: float) -> float | None:
        """The share of what the provider allows that is left; None when nobody knows."""
        gate = self.gates.get(model)
        return None if gate is None else self.guard.do(lambda: gate.room(now))

    @property
    def under_way(self) -> int:
        """Calls that have begun and not ended."""
        return self.flow.in_flight + len(self._calm)

    def begin(self) -> None:
        """A call begins, and as many as like may be under way. Not inside the guard: a list grows in one step."""
        self._calm.append(None)

    def went_well(self) -> None:
        """A call has ended, perhaps with nothing refused since it began, as most do."""
        if self.flow.limit is None:
            try:
                self._calm.pop()
            except IndexError:
                pass  # it has been told of
            else:
                return
        self.guard.post(partial(self.over, "well"))

    def enter(self, signal: Signal) -> bool:
        """Whether a call may go; else `signal` is set when it is worth asking again."""
        self._tell()
        if not self.flow.full:
            self.flow.in_flight += 1
            return True
        self._queue.append(signal)
        return False

    def over(self, outcome: Outcome) -> None:
        """A call has ended; inside the guard."""
        self._tell()
        self.flow.over(outcome)
        self._wake()

    def _tell(self) -> None:
        flow, calm = self.flow, self._calm
        while calm:
            try:
                calm.pop()
            except IndexError:
                return  # the last one has just ended
            flow.in_flight += 1

    def awake(self, signal: Signal) -> None:
        """Somebody waits no longer. What woke it may be good for the next."""
        if signal in self._queue:
            self._queue.remove(signal)
        else:
            self._wake()

    def _wake(self) -> None:
        if self._queue and not self.flow.full:
            self._queue.popleft().set()


@dataclass(slots=True)
class Credentials:
    """All of them, by place; made when they are first used."""

    _known: dict[tuple[str, str, str], Credential] = field(default_factory=dict[tuple[str, str, str], Credential])

    def of(self, target: Target, origin: str, scope: str = "") -> Credential:
        """`scope` is the fingerprint of the caller's own credential, where that is used."""
        place = (target.provider, origin, fingerprint(target.key) if target.key else scope)
        found = self._known.get(place)
        if found is None:
            if len(self._known) >= _MOST:
                self._known.clear()
            found = self._known.setdefault(place, Credential())
        return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Heed:
    """The layer, for one target. Raises RateLimited when the provider would have no room for too long."""

    credential: Callable[[Request], Credential]
    target: Target
    runtime: Runtime
    others: Callable[[float], bool] = lambda now: False
    """Whether another key of the same provider could be used at once."""

    async def __call__(self, request: Request, handler: Handler, /) -> Response:
        if request.operation in UNCHARGED:
            return await handler(request)
        credential = self.credential(request)
        gate = credential.gate(request.model if self.target.addressed else self.target.model)
        if credential.flow.limit is None and not gate.meters and gate.closed_until < 0:
            credential.begin()
        else:
            await self._admitted(request, credential, gate)
        try:
            response = await handler(request)
        except BaseException as error:
            self._failed(credential, gate, error)
            raise
        self._answered(credential, gate, response)
        return response

    async def _admitted(self, request: Request, credential: Credential, gate: Throttle) -> None:
        clock = self.runtime.clock
        began, needs = clock.now(), self._needs(request, gate)
        while True:
            now, signal = clock.now(), Signal()

            def enter(now: float = now, signal: Signal = signal) -> float | None:
                wait = gate.wait(needs, now)
                if wait <= 0 and credential.enter(signal):
                    gate.sent(needs)
                    return None
                return wait

            wait = credential.guard.do(enter)
            if wait is None:
                waited = now - began
                if waited > 0.0005:
                    request.notes.waited += waited
                    request.notes.say(began, "heed", target=self.target.name, waited_s=round(waited, 3))
                return
            left = LONGEST if request.deadline is None else request.deadline - now
            if self._elsewhere(request, now) or wait > left or left <= 0:
                raise self._refusal(request, wait, now)
            if wait > 0:
                await clock.sleep(max(wait, 1e-6))
            else:
                try:
                    woken = await self.runtime.wait(signal, left)
                finally:
                    credential.guard.post(partial(credential.awake, signal))
                if not woken:
                    raise self._refusal(request, 1.0, now)

    def _elsewhere(self, request: Request, now: float) -> bool:
        return self.others(now) or request.notes.fallbacks + 1 < len(request.notes.targets)

    def _needs(self, request: Request, gate: Throttle) -> Mapping[What, float]:
        if not gate.low:
            return _ONE
        expected = guess(request.body.json, output=_GUESSED_OUTPUT, embeddings=request.operation == "embeddings")
        prompt, output = expected.prompt, expected.output
        return {"requests": 1.0, "tokens": prompt + output, "input-tokens": prompt, "output-tokens": output}

    def _refusal(self, request: Request, wait: float, now: float) -> RateLimited:
        name = self.target.name
        request.notes.say(now, "heed", target=name, refused="its provider has no room", retry_after_s=round(wait, 3))
        refused = RateLimited(f"{name} has said that it has no room", retry_after=wait or 1.0)
        refused.target, refused.elsewhere = name, True
        return refused

    def _failed(self, credential: Credential, gate: Throttle, error: BaseException) -> None:
        now = self.runtime.clock.now()
        if isinstance(error, Throttled) and self.others(now):
            error.retryable = False  # the next key can be asked at once
        throttled = isinstance(error, Throttled) or (isinstance(error, Overloaded) and error.status == 529)
        slow = isinstance(error, NetworkFailed) and error.kind == "ReadTimeout" and not error.ours
        told = error.response.headers if isinstance(error, CallError) and error.response is not None else None
        said = readings(told, self.runtime.clock.time()) if told is not None else []
        wait = error.retry_after if isinstance(error, CallError) else None

        def over() -> None:
            credential.over("refused" if throttled or slow else "other")
            gate.heard(said, now)
            if isinstance(error, Throttled):
                gate.refused(wait, now)

        credential.guard.post(over)

    def _answered(self, credential: Credential, gate: Throttle, response: Response) -> None:
        headers = response.headers
        said = _NOTHING if headers.lack(TELLING) else readings(headers, self.runtime.clock.time())
        if said or gate.meters or gate.row:
            now = self.runtime.clock.now()

            def hear() -> None:
                gate.heard(said, now)
                gate.went_well()

            credential.guard.do(hear)
        if response.stream is None:
            credential.went_well()
        else:
            response.finally_(
                lambda error: credential.guard.post(lambda: credential.over("well" if error is None else "other"))
            )
