"""A gateway without a cluster: the real application and control plane, over shards that are played."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import msgspec

from actors.calls.directory import DirectoryCalls
from actors.calls.learner import LearnerCalls
from actors.calls.learner_views import AnyLearnerStatus, LearnerAway
from actors.calls.map_holder import MapHolder
from actors.calls.partition_map import PartitionMap
from actors.calls.plain import plain
from actors.calls.shards import CallStatus, ShardCalls
from actors.jobs import DecisionAudit, Task
from actors.jobs.simulation_runs import Simulations as SimulationRuns
from cluster.control_plane import ControlPlane
from cluster.launch.installation import Installation
from cluster.launch.ports import ports_of_block
from cluster.settings import load as load_settings
from serve_apps.delivery.sink import Sink
from serve_apps.gateway.api import build
from serve_apps.gateway.http.access import Access
from serve_apps.gateway.metrics.counts import ReplicaCounts
from serve_apps.gateway.metrics.status import Overview
from serve_apps.gateway.services.campaigns import CampaignService
from serve_apps.gateway.services.decisions import DecisionQueries
from serve_apps.gateway.services.explanations import Explanations
from serve_apps.gateway.services.lift_days import LiftDays
from serve_apps.gateway.services.parts import Parts
from serve_apps.gateway.services.policies import Policies
from serve_apps.gateway.services.segments import Publishing
from serve_apps.gateway.services.simulations import Simulations
from serve_apps.gateway.services.users import Users
from tests.support.jobs_here import carried_out, jobs_here
from tests.unit.serve_apps.gateway.statuses import serving
from whisperer.decisions.decision import decision_id
from whisperer.eligibility.standing import Standing
from whisperer.errors import UnavailableError
from whisperer.ids import bare_id
from whisperer.models.store import ArtifactStore
from whisperer.shard.records import ScoreModelChosen
from whisperer.shard.views.user import UserView

OPERATOR = "op_" + "0" * 40


class PlayedPlaces(MapHolder):
    def __init__(self) -> None:
        super().__init__()
        self.current = PartitionMap(1, 2, 2)

    async def refresh(self) -> PartitionMap:
        return self.current


class PlayedLearner(LearnerCalls):
    """``policies`` is what the learner would publish."""

    policies: bytes | None = None

    async def status(self) -> AnyLearnerStatus:
        return LearnerAway("away", "a unit test has none")

    async def learned(self) -> bytes:
        if self.policies is None:
            raise UnavailableError("a unit test has no learner")
        return self.policies


class PlayedShards(ShardCalls):
    """Two shards. ``users`` are there on whichever is asked; ``away`` shards answer nothing."""

    def __init__(self) -> None:
        super().__init__(PlayedPlaces())
        self.calls: list[tuple[Any, ...]] = []
        self.users: dict[str, UserView] = {}
        self.roots: dict[str, str] = {}
        self.decisions: dict[str, dict[str, Any]] = {}
        self.stored: dict[str, dict[str, Any]] = {}
        self.campaigns: dict[str, list[dict[str, Any]]] = {}
        """tenant id -> counts of its campaigns, one entry a shard"""
        self.scoring: dict[tuple[int, str], ScoreModelChosen] = {}
        """what each shard was told to score a tenant's users with, by (shard, tenant id)"""
        self.away: set[int] = set()
        self.stale = 0
        """how many calls of `ask` are refused for an old map"""

    async def until(self, attempt: Callable[[], Any], timeout_s: float, is_done: Any = lambda _: True) -> Any:
        """Three times at once instead of for a while."""
        failure = UnavailableError("a partition is moving")
        for _ in range(3):
            try:
                answer = await attempt()
                if is_done(answer):
                    return answer
            except UnavailableError as error:
                failure = error
        raise failure

    async def call(self, shard: int, method: str, *args: Any, timeout_s: float = 30.0) -> Any:
        self.calls.append((shard, method, *args))
        if shard in self.away:
            raise UnavailableError(f"shard-{shard} died")
        return getattr(self, f"_{method}")(shard, *args)

    def called(self, method: str) -> list[tuple[Any, ...]]:
        return [call for call in self.calls if call[1] == method]

    def _direct_way(self, shard: int) -> Any:
        return CallStatus.OK, None

    def _publish(self, shard: int, *_: Any) -> None:
        return None

    def _choose_score_model(self, shard: int, chosen: ScoreModelChosen) -> None:
        self.scoring[shard, chosen.tenant] = chosen

    def _user(self, shard: int, version: int, tenant: str, key: str, as_of: int | None) -> Any:
        return CallStatus.OK, self.users.get(f"{tenant}/{key}")

    def _root(self, shard: int, version: int, tenant: str, key: str) -> Any:
        return CallStatus.OK, self.roots.get(f"{tenant}/{key}", key)

    def _state_consent(self, shard: int, *_: Any) -> Any:
        return CallStatus.OK, None

    def _erase(self, shard: int, *_: Any) -> Any:
        return CallStatus.OK, None

    def _flush(self, shard: int) -> None:
        return None

    def _ask(self, shard: int, version: int, tenant: str, campaign: str, users: list[tuple[str, str]], _: float) -> Any:
        if self.stale:
            self.stale -= 1
            return "stale_map", 2
        return CallStatus.OK, [self._asked(tenant, key, campaign, occurrence) for key, occurrence in users]

    def _asked(self, tenant: str, key: str, campaign: str, occurrence: str) -> dict[str, Any]:
        id, user = decision_id(tenant, key, campaign, occurrence), self.users.get(f"{tenant}/{key}")
        if user is None or user.moved_to is not None:
            return {"id": id, "user_key": key, "status": "unknown"}
        return view(id, key, campaign, occurrence=occurrence)

    def _decision(self, shard: int, tenant: str, id: str) -> Any:
        found = self.decisions.get(f"{tenant}/{id}")
        return found if found is not None and shard == 1 else None

    def _status(self, shard: int) -> dict[str, Any]:
        tenants = {tenant: {"campaigns": by_shard[shard]} for tenant, by_shard in self.campaigns.items()}
        return {**plain(serving(f"shard-{shard}")), "tenants": tenants}


def view(id: str, key: str, campaign: str, **more: Any) -> dict[str, Any]:
    """A decision as a shard shows it."""
    return {
        "id": id,
        "user_key": key,
        "user_id": bare_id(key),
        "campaign": campaign,
        "campaign_version": 1,
        "trigger": "request",
        "occurrence": "o",
        "at": 1_700_000_000_000,
        "status": "sending",
        "reason": None,
        "refused_arms": {},
        "group": "policy",
        "arm": "tips",
        "propensity": 0.5,
        "arms": ["no_send", "tips"],
        "propensities": [0.5, 0.5],
        "means": [0.0, 0.0],
        "spreads": [1.0, 1.0],
        "seed": 2**64 - 1,
        "policy_version": f"{campaign}@0",
        **{"scores": [], "shadow": [0.0, 0.5], "shadow_version": f"{campaign}@1"},
        "features": {"recency_days": None},
        "chosen_at": 1_700_000_000_020,
        "send": {
            **{"send_key": "snd_1", "channel": "email", "attempts": 0, "next_at": None, "sent_at": None},
            **dict.fromkeys(("last_error", "provider", "provider_id", "content_hash", "locale")),
            "unknown": False,
        },
        "outcomes": [{"at": 1_700_000_000_500, "kind": "opened", "detail": None, "value_micros": 0}],
        "reward_micros": 0,
        "reward": 0.0,
        "matured": False,
        **more,
    }


class World:
    def __init__(self, folder: Path) -> None:
        self.plane = ControlPlane(f"sqlite:///{folder / 'control.db'}")
        self.shards = PlayedShards()
        self.learner = PlayedLearner()
        settings = load_settings(folder, environment={})
        installation = Installation(
            id="i",
            data_dir=str(folder),
            operator_token=OPERATOR,
            link_secret="00" * 32,
            url="http://127.0.0.1:8000",
            ports=ports_of_block(7, settings.server.port),
            settings=settings,
        )
        self.sink = Sink(folder / "sink.db")
        self.models = ArtifactStore(folder / "models", folder / "cache")
        self.jobs = jobs_here(folder / "jobs", self._do)
        self.simulations = SimulationRuns(
            str(folder / "warehouse"), self.jobs, models=str(folder / "models"), spool=str(folder / "cache")
        )
        counts = ReplicaCounts(10)
        overview = Overview(self.shards, self.learner, self.plane, counts)
        publishing = Publishing(self.plane, self.shards, overview, str(folder / "models"))
        users = Users(self.shards, self.sink, self.jobs, str(folder / "warehouse"))
        decisions = DecisionQueries(self.shards, users, self.jobs, str(folder / "warehouse"))
        self.parts = Parts(
            installation,
            self.plane,
            Access(self.plane, OPERATOR, 0.5),
            self.shards,
            DirectoryCalls(),
            overview,
            users,
            publishing,
            CampaignService(self.plane, publishing, overview),
            decisions,
            Explanations(decisions, self.plane, self.models, self.learner),
            self.sink,
            Policies(self.plane, self.models, publishing),
            Simulations(self.plane, self.shards, self.learner, self.simulations),
            LiftDays(self.plane, self.jobs, str(folder / "warehouse")),
        )
        self.app = build(self.parts)

    async def _do(self, task: Task) -> list[bytes]:
        """In this process, and of decisions what the test put into the warehouse."""
        if isinstance(task, DecisionAudit):
            return [msgspec.msgpack.encode(self.shards.stored.get(f"{task.tenant}/{task.decision_id}"))]
        return await carried_out(task)

    def tenant(self, name: str) -> Caller:
        made = self.plane.create_tenant(name)
        return Caller(self, made.id, "/v1", self.plane.create_key(made.id, "secret").key)

    def operator(self, tenant: Caller) -> Caller:
        return Caller(self, tenant.id, f"/internal/tenants/{tenant.id}", OPERATOR)

    def user(self, tenant: Caller, user_id: str, **more: Any) -> None:
        key = f"u:{user_id}"
        self.shards.users[f"{tenant.id}/{key}"] = UserView(key, standing=Standing(), **more)

    def close(self) -> None:
        self.sink.close()
        self.plane.close()


class Caller:
    """Someone with a key, and where that key opens."""

    def __init__(self, world: World, tenant_id: str, prefix: str, key: str) -> None:
        self.id, self._prefix = tenant_id, prefix
        transport = httpx.ASGITransport(app=world.app, raise_app_exceptions=False)
        headers = {"Authorization": f"Bearer {key}"}
        self.http = httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:8000", headers=headers)

    async def __call__(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        content = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
        return await self.http.request(method, self._prefix + path, content=content, **more)

    async def ok(self, method: str, path: str, body: Any = None, **more: Any) -> Any:
        answer = await self(method, path, body, **more)
        assert answer.is_success, answer.text
        return answer.json()

    async def problem(self, method: str, path: str, body: Any = None, **more: Any) -> tuple[int, str]:
        answer = await self(method, path, body, **more)
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        return answer.status_code, answer.json()["code"]
