"""`/openapi.json`: valid, whole, and true of the real server."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from openapi_spec_validator import validate
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from starlette.routing import Route

from llm_edge.runtime import ThreadClock
from llm_edge.serve.auth import LockedDoor
from llm_edge.serve.calls import PATHS
from llm_edge.serve.keyfile import KeyFile
from llm_edge.serve.keys import KeyStore
from llm_edge.serve.operations import OPERATIONS
from llm_edge.testing import Provider, answer, embeddings

from .conftest import App, toml
from .kit import Process, running

Make = Callable[..., App]
NOT_TOLD = {"/dashboard", "/docs", "/openapi.json", "/assets/{name}", "/v1/{rest}"}
"""Pages for people, and paths that belong to a provider."""


def test_it_is_valid(sidecar: Make) -> None:
    said = sidecar()("GET", "/openapi.json")
    assert said.status == 200
    validate(said.json)
    assert said.json["openapi"].startswith("3.1")
    names = [one["operationId"] for path in said.json["paths"].values() for one in path.values()]
    assert len(names) == len(set(names))


def test_everything_that_is_served_stands_in_it(sidecar: Make, tmp_path: Path) -> None:
    keys = KeyStore(KeyFile(tmp_path / "keys.db"), ThreadClock())
    app = sidecar(door=LockedDoor({}, keys, None))
    told = app("GET", "/openapi.json").json["paths"]
    routes = [route for route in app.app.paths.routes if isinstance(route, Route)]
    served = {re.sub(r":\w+}", "}", route.path): route for route in routes}
    assert {path for path in served if path not in NOT_TOLD} <= set(told)
    assert set(PATHS) <= set(told)
    for route in routes:
        path = re.sub(r":\w+}", "}", route.path)
        if path not in NOT_TOLD:
            assert {method.lower() for method in (route.methods or set()) - {"HEAD"}} <= set(told[path])
    assert {each.path for each in OPERATIONS if each.tag != "Admin"} == {path for path in told if "/admin" not in path}
    keys.close()


def test_what_is_switched_off_does_not_stand_in_it(sidecar: Make) -> None:
    told = sidecar(serve={"dashboard": False})("GET", "/openapi.json").json
    assert "/admin/live" not in told["paths"]
    assert told["security"] == []
    assert sidecar(serve={"docs": False})("GET", "/openapi.json").status == 404
    assert sidecar(serve={"docs": False})("GET", "/docs").status == 404


def test_mounted_it_says_where(sidecar: Make) -> None:
    assert sidecar()("GET", "/openapi.json").json["servers"] == [{"url": "/"}]


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Process, Any, str]]:
    """A real server with keys, a provider that answers everything, and what the server says of itself."""
    folder = tmp_path_factory.mktemp("described")
    keys = KeyStore(KeyFile(folder / "keys.db"), ThreadClock())
    key = keys.create("test", permissions=["call", "admin", "metrics", "health"])[0]
    keys.close()
    provider = Provider(lambda call: embeddings() if "mbed" in call.path else answer("Paris."), remember=5)
    with provider.serve() as upstream:
        more = f'[breaker]\nenabled = true\n[serve.auth]\ndatabase = "{folder / "keys.db"}"\n'
        with running(folder, toml(upstream.url, more)) as process:
            yield process, schemathesis.openapi.from_url(f"{process.url}/openapi.json"), key


CHECKS: list[Any] = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance,
]  # fmt: skip


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE], ids=["sense", "nonsense"])
def test_the_server_keeps_to_it_whatever_is_asked(mode: Any, described: tuple[Process, Any, str]) -> None:
    process, schema, key = described
    asked: set[str] = set()
    for found in schema.get_all_operations():
        operation = found.ok()
        try:
            cases = operation.as_strategy(generation_mode=mode)
            _ask_all(cases, process.url, key)
        except Unsatisfiable:
            assert mode is GenerationMode.NEGATIVE, operation.label  # nothing can be wrong about it
        asked.add(operation.label)
    assert len(asked) >= 25


def _ask_all(cases: Any, url: str, key: str) -> None:
    @settings(
        max_examples=2, deadline=None, database=None, derandomize=True, phases=[Phase.generate],
        suppress_health_check=[
            HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large, HealthCheck.nested_given,
        ],
    )  # fmt: skip
    @given(case=cases)
    def ask(case: Any) -> None:
        body = case.body
        if isinstance(body, dict) and "/" in str(body.get("model", "")):
            body["model"] = "fast"  # a provider that nobody has is a 503
        case.call_and_validate(base_url=url, headers={"authorization": f"Bearer {key}"}, checks=CHECKS)

    ask()
