"""
Answers what was answered before; keeps what ended well; asks once for all who ask the same at the same time.

A call is looked for in memory, then joins whoever is asking the same just now, or else looks in the second tier and
goes on to a provider. An answer near or past its end may be given once more while it is renewed behind the caller's
back, or when nobody else answers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial

from ..errors import NotCached
from ..message import Body, Controls, Handler, Headers, Layer, Request, Response
from ..policy.cacheable import Policy, why_not
from ..policy.keys import LEFT_OUT, STREAMED_BY_ADDRESS, Ambiguous, address, answer_key, fingerprint
from ..providers.passing import IN_SCOPE, secret
from ..runtime import Runtime
from .answers import Answers
from .asking import Asking
from .inputs import Inputs, inputs_of
from .kept import Understanding
from .rules import Rules
from .tell import Cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Keeping:
    """What is kept, and for how long."""

    policy: Policy = "all"
    ttl: float = 300.0
    """Seconds in memory; everywhere, where there is no second tier."""
    second_ttl: float | None = None
    """Seconds in the second tier, where there is one."""
    stale_while_revalidate: float = 0.0
    """Seconds after its end that an answer is still given while it is asked for again."""
    stale_if_error: float = 0.0
    """Seconds after its end that an answer is still given when nobody else answers."""
    early: bool = True
    """Whether an answer is now and then asked for again a little before its end."""
    pace: float = 0.0
    """Seconds between the events of a stream that is told again."""
    coalesce: bool = True
    """Whether calls share what others are asking for just now."""
    lease: float = 0.0
    """Seconds for which other processes wait for an answer that one is asking for, where a second tier is shared."""


_OPERATIONS = frozenset({"chat", "completions", "embeddings"})


class Cache:
    """The first layer that can answer, in one colour. One entry for each call that could be answered differently."""

    def __init__(
        self,
        answers: Answers,
        runtime: Runtime,
        rules: Rules[Keeping],
        understand: Callable[[str], Understanding],
        *,
        place: Callable[[Request], str] = lambda request: "",
        cost: Cost = lambda target, usage, moment, model: None,
        chance: Callable[[], float] = lambda: 0.5,
        books: Layer | None = None,
    ) -> None:
        self.answers, self.runtime, self.clock = answers, runtime, runtime.clock
        self._rules, self.understand, self._place, self.cost, self.chance = rules, understand, place, cost, chance
        self.books = books
        """For calls that no caller hears of, and that are paid for all the same."""
        self.tier = answers.tier(runtime)
        self._seen = answers.sights

    async def __call__(self, request: Request, handler: Handler, /) -> Response:
        notes, rule, controls = request.notes, self._rules.of(request.route), request.controls
        reason, key = self._recognised(request, rule)
        if reason:
            self.answers.stats.passed()
            notes.cache, notes.cache_reason = "BYPASS", reason
            if controls.only_if_cached:
                raise NotCached(f"only-if-cached was asked, and the cache does not take this call: {reason}")
            return await handler(request)
        body = request.body
        notes.cache_key, notes.key_parts = (
            key,
            partial(_parts, request.route, request.url, controls, request.scope, request.headers, body),
        )
        if request.operation == "embeddings":
            inputs = inputs_of(request)
            if inputs is not None:
                return await Inputs(self, request, rule, handler, inputs).answered()
        call = Asking(self, key, request, rule, handler)
        if not controls.no_cache:
            response = call.remembered()
            if response is not None:
                self._seen.keep(body)
                return response
        notes.cache = "MISS"
        if controls.only_if_cached:
            response = None if controls.no_cache else await call.fetched(request)
            if response is None:
                raise NotCached("only-if-cached was asked, and the cache has no answer")
            return response
        response = await call.asked()
        if request.notes.cache == "HIT":  # in the second tier, or in memory by then
            self._seen.keep(body)
        return response

    def _recognised(self, request: Request, rule: Keeping) -> tuple[str, str]:
        """Why the cache passes this call by, or else its key."""
        if request.operation not in _OPERATIONS:
            return "calls of this kind are not kept", ""
        body, words = request.body, self._words(request)
        around = (rule.policy, request.operation, words)
        try:
            known = body.keyed or self._seen.of(body)
            if known is not None and known[0] == around:
                body.keyed = known
                return known[1], known[2]
            reason = why_not(request.dialect, body.json, rule.policy, operation=request.operation)
            key = "" if reason else answer_key(body, *words)
        except Ambiguous:
            reason, key = "the body names a key twice, and readers differ in which of the two they take", ""
        except (ValueError, TypeError):
            return "the body is not a JSON object", ""
        body.keyed = around, reason, key
        return reason, key

    def key_of(self, request: Request, body: Body) -> str:
        """The key of this call with this body. ValueError when it is not a JSON object."""
        return answer_key(body, *self._words(request))

    def _words(self, request: Request) -> tuple[str, ...]:
        """All but the body that can change the answer."""
        controls, headers, dialect, url = request.controls, request.headers, request.dialect, request.url
        words = (
            dialect, request.route, address(url, dialect) if dialect == STREAMED_BY_ADDRESS else url,
            self._place(request), controls.tenant, request.scope, controls.namespace,
        )  # fmt: skip
        further = headers.once(_affecting) if headers.pairs else None
        return (*words, *further.values()) if further else words


def _parts(route: str, url: str, controls: Controls, scope: str, headers: Headers, body: Body) -> list[str]:
    """The names of what went into a call's key, without what they hold. Not the call itself: its notes keep this."""
    around = {
        "dialect": True, "route": route, "address": url, "tenant": controls.tenant, "credential": scope,
        "namespace": controls.namespace,
    }  # fmt: skip
    parts = [name for name, value in around.items() if value]
    parts += [f"header {name}" for name in _affecting(headers)]
    return parts + [f"body.{name}" for name in body.json if name not in LEFT_OUT]


def _affecting(headers: Headers) -> Mapping[str, str]:
    """
    Request headers that change the answer, each as a word for the key.

    And what else smells of a credential, which gateways before providers call by names of their own: who may not see
    what another may is told apart. The usual ones are in the request's scope.
    """
    named = headers.named
    return {
        name: f"{name}={named[name]}" if name in _AFFECTING else fingerprint(name, named[name])
        for name in _telling(tuple(named))
    }


@lru_cache(maxsize=1024)
def _telling(names: tuple[str, ...]) -> Sequence[str]:
    """Which of these names of fields count. SDKs send the same names in call after call."""
    others = {name for name in names if name not in IN_SCOPE and secret(name) and "idempotency" not in name}
    return sorted(others.union(_AFFECTING.intersection(names)))


_AFFECTING = frozenset({
    "anthropic-version", "anthropic-beta", "anthropic-workspace-id", "anthropic-user-profile-id",
    "openai-organization", "openai-project", "openai-beta", "accept-language",
    "api-version", "x-api-version", "x-github-api-version", "x-goog-user-project",
    # Filters that a cloud puts around the model, and which deployment it asks.
    "x-amzn-bedrock-guardrailidentifier", "x-amzn-bedrock-guardrailversion", "x-amzn-bedrock-trace",
    "extra-parameters", "azureml-model-deployment", "x-ms-model-mesh-model-name",
    # Gateways that are told by header whom to ask.
    "x-portkey-config", "x-portkey-provider", "x-portkey-custom-host", "helicone-target-url",
})  # fmt: skip
