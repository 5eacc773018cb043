"""
An LLM gateway inside the app's own process.

    from openai import OpenAI
    from llm_edge import EdgeClient

    client = OpenAI(http_client=EdgeClient().http_client())

Importing this does nothing: no file is read, no thread started, no HTTP library loaded. Names
come when they are first used.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .client import EdgeClient as EdgeClient
    from .config import EdgeConfig as EdgeConfig
    from .errors import (
        BadAnswer as BadAnswer,
        BadRequest as BadRequest,
        Blocked as Blocked,
        BudgetExceeded as BudgetExceeded,
        CallError as CallError,
        CertificateRefused as CertificateRefused,
        CircuitOpen as CircuitOpen,
        ConfigError as ConfigError,
        ContentBlocked as ContentBlocked,
        ContextTooLong as ContextTooLong,
        DeadlineExceeded as DeadlineExceeded,
        EdgeError as EdgeError,
        Failed as Failed,
        InvalidRequest as InvalidRequest,
        NetworkFailed as NetworkFailed,
        NoTarget as NoTarget,
        NotCached as NotCached,
        NotFound as NotFound,
        Overloaded as Overloaded,
        ProviderFailed as ProviderFailed,
        QuotaExhausted as QuotaExhausted,
        RateLimited as RateLimited,
        Rejected as Rejected,
        RequestExceedsLimit as RequestExceedsLimit,
        StreamBroken as StreamBroken,
        Throttled as Throttled,
        Unauthorized as Unauthorized,
    )
    from .transports import AsyncEdgeTransport as AsyncEdgeTransport, EdgeTransport as EdgeTransport

__version__ = "0.1.0"

_HOMES = {
    "EdgeClient": "client",
    "EdgeConfig": "config",
    "EdgeTransport": "transports",
    "AsyncEdgeTransport": "transports",
    **dict.fromkeys(
        (
            "BadAnswer", "BadRequest", "Blocked", "BudgetExceeded", "CallError", "CertificateRefused", "CircuitOpen",
            "ConfigError", "ContentBlocked", "ContextTooLong", "DeadlineExceeded", "EdgeError", "Failed",
            "InvalidRequest", "NetworkFailed", "NoTarget", "NotCached", "NotFound", "Overloaded", "ProviderFailed",
            "QuotaExhausted", "RateLimited", "Rejected",
            "RequestExceedsLimit", "StreamBroken", "Throttled", "Unauthorized",
        ),
        "errors",
    ),
}  # fmt: skip

__all__ = [*_HOMES, "__version__"]  # noqa: PLE0604  # pyright: ignore[reportUnsupportedDunderAll]  # each on first use


def __getattr__(name: str) -> object:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f".{home}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
