"""Whatever two tenants do in whichever order, each sees exactly what it would see alone."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cluster.control_plane import ControlPlane
from serve_apps.gateway.routes.templates import EXAMPLE as TEMPLATE
from tests.support.gateway_world import Caller, World
from whisperer.journeys.schema import EXAMPLE

CAMPAIGN = EXAMPLE

NAMES = ("one", "two")
SEEN = ("/segments", "/campaigns", "/templates", "/channels", "/experiment", "/policies", "/audit")
OF_THIS_RUN = {
    "actor",
    "callback_url",
    "by",
    "id",
    "at",
    "previous",
    "hash",
    "etag",
    "request_id",
    "resource_id",
    "operation",
    "shown",
    "salt",
}
"""What is different each time: ids, times and what is made of them."""

Operation = tuple[str, str, Any]

operations: st.SearchStrategy[Operation] = st.one_of(
    st.tuples(
        st.just("PUT"),
        st.sampled_from([f"/segments/{name}" for name in NAMES]),
        st.builds(
            lambda plan: {"predicate": {"trait": "plan", "op": "eq", "value": plan}}, st.sampled_from(["free", "pro"])
        ),
    ),
    st.tuples(st.just("DELETE"), st.sampled_from([f"/segments/{name}" for name in NAMES]), st.none()),
    st.tuples(st.just("PUT"), st.just("/templates/tips-email"), st.just(TEMPLATE)),
    st.tuples(st.just("PUT"), st.sampled_from([f"/campaigns/{name}" for name in NAMES]), st.just(CAMPAIGN)),
    st.tuples(
        st.just("POST"),
        st.builds(
            lambda name, action: f"/campaigns/{name}/{action}",
            st.sampled_from(NAMES),
            st.sampled_from(["publish", "pause", "resume", "end"]),
        ),
        st.none(),
    ),
    st.tuples(
        st.just("PUT"), st.just("/experiment"), st.builds(lambda share: {"holdout": share}, st.sampled_from([0.1, 0.2]))
    ),
    st.tuples(
        st.just("PUT"),
        st.just("/channels/email"),
        st.builds(
            lambda host: {"provider": "smtp", "config": {"host": host, "port": 25, "sender": "a@example.com"}},
            st.sampled_from(["a.example.com", "b.example.com"]),
        ),
    ),
)


async def does(caller: Caller, operation: Operation) -> tuple[int, Any]:
    method, path, body = operation
    answer = await caller(method, path, body)
    return answer.status_code, shown(answer.json() if answer.content else None)


async def sees(caller: Caller) -> dict[str, Any]:
    return {path: shown(await caller.ok("GET", path)) for path in SEEN}


def shown(document: Any) -> Any:
    if isinstance(document, dict):
        return {
            name: shown(value)
            for name, value in document.items()
            if name not in OF_THIS_RUN and not name.endswith(("_at", "_by", "_id"))
        }
    return [shown(one) for one in document] if isinstance(document, list) else document


async def alone(folder: Path, name: str, asked: list[Operation]) -> tuple[list[Any], dict[str, Any]]:
    world = World(folder, f"sqlite:///{folder}/control.db")
    caller = world.tenant(name)
    answers = [await does(caller, operation) for operation in asked]
    seen = await sees(caller)
    world.close()
    return answers, seen


async def together(folder: Path, asked: list[tuple[str, Operation]]) -> dict[str, tuple[list[Any], dict[str, Any]]]:
    world = World(folder, f"sqlite:///{folder}/control.db")
    callers = {name: world.tenant(name) for name in ("acme", "globex")}
    answers: dict[str, list[Any]] = {name: [] for name in callers}
    for name, operation in asked:
        answers[name].append(await does(callers[name], operation))
    seen = {name: (answers[name], await sees(caller)) for name, caller in callers.items()}
    world.close()
    return seen


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database just migrated: migrating one for each example takes longer than the rest."""
    path = tmp_path_factory.mktemp("empty") / "control.db"
    ControlPlane(f"sqlite:///{path}").close()
    return path


@settings(max_examples=5, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(["acme", "globex"]), operations), min_size=2, max_size=10))
def test_each_tenant_sees_what_it_would_see_alone(
    tmp_path_factory: Any, empty: Path, asked: list[tuple[str, Operation]]
) -> None:
    def fresh() -> Path:
        folder: Path = tmp_path_factory.mktemp("world")
        shutil.copy(empty, folder / "control.db")
        return folder

    both = asyncio.run(together(fresh(), asked))
    for name, found in both.items():
        expected = asyncio.run(alone(fresh(), name, [operation for whose, operation in asked if whose == name]))
        assert msgspec.json.encode(found) == msgspec.json.encode(expected)
