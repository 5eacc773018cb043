"""How the configuration has answers kept: the rules, the tiers, and what has to be known of each dialect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from typing import Any

from .config import EdgeConfig, Resolved
from .errors import ConfigError
from .layers.answers import Answers
from .layers.cache import Keeping
from .layers.kept import Held, Understanding
from .layers.semantic import Alike
from .message import Body, Json
from .providers.dialects import by_name
from .providers.translation.table import replay
from .runtime import Clock
from .stores.memory import MemoryStore
from .stores.tier import SecondTier


def kept_answers(config: EdgeConfig, secrets: Resolved, clock: Clock | None) -> Answers:
    """The cache's state, for both colours. Raises ConfigError when its second tier cannot be used."""
    kept = config.cache
    memory: MemoryStore[Held] = MemoryStore(entries=kept.entries, bytes=kept.bytes)
    secret = b"" if secrets.cache_secret is None else secrets.cache_secret.get_secret_value().encode()
    return Answers(memory, _second_tier(config, secrets, clock), idle=kept.idle, secret=secret)


def keeping(config: EdgeConfig) -> Keeping:
    """The rules, of one route or of all."""
    kept = config.cache
    second = kept.redis.ttl if kept.redis.url else kept.disk.ttl if kept.disk.directory else None
    return Keeping(
        policy=kept.policy if second is not None or (kept.entries and kept.bytes) else "off",
        ttl=kept.ttl, second_ttl=second, stale_while_revalidate=kept.stale_while_revalidate,
        stale_if_error=kept.stale_if_error, early=kept.early_refresh, pace=kept.replay_pace,
        coalesce=kept.coalesce, lease=kept.lease,
    )  # fmt: skip


def alike(config: EdgeConfig) -> Alike:
    """Which questions count as the same. Raises ConfigError where they could not be compared."""
    wanted = config.cache.semantic
    if wanted.model is not None and find_spec("numpy") is None:
        place = config.place(("cache", "semantic", "model"))
        raise ConfigError(f"cache.semantic.model ({place}): needs one more package: pip install 'llm_edge[semantic]'")
    return Alike(wanted.model or "", wanted.threshold)


def _second_tier(config: EdgeConfig, secrets: Resolved, clock: Clock | None) -> SecondTier | None:
    """The store behind the memory, where there is one. Raises ConfigError when it cannot be used."""
    kept = config.cache
    secret = "" if secrets.cache_secret is None else secrets.cache_secret.get_secret_value()
    stale = max(map(_stale, (config, *map(config.for_route, config.routes))))
    if kept.disk.directory is not None:
        from .stores.disk import disk_tier

        return disk_tier(
            kept.disk.directory, bytes=kept.disk.bytes, ttl=kept.disk.ttl, stale=stale, secret=secret, clock=clock
        )
    if secrets.redis_url is not None:
        from .stores.places import place
        from .stores.redis import redis_tier

        where = place(secrets.redis_url.get_secret_value(), ca_file=kept.redis.ca_file)
        return redis_tier(where, secret=secret, prefix=kept.redis.prefix, ttl=kept.redis.ttl, stale=stale, clock=clock)
    return None


def _stale(config: EdgeConfig) -> float:
    """For how long after its end an answer may be of use."""
    return max(config.cache.stale_while_revalidate, config.cache.stale_if_error)


def put_together(dialect: str, heard: bytes) -> Json | None:
    """The whole answer that a stream of this dialect came to; None when it cannot be told."""
    known = replay(dialect)
    if known is None:
        return None
    assembler = known.assembler()
    assembler.feed(heard)
    return assembler.whole()


@cache
def understanding(dialect: str) -> Understanding:
    """What the cache must know of a dialect."""
    known = by_name(dialect)
    assert known is not None, "the cache sees only calls of known dialects"

    def finished(body: Body, usage: Mapping[str, Any] | None) -> Sequence[str] | None:
        reasons = known.finished(body.json)
        # A chat answer that does not say why it ended, or what it cost, is not whole.
        return reasons if known.operation == "embeddings" or (reasons and usage) else None

    # OpenAI's streams tell what was used when they are asked to; all others always do.
    complete = '{"include_usage":true}' if dialect in {"openai.chat", "openai.completions"} else "{}"
    return Understanding(known.watcher, finished, lambda: replay(dialect), complete)
