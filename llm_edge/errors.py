"""
What can go wrong, as a tree.

* EdgeError
  x ConfigError                  the house was built wrong (raised before any call)
  x CallError                    one call did not end well
    + Rejected                   we chose not to send it, or stopped waiting for it
      - RateLimited 429
      - RequestExceedsLimit 400  a limit of ours can never have room for it
      - BudgetExceeded 429
      - Blocked 400
      - InvalidRequest 400       it cannot be sent as it stands
      - CircuitOpen 503
      - NoTarget 503
      - DeadlineExceeded 504
      - NotCached 504            `only-if-cached` was asked and the cache had nothing
    + Failed                     we sent it (or tried) and it went wrong
      - NetworkFailed 502        no answer, or one that is not HTTP; 504 for a timeout, 400 for a call HTTP cannot say
        . CertificateRefused
      - BadAnswer 502            an answer that is not what was asked for: HTML, broken JSON, an error under status 200
      - StreamBroken 502         the answer stopped in the middle; the caller has seen part of it
      - ProviderFailed           the provider answered, with an error
        . BadRequest  . ContextTooLong  . ContentBlocked  . Unauthorized  . NotFound
        . Throttled   . QuotaExhausted  . Overloaded

Layers ask `retryable`, `retry_after` and the class, never the words of a message.
Messages never carry a credential: what comes from below is redrawn here, and the
exception it came from is dropped.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .message import Response
    from .notes import Notes


class EdgeError(Exception):
    """Everything llm_edge raises on purpose."""


class ConfigError(EdgeError):
    """The configuration cannot work. Says which setting, where it stands and how to mend it."""


class CallError(EdgeError):
    """One call did not end well."""

    retryable: bool = False
    """Whether the same call may go better at the same target a moment later."""
    elsewhere: bool = False
    """Whether the same call may go better at another target."""
    status: int = 500
    """The HTTP status a face shows when there is no answer of the provider's to pass on."""
    code: str = "edge_error"
    """A stable word for programs, as the `code` of an error body."""

    def __init__(self, message: str, *, retry_after: float | None = None, response: Response | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after = retry_after
        """Seconds the other side asked us to wait, when it said so."""
        self.response = response
        """The provider's own answer, kept whole, when there is one."""
        self.foreign = False
        """Whether that answer is in another format than the caller's: an SDK is told in its own words instead."""
        self.target: str | None = None
        """`provider/model` that was asked last."""
        self.attempts = 0
        """How many calls went upstream."""
        self.notes: Notes | None = None

    def explain(self) -> dict[str, object]:
        """The story of the call so far, as `Reply.explain()` gives it; empty when the call never began."""
        return {} if self.notes is None else self.notes.explain()

    def __reduce__(self) -> tuple[object, ...]:
        # Pickled by multiprocessing and Celery on its way to a parent: the words and facts go, the answer stays.
        plain = {name: value if isinstance(value, (str, int, float)) else None for name, value in vars(self).items()}
        plain.pop("__notes__", None)
        return (_revive, (type(self), self.message, {**plain, "status": self.status}))


def _revive(kind: type[CallError], message: str, facts: dict[str, object]) -> CallError:
    error = kind.__new__(kind, message)
    vars(error).update(facts)
    return error


class Rejected(CallError):
    """llm_edge chose not to send the call, or stopped waiting for it."""


class RateLimited(Rejected):
    """A limit of ours has no room; `retry_after` says when it will."""

    status = 429
    code = "rate_limit_exceeded"


class RequestExceedsLimit(Rejected):
    """This call alone is more than a limit of ours allows: waiting does not help, asking for less does."""

    status = 400
    code = "request_exceeds_limit"


class BudgetExceeded(Rejected):
    """A budget of ours has no money left for this call."""

    status = 429
    code = "insufficient_quota"


class Blocked(Rejected):
    """A guard of ours refused the request."""

    status = 400
    code = "content_policy_violation"


class InvalidRequest(Rejected):
    """The request cannot be sent as it stands; the message names the field and the fix."""

    status = 400
    code = "invalid_request_error"


class CircuitOpen(Rejected):
    """The target has been failing and is left alone until `retry_after` seconds have passed."""

    elsewhere = True
    status = 503
    code = "circuit_open"


class NoTarget(Rejected):
    """No configured route or provider takes this model."""

    status = 503
    code = "no_target"


class DeadlineExceeded(Rejected):
    """The time allowed for the whole call ran out."""

    status = 504
    code = "deadline_exceeded"


class NotCached(Rejected):
    """`cache-control: only-if-cached` was asked and the cache had nothing."""

    status = 504
    code = "not_cached"


class Failed(CallError):
    """The call was sent, or nearly, and went wrong."""

    elsewhere = True
    status = 502


class NetworkFailed(Failed):
    """No answer came: refused, reset, cut, timed out. `kind` is httpx's word for it."""

    retryable = True
    code = "connection_error"

    def __init__(self, message: str, *, kind: str = "NetworkError") -> None:
        super().__init__(message)
        self.kind = kind
        self.late = False
        """A timeout noticed long after it was due: this process was busy, the provider perhaps was not."""
        self.original: Exception | None = None
        """What a transport of the app's own raised; nothing else is kept, as it may quote a header."""
        if self.timed_out:
            self.status = 504
        if kind in {"LocalProtocolError", "UnsupportedProtocol"}:
            # It will not be written differently next time, and whoever wrote it is to hear that it was that.
            self.retryable, self.status, self.code = False, InvalidRequest.status, InvalidRequest.code

    def __str__(self) -> str:
        # Engines know an address and no names; which of the targets was meant is known once the attempt is over.
        known = self.target and not self.message.startswith(self.target)
        return f"{self.target}: {self.message}" if known else self.message

    @property
    def timed_out(self) -> bool:
        return self.kind.endswith("Timeout")

    @property
    def unsent(self) -> bool:
        """Whether the provider cannot have seen the request."""
        return self.kind in {
            "ConnectError",
            "ConnectTimeout",
            "PoolTimeout",
            "LocalProtocolError",
            "UnsupportedProtocol",
        }

    @property
    def ours(self) -> bool:
        """Whether the trouble is on this side of the wire, and says nothing about the provider."""
        return self.late or self.kind in {"LocalProtocolError", "UnsupportedProtocol", "PoolTimeout"}


class CertificateRefused(NetworkFailed):
    """The server's TLS certificate is not to be trusted. Never tried again, never sent in the clear."""

    retryable = False
    code = "certificate_refused"


class BadAnswer(Failed):
    """The answer is not what was asked for: HTML, broken JSON, an error under status 200."""

    retryable = True
    code = "bad_answer"


class StreamBroken(Failed):
    """The answer stopped in the middle; the caller has seen part of it, so nobody may try again unasked."""

    elsewhere = False
    code = "stream_broken"

    def __init__(self, message: str, *, kind: str = "RemoteProtocolError") -> None:
        super().__init__(message)
        self.kind = kind
        self.late = False
        """As in `NetworkFailed`."""


class ProviderFailed(Failed):
    """The provider answered, with an error. `response` holds its answer."""

    code = "provider_error"
    elsewhere = False

    def __init__(self, message: str, *, retry_after: float | None = None, response: Response | None = None) -> None:
        super().__init__(message, retry_after=retry_after, response=response)
        if response is not None and response.status >= 400:
            self.status = response.status


class BadRequest(ProviderFailed):
    """The provider refuses the request as it stands."""

    status = 400
    code = "invalid_request_error"


class ContextTooLong(BadRequest):
    """The prompt does not fit into the model's context window."""

    code = "context_length_exceeded"


class ContentBlocked(BadRequest):
    """The provider's content policy refused the prompt."""

    code = "content_filter"


class Unauthorized(ProviderFailed):
    """The credential is missing, wrong or not allowed to do this. Another credential may be."""

    elsewhere = True
    status = 401
    code = "invalid_api_key"


class NotFound(ProviderFailed):
    """No such model or path at this provider."""

    elsewhere = True
    status = 404
    code = "model_not_found"


class Throttled(ProviderFailed):
    """The provider has no room right now."""

    retryable = True
    elsewhere = True
    status = 429
    code = "rate_limit_exceeded"


class QuotaExhausted(ProviderFailed):
    """The credential's money or quota is used up; waiting a moment does not help."""

    elsewhere = True
    status = 429
    code = "insufficient_quota"


class Overloaded(ProviderFailed):
    """The provider is in trouble: 500, 502, 503, 504, 529 and their like."""

    retryable = True
    elsewhere = True
    status = 503
    code = "server_error"
