"""A config of Portkey's gateway: `strategy`, `targets`, `retry`, `cache`, `override_params`; names in either case."""

from __future__ import annotations

import re
from typing import Any

from .draft import Draft, Imported
from .names import compatible, known, strategy
from .reading import Reading

_CLOUD = (
    (("aws_region", "awsRegion"), "region"), (("vertex_project_id", "vertexProjectId"), "project"),
    (("vertex_region", "vertexRegion"), "location"),
    (("azure_resource_name", "resourceName", "resource_name"), "resource"),
    (("azure_api_version", "apiVersion", "api_version"), "api_version"),
)  # fmt: skip
_SECRETS = (
    (("api_key", "apiKey"), "api_key", "API_KEY"),
    (("aws_access_key_id", "awsAccessKeyId"), "access_key_id", "AWS_ACCESS_KEY_ID"),
    (("aws_secret_access_key", "awsSecretAccessKey"), "secret_access_key", "AWS_SECRET_ACCESS_KEY"),
    (("aws_session_token", "awsSessionToken"), "session_token", "AWS_SESSION_TOKEN"),
)  # fmt: skip
_HEADERS = (
    (("openai_organization", "openaiOrganization"), "openai-organization"),
    (("openai_project", "openaiProject"), "openai-project"),
)
_INTEGRATION = re.compile(r"@?([A-Za-z0-9._-]+)")


def from_portkey(document: Any, route: str = "portkey") -> Imported:
    """What a Portkey config comes to: one route of this name, where its targets name their models."""
    old, draft = Reading(document), Draft(document)
    targets = _targets(draft, old)
    if targets:
        tree: dict[str, Any] = {"targets": targets}
        mode = old.section("strategy").text("mode")
        if mode is not None and strategy(mode):
            tree["strategy"] = strategy(mode)
        elif mode is not None:
            old.section("strategy").give_back("mode")
            draft.lose(
                old.section("strategy").at("mode"), "there is no such strategy here; its targets are asked in order"
            )
        wrong = draft.put(tree, "routes", route)
        if wrong:
            draft.lose((*old.path, "targets"), f"they make no route: {wrong}")
        else:
            draft.remark(f"callers ask for the model `{route}` now")
    _rules(draft, old)
    if "cache" not in old:
        draft.put("off", "cache", "policy")
        draft.remark("Portkey kept no answers, so the cache is off; remove `policy` under [cache] to have one")
    return draft.done(old)


def _targets(draft: Draft, place: Reading) -> list[dict[str, Any]]:
    inner = place.each("targets")
    if not inner:
        one = _target(draft, place)
        return [one] if one else []
    found: list[dict[str, Any]] = []
    for each in inner:
        if each.each("targets"):
            draft.lose(each.at("strategy"), "targets within targets became one list")
            found += _targets(draft, each)
        elif (one := _target(draft, each)) is not None:
            found.append(one)
    return found


def _target(draft: Draft, place: Reading) -> dict[str, Any] | None:
    named = place.text("provider") or ""
    virtual = place.text("virtual_key", "virtualKey")
    overridden = place.section("override_params" if "override_params" in place else "overrideParams")
    model = overridden.text("model")
    slug, slash, rest = (model or "").partition("/")
    if slash and slug.startswith("@"):  # the newer way to name an integration: @slug/model
        model, named = rest, named or slug
    match = _INTEGRATION.match(named or virtual or "")
    kind = _kind(match[1]) if match else ""
    settings = _settings(draft, place, kind or "provider")
    if virtual is not None and "api_key" not in settings and kind:
        settings["api_key"] = draft.secret("virtual", f"{kind}_API_KEY", place.path)
    if not kind and "base_url" in settings:
        kind = "openai"
        draft.remark("a provider that is not known here: its address is asked in OpenAI's protocol")
    if not kind:
        if named or virtual or "targets" not in place:
            _returned(place)
            draft.lose(place.path, "its provider is not known here")
        return None
    name, wrong = draft.provider(kind, settings)
    if wrong:
        _returned(place)
        draft.lose(place.path, f"its provider cannot be set up so: {wrong}")
        return None
    if kind == "azure":
        model = place.text("deployment_id", "deploymentId") or model
    if model is None:
        draft.remark(f"a target of {name} names no model: callers ask for `{name}/model` themselves")
        return None
    target: dict[str, Any] = {"target": f"{name}/{model}"}
    weight = place.number("weight")
    if weight is not None:
        target["weight"] = weight
    wrong = draft.refuses([target], "routes", "import", "targets")
    if wrong:
        draft.lose(place.path, f"it cannot be a target: {wrong}")
        return None
    return target


def _kind(named: str) -> str:
    """Our name for a provider, or for the one that a virtual key is called after, as `azure-openai-7f3a1c`."""
    parts = named.split("-")
    return next((kind for many in range(len(parts), 0, -1) if (kind := known("-".join(parts[:many])))), "")


def _returned(place: Reading) -> None:
    for key in ("provider", "virtual_key", "virtualKey"):
        place.give_back(key)


def _settings(draft: Draft, place: Reading, named: str) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    base = place.text("custom_host", "customHost")
    if base is not None:
        settings["base_url"] = compatible(named, base)
    for keys, ours in _CLOUD:
        value = place.text(*keys)
        if value is not None:
            settings[ours] = value
    for keys, ours, variable in _SECRETS:
        value = place.text(*keys)
        if value is not None:
            hint = variable if variable.startswith("AWS") else f"{named}_{variable}"
            key = next(key for key in keys if key in place)
            settings[ours] = draft.secret(value, hint, place.at(key))
    for keys, header in _HEADERS:
        value = place.text(*keys)
        if value is not None:
            settings.setdefault("headers", {})[header] = value
    return settings


def _rules(draft: Draft, old: Reading) -> None:
    """Retries, times and the cache, which here are those of all routes."""
    retry, cache = old.section("retry"), old.section("cache")
    attempts = retry.count("attempts")
    if attempts is not None:
        draft.carry(retry, "attempts", min(max(attempts, 0), 9) + 1, "retry", "attempts")
    for key in ("request_timeout", "requestTimeout"):
        timeout = old.number(key)
        if timeout is not None:
            draft.carry(old, key, timeout / 1e3, "deadline", "total")
    mode = cache.raw("mode")
    if mode == "simple":
        cache.take("mode")
        draft.put("all", "cache", "policy")
    for key in ("max_age", "maxAge"):
        draft.carry(cache, key, cache.number(key), "cache", "ttl")
