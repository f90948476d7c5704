"""What the OpenAPI document promises, asked of the application itself."""

from __future__ import annotations

from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from serve_apps.gateway.routes.openapi import TAGS
from tests.support.gateway_world import Caller, World
from whisperer.access.permissions import SCOPES

HTTP_METHODS = {"get", "put", "post", "delete"}


def operations(world: World) -> list[tuple[str, str, dict[str, Any]]]:
    paths = world.app.openapi()["paths"].items()
    return [(method, path, operation) for path, found in paths for method, operation in found.items()]


@pytest.mark.parametrize("prefix", ["tenant", "operator"])
async def test_everything_below_what_is_not_there_is_404(acme: Caller, world: World, prefix: str) -> None:
    await world.parts.overview.reload()
    mighty = world.plane.create_key(acme.id, "secret", scopes=sorted(SCOPES)).key
    caller = Caller(world, acme.id, "/v1", mighty) if prefix == "tenant" else world.operator(acme)
    asked = 0
    for method, path, operation in operations(world):
        makes = method == "put" and path.endswith(("}", "/draft"))  # a PUT makes what is not there
        no_key_may = prefix == "tenant" and path.endswith(("/approve", "/reject"))
        if "{" not in path or makes or no_key_may or path.endswith("/simulate"):
            continue
        path = (
            path.removeprefix("/v1")
            .replace("{version}", "7")
            .replace("{serial}", "9999")
            .replace("{channel}", "pigeon")
        )
        while "{" in path:
            path = path.partition("{")[0] + "nobody" + path.partition("}")[2]
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
        status, code = await caller.problem(method.upper(), path, body)
        assert (status, code.endswith("not_found")) == (404, True), (method, path, status, code)
        asked += 1
    assert asked > 20


def test_every_operation_names_its_permission(world: World) -> None:
    for method, path, operation in operations(world):
        if path.startswith("/v1/auth/"):  # there a caller says who they are
            continue
        if path.endswith(("/file", "/{token}")):  # there a token says what may be fetched, or whose callback it is
            assert operation["security"] == []
            continue
        is_users_own = path.startswith("/v1/me/")
        is_of_tenant = path.startswith("/v1/") and not path.startswith(("/v1/me/", "/v1/auth/"))
        assert ("x-permission" in operation) == is_of_tenant, (method, path)
        assert (operation.get("security") == [{"user_token": []}]) == is_users_own, (method, path)


def test_the_document_is_valid_and_every_group_of_calls_is_described(world: World) -> None:
    document = world.app.openapi()
    OpenAPIV31SpecValidator(document).validate()
    used = {tag for _, _, operation in operations(world) for tag in operation["tags"]}
    assert used == set(TAGS)
    ids = [operation["operationId"] for _, _, operation in operations(world)]
    assert len(ids) == len(set(ids))
    for method, path, operation in operations(world):
        assert operation["summary"], (method, path)
        assert operation["description"], (method, path)
