"""The configuration of LiteLLM's proxy: `model_list`, `litellm_settings`, `router_settings`, `general_settings`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from . import litellm_settings
from .draft import Draft, Imported
from .names import known, parted, strategy
from .reading import Reading, fields

_CLOUD = (
    ("api_version", "api_version"), ("aws_region_name", "region"), ("aws_profile_name", "profile"),
    ("vertex_project", "project"), ("vertex_location", "location"), ("tenant_id", "tenant_id"),
    ("client_id", "client_id"),
)  # fmt: skip
_SECRETS = (
    ("api_key", "api_key", "API_KEY"), ("aws_access_key_id", "access_key_id", "AWS_ACCESS_KEY_ID"),
    ("aws_secret_access_key", "secret_access_key", "AWS_SECRET_ACCESS_KEY"),
    ("aws_session_token", "session_token", "AWS_SESSION_TOKEN"), ("client_secret", "client_secret", "CLIENT_SECRET"),
)  # fmt: skip
_PRICES = (
    ("input_cost_per_token", "input"), ("output_cost_per_token", "output"),
    ("cache_read_input_token_cost", "cache_read"), ("cache_creation_input_token_cost", "cache_write"),
)  # fmt: skip


@dataclass(slots=True)
class Group:
    """The deployments that one model name stands for."""

    targets: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    attempts: int | None = None
    timeout: float | None = None


def from_litellm(document: Any) -> Imported:
    """What a LiteLLM configuration comes to."""
    old, draft = Reading(document), Draft(document)
    groups: dict[str, Group] = {}
    for entry in old.each("model_list"):
        _deployment(draft, entry, groups)
    router = old.section("router_settings")
    for alias, meant in _aliases(router):
        if meant in groups and alias not in groups:
            groups[alias] = groups[meant]
            router.section("model_group_alias").take(alias)
    chosen = router.text("routing_strategy")
    shared = any(len(group.targets) > 1 for group in groups.values())
    if chosen is not None and not (shared and strategy(chosen)):
        router.give_back("routing_strategy")
        why = "there is no such strategy here" if shared else "no model has more than one deployment"
        draft.lose(router.at("routing_strategy"), why)
    for name, group in groups.items():
        if group.targets:
            _route(draft, name, group, strategy(chosen or "") or "weighted")
    litellm_settings.fallbacks(draft, old, groups)
    litellm_settings.settings(draft, old)
    return draft.done(old)


def _aliases(router: Reading) -> list[tuple[str, str]]:
    aliases = fields(router.raw("model_group_alias"))
    return [(str(alias), group) for alias, group in aliases.items() if isinstance(group, str)]


def _deployment(draft: Draft, entry: Reading, groups: dict[str, Group]) -> None:
    params = entry.section("litellm_params")
    name, model = entry.text("model_name"), params.text("model")
    if name is None or model is None:
        for reading, key in ((entry, "model_name"), (params, "model")):
            reading.give_back(key)
        draft.lose(entry.path, "it names no model")
        return
    given, bare = parted(model)
    settings = _settings(draft, params, given)
    kind = known(given) or ("openai" if "base_url" in settings else "")
    if not kind:
        draft.lose(entry.path, f"its provider is not known here, and it names no api_base: `{given}`")
        return
    if kind != known(given):
        draft.remark(f"`{given}` is not known here: its address is asked in OpenAI's protocol")
    provider, wrong = draft.provider(kind, settings)
    if wrong:
        draft.lose(params.path, f"its provider cannot be set up so: {wrong}")
        return
    if "*" in name or "*" in bare:
        draft.remark(f"`{name}` needs no route: any model of {provider} is asked as `{provider}/model`")
        return
    group = groups.setdefault(name, Group())
    target: dict[str, Any] = {"target": f"{provider}/{bare}"}
    weight = params.number("weight")
    if weight is not None:
        target["weight"] = weight
    wrong = draft.put([*group.targets, target], "routes", name, "targets")
    if wrong:
        draft.lose(entry.path, f"it cannot be a target: {wrong}")
        return
    group.targets.append(target)
    _beside(draft, entry, params, group, provider, f"{provider}/{bare}")


def _settings(draft: Draft, params: Reading, given: str) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    base = params.text("api_base", "base_url")
    if base is not None and base.startswith("os.environ/"):
        draft.remark(f"an address stands in the variable {base[11:]}: write it as base_url of the provider `{given}`")
    elif base is not None:
        settings["base_url"] = base
    for theirs, ours in _CLOUD:
        value = params.text(theirs)
        if value is not None and value.startswith("os.environ/"):
            draft.remark(f"{theirs} stands in the variable {value[11:]}: write it as {ours} of the provider `{given}`")
        elif value is not None:
            settings[ours] = value
    for theirs, ours, variable in _SECRETS:
        value = params.text(theirs)
        if value is not None:
            hint = variable if variable.startswith("AWS") else f"{given}_{variable}"
            settings[ours] = draft.secret(value, hint, params.at(theirs))
    organization = params.text("organization")
    if organization is not None:
        value = f"env:{organization[11:]}" if organization.startswith("os.environ/") else organization
        settings["headers"] = {"openai-organization": value}
    return settings


def _beside(draft: Draft, entry: Reading, params: Reading, group: Group, provider: str, target: str) -> None:
    """What stands with a deployment besides its address."""
    for key in ("max_retries", "num_retries", "timeout"):
        if (group.timeout if key == "timeout" else group.attempts) is not None and key in params:
            draft.lose(params.at(key), "another deployment of this model, or another key, sets it")
        elif key == "timeout":
            group.timeout = params.number(key)
        else:
            retries = params.count(key)
            group.attempts = None if retries is None else min(max(retries, 0), 9) + 1
    for theirs, ours in (("rpm", "requests_per_minute"), ("tpm", "tokens_per_minute")):
        limit = params.number(theirs)
        if draft.carry(params, theirs, limit, "limits", f"provider:{provider}", ours):
            draft.remark(f"{theirs} of `{target}` became a limit on its provider `{provider}`")
    _prices(draft, entry.section("model_info"), target)
    _prices(draft, params, target)


def _prices(draft: Draft, place: Reading, target: str) -> None:
    found = {ours: price for theirs, ours in _PRICES if (price := place.number(theirs)) is not None}
    if not found:
        return
    table = {"input": 0, "output": 0, **{name: round(price * 1e6, 9) for name, price in found.items()}}
    wrong = draft.put(table, "prices", "models", target)
    for theirs, ours in _PRICES:
        if wrong and ours in found:
            place.give_back(theirs)
            draft.lose(place.at(theirs), f"its value cannot be used here: {wrong}")


def _route(draft: Draft, name: str, group: Group, chosen: str) -> None:
    route: dict[str, Any] = {"targets": group.targets}
    if len(group.targets) > 1:
        route["strategy"] = chosen
    if group.attempts is not None:
        route["retry"] = {"attempts": group.attempts}
    if group.timeout is not None:
        route["deadline"] = {"attempt": group.timeout}
    wrong = draft.put(route, "routes", name)
    if wrong:
        draft.remark(f"retries, time and strategy of `{name}` cannot be used here: {wrong}")
