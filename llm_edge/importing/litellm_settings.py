"""What LiteLLM sets for all models: fallbacks, times, retries, cache, limits, the master key."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from .draft import Draft
from .reading import Reading, fields, items, spoken


class HasTargets(Protocol):
    """A model name's deployments."""

    targets: list[dict[str, Any]]


TRIES = 2
"""For how many tries there is time where no number is set: one that hangs, and one elsewhere."""
_FALLBACKS = ("fallbacks", "context_window_fallbacks", "content_policy_fallbacks")
_WINDOWS = {"1m": "usd_per_minute", "60s": "usd_per_minute", "1h": "usd_per_hour", "24h": "usd_per_day",
            "1d": "usd_per_day", "30d": "usd_per_month", "1mo": "usd_per_month"}  # fmt: skip


def fallbacks(draft: Draft, old: Reading, groups: Mapping[str, HasTargets]) -> None:
    """Who is asked in place of whom; names of models become their targets."""
    for section in (old.section("litellm_settings"), old.section("router_settings")):
        for kind in _FALLBACKS:
            for item in section.each(kind):
                for name in list(fields(item.value)):
                    _fallback(draft, item, str(name), kind, groups)
        default = section.raw("default_fallbacks")
        targets = _targets(default, groups)
        for name in draft.tree.get("routes", {}) if targets else ():
            if "fallbacks" not in draft.tree["routes"][name]:
                others = [each for each in targets if each not in _own(draft, name)]
                if others and not draft.put(others, "routes", name, "fallbacks"):
                    section.take("default_fallbacks")


def _fallback(draft: Draft, item: Reading, name: str, kind: str, groups: Mapping[str, HasTargets]) -> None:
    targets = _targets(item.raw(name), groups)
    if not targets or name not in draft.tree.get("routes", {}):
        draft.lose(item.at(name), "it names a model that is not in the list")
        return
    item.take(name)
    draft.carry(item, name, targets, "routes", name, kind)


def _targets(names: Any, groups: Mapping[str, HasTargets]) -> list[str]:
    """The targets of these models; none when one of them is not known."""
    found: list[str] = []
    for name in items(names):
        group = groups.get(name) if isinstance(name, str) else None
        if group is None or not group.targets:
            return []
        found += [target["target"] for target in group.targets if target["target"] not in found]
    return found


def _own(draft: Draft, name: str) -> Sequence[str]:
    return [target["target"] for target in draft.tree["routes"][name].get("targets", [])]


def settings(draft: Draft, old: Reading) -> None:
    """Everything that is not about one model."""
    library, router, general = (old.section(f"{name}_settings") for name in ("litellm", "router", "general"))
    for section in (router, library):
        retries = section.count("num_retries")
        if retries is not None:
            draft.carry(section, "num_retries", min(max(retries, 0), 9) + 1, "retry", "attempts")
        allowed = section.count("allowed_fails")
        if allowed is not None:
            draft.carry(section, "allowed_fails", allowed + 1, "breaker", "failures")
        draft.carry(section, "cooldown_time", section.number("cooldown_time"), "breaker", "open_for")
    _times(draft, router, library)
    for key, scope in (("global_max_parallel_requests", "global"), ("max_parallel_requests", "model")):
        draft.carry(general, key, general.count(key), "limits", scope, "concurrency")
    largest = general.number("max_request_size_mb")
    if largest is not None:
        draft.carry(general, "max_request_size_mb", int(largest * 2**20), "serve", "max_body")
    drop = library.flag("drop_params")
    if drop is not None:
        draft.put("drop" if drop else "reject", "on_unsupported_param")
    for section in (library, general):
        _budget(draft, section)
    _callbacks(draft, library)
    _cache(draft, library)
    _store(draft, router)
    master = general.text("master_key")
    if master is not None:
        reference = draft.secret(master, "LITELLM_MASTER_KEY", general.at("master_key"))
        draft.carry(general, "master_key", [reference], "serve", "auth", "keys")
    variables = old.section("environment_variables")
    for name in fields(variables.value):
        draft.lose(variables.at(str(name)), "set it in the environment of the process")


def _times(draft: Draft, router: Reading, library: Reading) -> None:
    """LiteLLM's `timeout` is a whole call's time, its `request_timeout` that of each try."""
    draft.carry(router, "timeout", router.number("timeout"), "deadline", "total")
    key = "request_timeout"
    each = library.number(key)
    if draft.carry(library, key, each, "deadline", "attempt") and each is not None and "timeout" not in router:
        tries = draft.tree.get("retry", {}).get("attempts", TRIES)
        draft.carry(library, key, each * tries, "deadline", "total")


def _budget(draft: Draft, section: Reading) -> None:
    limit = section.number("max_budget")
    if limit is None:
        return
    lasting = section.raw("budget_duration")
    window = _WINDOWS.get(lasting, "") if isinstance(lasting, str) else "usd_total"
    if lasting is not None and window:
        section.take("budget_duration")
    if not window:
        draft.lose(section.at("budget_duration"), "budgets last a minute, an hour, a day, a month or for ever")
    draft.carry(section, "max_budget", limit, "budgets", "global", window or "usd_total")


def _callbacks(draft: Draft, library: Reading) -> None:
    for key in ("callbacks", "success_callback", "failure_callback", "service_callback"):
        names = items(library.raw(key))
        if names and all(name == "prometheus" for name in names):
            library.take(key)
            draft.put(True, "serve", "metrics")


def _cache(draft: Draft, library: Reading) -> None:
    params = library.section("cache_params")
    on = library.flag("cache")
    if not on:
        draft.put("off", "cache", "policy")
        draft.remark("LiteLLM kept no answers, so the cache is off; remove `policy` under [cache] to have one")
        return
    if params.raw("mode") == "default_off":
        draft.put("off", "cache", "policy")
        draft.lose(params.at("mode"), "there, only who asked for it was given kept answers: the cache is off here")
    else:
        draft.put("all", "cache", "policy")
        if params.raw("mode") == "default_on":
            params.take("mode")
    kind = params.raw("type")
    ttl = params.number("ttl")
    draft.carry(params, "ttl", ttl, "cache", "ttl")
    if kind == "local":
        params.take("type")
    elif kind in ("redis", "redis-cluster"):
        secret = draft.put("env:LLM_EDGE_CACHE_SECRET", "cache", "secret")
        url = draft.put("env:REDIS_URL", "cache", "redis", "url")
        if not (secret or url):
            params.take("type")
            _address_told(draft, params)
            draft.remark("answers in a Redis are signed: set the variable LLM_EDGE_CACHE_SECRET to a random text")
            if ttl is not None:
                draft.put(ttl, "cache", "redis", "ttl")
    elif kind == "disk":
        directory = params.text("disk_cache_dir")
        if not draft.put(directory or "~/.cache/llm-edge", "cache", "disk", "directory"):
            params.take("type")


def _store(draft: Draft, router: Reading) -> None:
    """The Redis that several proxies count in."""
    if ("redis_host" in router or "redis_url" in router) and not draft.put(
        {"kind": "redis", "url": "env:REDIS_URL"}, "store"
    ):
        _address_told(draft, router, "redis_")


_ADDRESS = re.compile(r"[A-Za-z0-9.-]{1,253}")


def _address_told(draft: Draft, section: Reading, prefix: str = "") -> None:
    host = section.raw(f"{prefix}host")
    shown = host if isinstance(host, str) and _ADDRESS.fullmatch(host) else "HOST"
    said = [
        f"{prefix}{key}"
        for key in ("host", "port", "username", "password", "db", "ssl", "url")
        if f"{prefix}{key}" in section
    ]
    for key in said:
        section.take(key)
    draft.remark(
        f"set the variable REDIS_URL to where {spoken(section.path)} says ({', '.join(said) or 'its defaults'}):"
        f" redis://:PASSWORD@{shown}:6379/0, or rediss:// with TLS"
    )
