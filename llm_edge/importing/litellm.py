"""The configuration of LiteLLM's proxy: `model_list`, `litellm_settings`, `router_settings`, `general_settings`."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from . import litellm_settings
from .draft import REFERENCE, Draft, Imported
from .names import compatible, known, parted, strategy
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
_LIMITS = (
    ("rpm", "requests_per_minute"), ("tpm", "tokens_per_minute"), ("max_parallel_requests", "concurrency"),
)  # fmt: skip
_PRIVATE = re.compile(r"auth|key|token|secret|password|cookie|credential|signature", re.IGNORECASE)
_OPAQUE = re.compile(r"\b(?:sk|pk)-|\b(?:bearer|basic) |[A-Za-z0-9+/=_]{20}", re.IGNORECASE)
"""Names of headers that hold secrets, and values that look like one whatever the name."""
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
    aliases = router.section("model_group_alias")
    for alias in map(str, fields(aliases.value)):
        more = aliases.section(alias)  # the longer way to write one: {model: …, hidden: true}
        meant = aliases.text(alias) or more.text("model")
        if meant in groups and alias not in groups:
            groups[alias] = groups[meant]
        else:
            aliases.give_back(alias)
            more.give_back("model")
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


def _deployment(draft: Draft, entry: Reading, groups: dict[str, Group]) -> None:
    params = entry.section("litellm_params")
    name, model = entry.text("model_name"), params.text("model")
    if name is None or model is None:
        for reading, key in ((entry, "model_name"), (params, "model")):
            reading.give_back(key)
        draft.lose(entry.path, "it names no model")
        return
    if name == model == "*":
        draft.remark("`*` needs no route: any model of a provider whose key is set is asked as `provider/model`")
        return
    given, bare = _parted(params, model)
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
    _beside(draft, entry, params, group, f"{provider}/{bare}")


def _parted(params: Reading, model: str) -> tuple[str, str]:
    """The provider and its model; who names the provider apart may leave it out of the model."""
    given = params.text("custom_llm_provider")
    if given is None or not known(given):
        params.give_back("custom_llm_provider")
        return parted(model)
    return given, model.removeprefix(f"{given}/")


def _settings(draft: Draft, params: Reading, given: str) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    base = params.text("api_base", "base_url")
    if base is not None and base.startswith("os.environ/"):
        draft.remark(f"an address stands in the variable {base[11:]}: write it as base_url of the provider `{given}`")
    elif base is not None:
        settings["base_url"] = compatible(known(given), base)
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
    file = params.text("vertex_credentials")
    if (
        file is not None
        and file.endswith(".json")
        and not draft.refuses({"kind": "vertex", "credentials_file": file}, "providers", "import")
    ):
        settings["credentials_file"] = file
    else:
        params.give_back("vertex_credentials")
    headers = _headers(draft, params, given)
    organization = params.text("organization")
    if organization is not None:
        headers["openai-organization"] = _referred(organization)
    if headers:
        settings["headers"] = headers
    return settings


def _headers(draft: Draft, params: Reading, given: str) -> dict[str, str]:
    """What is sent with each call besides; what may be a secret becomes a variable."""
    found: dict[str, str] = {}
    for key in ("headers", "extra_headers"):
        section = params.section(key)
        for name in map(str, fields(section.value)):
            value = section.text(name)
            if value is None:
                continue
            if not value.startswith(REFERENCE) and (_PRIVATE.search(name) or _OPAQUE.search(value)):
                told = draft.secret(value, f"{given}_{name}", section.at(name))
            else:
                told = _referred(value)
            wrong = draft.refuses({"kind": "openai", "headers": {name: told}}, "providers", "import")
            if wrong:
                section.give_back(name)
                draft.lose(section.at(name), f"it cannot be sent: it {wrong.rpartition('): ')[2]}")
            else:
                found[name] = told
    return found


def _referred(value: str) -> str:
    """A value, or the variable that LiteLLM names in its place."""
    return f"env:{value.removeprefix(REFERENCE)}" if value.startswith(REFERENCE) else value


def _beside(draft: Draft, entry: Reading, params: Reading, group: Group, target: str) -> None:
    """What stands with a deployment besides its address."""
    for key in ("max_retries", "num_retries", "timeout"):
        if key not in params:
            continue
        if (group.timeout if key == "timeout" else group.attempts) is not None:
            draft.lose(params.at(key), "another deployment of this model, or another key, sets it")
        elif key == "timeout":
            group.timeout = params.number(key)
        else:
            retries = params.count(key)
            group.attempts = None if retries is None else min(max(retries, 0), 9) + 1
    for theirs, ours in _LIMITS:
        draft.carry(params, theirs, params.number(theirs), "limits", f"model:{target}", ours)
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
        # It holds for each try: without a total there would be time for no other one, or not even for the first.
        tries = group.attempts or litellm_settings.TRIES
        route["deadline"] = {"attempt": group.timeout, "total": group.timeout * tries}
    wrong = draft.put(route, "routes", name)
    if wrong:
        draft.remark(f"retries, time and strategy of `{name}` cannot be used here: {wrong}")
