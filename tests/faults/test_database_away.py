"""PostgreSQL is killed, and made to hang, under a running installation: what goes on, what is refused, and how it ends.

No figure is asserted, but no request may take longer than :data:`PATIENCE_S`: docs/operations.md promises 12 s.
"""

from __future__ import annotations

import json
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest

from cluster.control_plane import ControlPlane
from tests.support.campaigning import TEMPLATES, launch, messages, people, track
from tests.support.gateway_world import Caller, World
from tests.support.postgres_stand import PASSWORD, PostgresServer, postgres_server
from tests.support.stand import ROOT, Stand, Tenant, running, until
from tests.unit.serve_apps.gateway.routes.test_campaigns import CAMPAIGN, SMS
from whisperer.errors import UnavailableError

PATIENCE_S = 30.0
"""The promise, and what a busy machine adds."""


@pytest.fixture(scope="module")
def server() -> Iterator[PostgresServer]:
    with postgres_server() as started:
        yield started


@pytest.fixture(scope="module")
def stand(server: PostgresServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    with running(tmp_path_factory.mktemp("stand"), options=("--database", server.database())) as started:
        yield started


@pytest.fixture(scope="module")
def tenant(stand: Stand) -> Tenant:
    """With a live campaign whose template and channel have been used."""
    made = stand.tenant("acme")
    launch(made, "welcome", {"event": "Joined"})
    made.api.put("/v1/segments/buyers", json={"predicate": {"event": "Paid"}}).raise_for_status()
    joins(made, "before")
    return made


def joins(tenant: Tenant, prefix: str) -> None:
    """Twelve new people join, and somebody of them is written to."""
    users = people(tenant, prefix=prefix)
    track(tenant, "Joined", *users)
    until(lambda: {one["user_id"] for one in messages(tenant)} & set(users), f"a message to one of {prefix}", 90)


def at_once(calls: list[Callable[[], Any]]) -> list[Any]:
    with ThreadPoolExecutor(len(calls)) as pool:
        return [one.result(PATIENCE_S) for one in [pool.submit(call) for call in calls]]


# The control plane alone


@pytest.mark.parametrize("fault", ["kill", "hang"])
def test_whoever_asks_a_database_that_is_away_is_answered_in_time_and_again_when_it_is_back(
    server: PostgresServer, fault: str
) -> None:
    with ControlPlane(server.migrated()) as plane:
        plane.create_tenant("acme")

        def ask(number: int) -> float:
            began = time.monotonic()
            with pytest.raises(UnavailableError) as caught:
                plane.create_tenant(f"t{number}") if number % 2 else plane.list_tenants()
            assert caught.value.retry_after_s == 1.0
            return time.monotonic() - began

        getattr(server, fault)()
        try:
            took = at_once([lambda n=n: ask(n) for n in range(24)])  # type: ignore[misc]
            print(f"{fault}: the longest of 24 calls took {max(took):.1f} s")
            with pytest.raises(UnavailableError, match="cannot be opened"):
                ControlPlane(server.url("postgres"))
        finally:
            server.start() if fault == "kill" else server.go_on()
        until(lambda: _answers(plane), "an answer")
        assert "acme" in [tenant.name for tenant in plane.list_tenants()]
        plane.create_tenant("globex")


def _answers(plane: ControlPlane) -> bool:
    try:
        return plane.version() >= 1
    except UnavailableError:
        return False


# A gateway over shards that are played


@pytest.mark.parametrize("fault", ["kill", "hang"])
async def test_a_gateway_refuses_changes_and_goes_on_with_what_was_published(
    server: PostgresServer, tmp_path: Path, fault: str
) -> None:
    world = World(tmp_path, server.migrated())
    acme = world.tenant("acme")
    await acme.ok("PUT", "/templates/hello", SMS)
    await acme.ok("POST", "/campaigns", {"name": "welcome", "publish": True, **CAMPAIGN})
    await acme.ok("PUT", "/segments/buyers", {"predicate": {"event": "Paid"}})
    world.user(acme, "u1")
    await world.parts.publishing.spread()
    before = {path: await acme.ok("GET", path) for path in READ}
    operator, stranger = world.operator(acme), Caller(world, acme.id, "/v1", "sk_" + "x" * 43)
    getattr(server, fault)()
    try:
        for method, path, body in WRITES:
            for caller in (acme, operator):
                answer = await caller(method, path, body)
                assert (answer.status_code, answer.headers.get("retry-after")) == (503, "1"), (path, answer.text)
                assert answer.json()["code"] == "unavailable"
        assert (await acme("POST", "/segments", {"name": "x"}, headers={"Idempotency-Key": "k"})).status_code == 503
        assert (await stranger("GET", "/campaigns")).status_code == 503
        assert {path: await acme.ok("GET", path) for path in READ} == before
        for path in (
            "/templates",
            "/templates/hello",
            "/channels",
            "/policies",
            "/campaigns/other",
            "/campaigns/welcome?version=1",
        ):
            assert (await acme("GET", path)).status_code == 503, path
        await acme.ok("GET", "/users/u1")
        status = await operator.http.get("/internal/status")
        assert (status.status_code, list(status.json()["tenants"])) == (200, ["acme"])
        assert (await operator.http.get("/metrics")).status_code == 200
        running = (await operator.http.get("/")).text
        assert "database does not answer" in running
    finally:
        server.start() if fault == "kill" else server.go_on()
    until(lambda: _answers(world.plane), "an answer")
    for method, path, body in WRITES:
        assert (await acme(method, path, body)).is_success, path
    assert (await stranger("GET", "/campaigns")).status_code == 401
    world.close()


WRITES: list[tuple[str, str, Any]] = [
    ("PUT", "/templates/hello", SMS),
    ("PUT", "/campaigns/welcome", {**CAMPAIGN, "purpose": "onboarding"}),
    ("POST", "/campaigns/welcome/pause", None),
    ("POST", "/campaigns/welcome/resume", None),
    ("PUT", "/segments/others", {"predicate": {"event": "Paid"}}),
    ("DELETE", "/segments/others", None),
    ("PUT", "/experiment", {"holdout": 0.1}),
    ("PUT", "/channels/sms", {"provider": "sink", "config": {}}),
]
READ = ("/campaigns", "/campaigns/welcome", "/segments", "/segments/buyers", "/experiment")


# The installation


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_the_password_is_nowhere_that_others_may_read(stand: Stand, tenant: Tenant) -> None:
    command = [sys.executable, "-c", "from cluster.cli import main; main()", "up", "--database"]
    url = json.loads((stand.data_dir / "installation.json").read_bytes())["settings"]["control_plane"]["url"]
    assert PASSWORD in url
    again = subprocess.Popen(
        [*command, url, "--data-dir", str(stand.data_dir)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    shown = until(lambda: "***" in (line := _command_line(again.pid)) and line, "a command line without the password")
    assert again.wait(120) == 0
    assert "postgresql://whisperer:***@" in shown
    assert PASSWORD not in shown
    assert stand.processes(having=PASSWORD) == []
    assert PASSWORD not in json.dumps(stand.status())
    assert PASSWORD not in stand.run("status")
    for path in stand.data_dir.rglob("*"):
        if path.is_file() and path.name != "installation.json" and "journal" not in path.parts:
            assert PASSWORD.encode() not in path.read_bytes(), path
    assert stat.S_IMODE((stand.data_dir / "installation.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(stand.data_dir.stat().st_mode) == 0o700


def _command_line(pid: int) -> str:
    with open(f"/proc/{pid}/cmdline", "rb") as file:
        return file.read().replace(b"\0", b" ").decode()


def while_away(stand: Stand, tenant: Tenant, prefix: str) -> None:
    """What goes on and what is refused."""
    stranger = httpx.Client(base_url=stand.url, auth=("wk_" + "x" * 43, ""), timeout=PATIENCE_S)
    tenant.api.timeout = tenant.http.timeout = httpx.Timeout(PATIENCE_S)

    def refused(call: Callable[[], httpx.Response]) -> None:
        answer = call()
        assert (answer.status_code, "retry-after" in answer.headers) == (503, True), answer.text

    writes: list[Callable[[], httpx.Response]] = [
        lambda: tenant.api.put("/v1/templates/sms", json=TEMPLATES["sms"]),
        lambda: tenant.api.post("/v1/campaigns", json={"name": "x"}, headers={"Idempotency-Key": "k"}),
        lambda: tenant.api.put("/v1/segments/others", json={"predicate": {"event": "Paid"}}),
        lambda: tenant.api.put("/v1/experiment", json={"holdout": 0.1}),
        lambda: tenant.api.put("/v1/channels/sms", json={"provider": "sink", "config": {}}),
        lambda: tenant.api.post("/v1/campaigns/welcome/pause"),
        lambda: stranger.post("/v1/track", json={"userId": "u", "event": "e"}),  # who knows whether the key is good
    ]
    at_once([lambda call=call: refused(call) for call in writes for _ in range(4)])  # type: ignore[misc]
    stranger.close()

    joins(tenant, prefix)  # ingestion, decisions, content, delivery
    assert tenant.user(f"{prefix}-1") is not None
    read = {path: tenant.api.get(f"/v1/{path}") for path in (
        "campaigns", "campaigns/welcome", "campaigns/welcome/report", "segments", "segments/buyers", "experiment",
    )}  # fmt: skip
    assert {path: answer.status_code for path, answer in read.items()} == dict.fromkeys(read, 200)
    assert read["campaigns/welcome"].json()["status"] == "live"
    with stand.operator() as operator:
        assert operator.get("/readyz").status_code == 200
        assert operator.get("/internal/status").json()["tenants"]["acme"]["users"] > 0
        away = [line for line in operator.get("/metrics").text.splitlines() if "control_plane_away{" in line]
    assert [line.rpartition(" ")[2] for line in away] in (["1"], ["1.0"])
    for command in (["tenant", "create", "globex"], ["key", "list"]):
        done = subprocess.run(
            [sys.executable, "-c", "from cluster.cli import main; main()", *command, "--data-dir", str(stand.data_dir)],
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=2 * PATIENCE_S,
        )  # fmt: skip
        assert (done.returncode, "Traceback" in done.stderr, PASSWORD in done.stderr) == (3, False, False), done.stderr
        assert "cannot be opened" in done.stderr
        assert "control_plane.url" in done.stderr


def when_back(tenant: Tenant, name: str) -> None:
    """Nobody did anything, and everything works."""
    until(lambda: tenant.api.put("/v1/templates/sms", json=TEMPLATES["sms"]).is_success, "a write", 60)
    until(lambda: tenant.api.post("/v1/campaigns/welcome/pause").is_success, "a pause", 60)
    tenant.api.post("/v1/campaigns/welcome/resume").raise_for_status()
    made = tenant.stand.tenant(name)
    until(lambda: made.post("track", {"userId": "u", "event": "e"}).status_code == 200, "a new key", 60)
    joins(tenant, f"after-{name}")


@pytest.mark.cluster
@pytest.mark.timeout(900)
@pytest.mark.parametrize("fault", ["kill", "hang"])
def test_events_messages_and_reads_go_on_and_changes_are_refused(
    stand: Stand, tenant: Tenant, server: PostgresServer, fault: str
) -> None:
    getattr(server, fault)()
    try:
        while_away(stand, tenant, fault)
    finally:
        server.start() if fault == "kill" else server.go_on()
    when_back(tenant, f"t-{fault}")


@pytest.mark.cluster
@pytest.mark.timeout(900)
def test_shards_and_gateways_that_start_while_it_is_away_serve_what_was_published(
    stand: Stand, tenant: Tenant, server: PostgresServer
) -> None:
    server.kill()
    try:
        stand.kill_shard(0)
        joins(tenant, "shard")
        stand.kill("ray::ServeReplica:gateway")
        until(lambda: _ready(stand), "a gateway that is ready", 120)
        joins(tenant, "gateway")
        assert tenant.api.put("/v1/templates/sms", json=TEMPLATES["sms"]).status_code == 503
        for application in ("content", "delivery", "decisions"):
            stand.kill(f"ray::ServeReplica:{application}")
        users = people(tenant, prefix="waits")
        track(tenant, "Joined", *users)
    finally:
        server.start()
    until(lambda: {one["user_id"] for one in messages(tenant)} & set(users), "a message that waited", 120)
    when_back(tenant, "t-started")


def _ready(stand: Stand) -> bool:
    try:
        return httpx.get(f"{stand.url}/readyz", timeout=PATIENCE_S).status_code == 200
    except httpx.HTTPError:
        return False
