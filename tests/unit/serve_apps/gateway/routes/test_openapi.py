"""What the OpenAPI document promises, asked of the application itself."""

from __future__ import annotations

from typing import Any

import pytest

from tests.support.gateway_world import Caller, World

HTTP_METHODS = {"get", "put", "post", "delete"}


def operations(world: World) -> list[tuple[str, str, dict[str, Any]]]:
    paths = world.app.openapi()["paths"].items()
    return [(method, path, operation) for path, found in paths for method, operation in found.items()]


@pytest.mark.parametrize("prefix", ["tenant", "operator"])
async def test_everything_below_what_is_not_there_is_404(acme: Caller, world: World, prefix: str) -> None:
    await world.parts.overview.reload()
    caller = acme if prefix == "tenant" else world.operator(acme)
    asked = 0
    for method, path, operation in operations(world):
        makes = method == "put" and path.endswith("}")  # a PUT makes what is not there
        if "{" not in path or makes or path.endswith("/simulate"):
            continue
        path = path.removeprefix("/v1").replace("{version}", "7").replace("{channel}", "pigeon")
        while "{" in path:
            path = path.partition("{")[0] + "nobody" + path.partition("}")[2]
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
        status, code = await caller.problem(method.upper(), path, body)
        assert (status, code.endswith("not_found")) == (404, True), (method, path, status, code)
        asked += 1
    assert asked > 20
