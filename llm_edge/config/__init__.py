"""The configuration: the only room that reads TOML, and the only one that knows which variables mean what.

It reads nothing on its own: files and environments are passed in. It will not accept a setting it cannot honour.
"""

from .auth import ServeAuthConfig, ServeCorsConfig, ServeJwtConfig
from .budgets import BudgetConfig
from .edge import EdgeConfig, Sections, as_config
from .keys import Resolved, ResolvedProvider, follow, resolve
from .limits import TIERS, LimitConfig, StoreConfig, TierConfig
from .prices import PriceConfig, PricesConfig
from .routes import RouteCache, RouteConfig, RouteDeadline, RouteHedge, RouteRetry, TargetConfig
from .sections import CacheConfig, DeadlineConfig, HttpConfig, ProviderConfig
from .serve import ServeAddressesConfig, ServeConfig, ServeTlsConfig
from .telemetry import TelemetryConfig
from .traffic import BreakerConfig, HedgeConfig, RetryConfig

__all__ = [
    "TIERS",
    "BreakerConfig",
    "BudgetConfig",
    "CacheConfig",
    "DeadlineConfig",
    "EdgeConfig",
    "HedgeConfig",
    "HttpConfig",
    "LimitConfig",
    "PriceConfig",
    "PricesConfig",
    "ProviderConfig",
    "Resolved",
    "ResolvedProvider",
    "RetryConfig",
    "RouteCache",
    "RouteConfig",
    "RouteDeadline",
    "RouteHedge",
    "RouteRetry",
    "Sections",
    "ServeAddressesConfig",
    "ServeAuthConfig",
    "ServeConfig",
    "ServeCorsConfig",
    "ServeJwtConfig",
    "ServeTlsConfig",
    "StoreConfig",
    "TargetConfig",
    "TelemetryConfig",
    "TierConfig",
    "as_config",
    "follow",
    "resolve",
]
