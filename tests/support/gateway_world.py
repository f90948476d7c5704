"""A gateway without a cluster: the real application and control plane, over shards that are played."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from functools import cached_property
from pathlib import Path
from typing import Any

import httpx
import msgspec
from fastapi import FastAPI

from actors.calls.directory import DirectoryCalls
from actors.calls.learner import LearnerCalls
from actors.calls.learner_views import AnyLearnerStatus, LearnerAway
from actors.calls.map_holder import MapHolder
from actors.calls.partition_map import PartitionMap
from actors.calls.plain import Plain, plain
from actors.calls.provider_states import DeliveryReport
from actors.calls.shard_tail import ShardTail
from actors.calls.shards import CallStatus, ShardCalls
from actors.jobs import DecisionAudit, Task
from actors.jobs.export_runs import Exports as ExportRuns
from actors.jobs.simulation_runs import Simulations as SimulationRuns
from actors.limiter import Ask, Lease, Limiter
from cluster.control_plane import ControlPlane
from cluster.launch.installation import Installation
from cluster.launch.ports import ports_of_block
from cluster.settings import load as load_settings
from serve_apps.delivery.adapters import maker
from serve_apps.delivery.attempts import AttemptFile, Attempts
from serve_apps.delivery.deliveries import Deliveries
from serve_apps.delivery.routing import Routing
from serve_apps.delivery.sink import Sink, SinkProvider
from serve_apps.gateway.api import build
from serve_apps.gateway.http.access import Access
from serve_apps.gateway.http.issuers import TrustedIssuers
from serve_apps.gateway.http.limits import Limits
from serve_apps.gateway.metrics.counts import ReplicaCounts
from serve_apps.gateway.metrics.status import Overview
from serve_apps.gateway.services.analytics import Analytics
from serve_apps.gateway.services.callbacks import Callbacks
from serve_apps.gateway.services.campaigns import CampaignService
from serve_apps.gateway.services.decisions import DecisionQueries
from serve_apps.gateway.services.deliveries import DeliveryQueries
from serve_apps.gateway.services.dispatching import Dispatching
from serve_apps.gateway.services.explanations import Explanations
from serve_apps.gateway.services.export_gathering import Gatherer
from serve_apps.gateway.services.exports import Exports
from serve_apps.gateway.services.inbox import Inboxes
from serve_apps.gateway.services.lift_days import LiftDays
from serve_apps.gateway.services.login import Login
from serve_apps.gateway.services.parts import Parts
from serve_apps.gateway.services.policies import Policies
from serve_apps.gateway.services.quality import QualityReports
from serve_apps.gateway.services.saved_reports import SavedReportService
from serve_apps.gateway.services.segments import Publishing
from serve_apps.gateway.services.signing_in import SigningIn
from serve_apps.gateway.services.simulations import Simulations
from serve_apps.gateway.services.sns import SnsClient
from serve_apps.gateway.services.user_list import UserList
from serve_apps.gateway.services.user_tokens import UserTokens
from serve_apps.gateway.services.users import Users
from serve_apps.supplies.stock import Stock
from tests.support.jobs_here import carried_out, jobs_here
from tests.support.keyring import KEYRING
from tests.support.scripted_generator import ScriptedGenerators, unbounded
from tests.support.shared_app import SharedApp
from tests.unit.serve_apps.gateway.statuses import serving
from whisperer.access.download_links import DownloadLinks
from whisperer.decisions.allotment import BudgetWindow
from whisperer.decisions.decision import decision_id
from whisperer.delivery.dispatch import Dispatch, Receipt
from whisperer.eligibility.standing import Standing
from whisperer.errors import UnavailableError
from whisperer.ids import DecisionId, TenantId, bare_id
from whisperer.journeys.inbox import InboxEntry, Mark, marked
from whisperer.models.store import ArtifactStore
from whisperer.shard.decision.inbox import view_of
from whisperer.shard.records import Outcome, ScoreModelChosen
from whisperer.shard.views.inbox import InboxView
from whisperer.shard.views.listing import ListedUsers
from whisperer.shard.views.user import UserView
from whisperer.vocabulary.inapp import Action, InAppMessage, action_url, encoded

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

    async def budgets(self, tenant: TenantId, campaign: str) -> list[BudgetWindow]:
        raise UnavailableError("a unit test has no learner")


class PlayedDirectory(DirectoryCalls):
    """``told`` is what the delivery application's replicas left."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[DeliveryReport] = []

    async def delivery_reports(self) -> list[Plain]:
        return [plain(report) for report in self.told]


class PlayedShards(ShardCalls):
    """Two shards. ``users`` are there on whichever is asked; ``away`` shards answer nothing."""

    def __init__(self) -> None:
        super().__init__(PlayedPlaces())
        self.calls: list[tuple[Any, ...]] = []
        self.users: dict[str, UserView] = {}
        self.inboxes: dict[str, list[InboxEntry]] = {}
        """tenant id/key -> entries, oldest first"""
        self.now = 1_800_000_000_000
        """their time"""
        self.roots: dict[str, str] = {}
        self.decisions: dict[str, dict[str, Any]] = {}
        self.stored: dict[str, dict[str, Any]] = {}
        self.replays: dict[str, str] = {}
        """decision id -> what is said to a wish to send its message again"""
        self.campaigns: dict[str, list[dict[str, Any]]] = {}
        """tenant id -> counts of its campaigns, one entry a shard"""
        self.scoring: dict[tuple[int, str], ScoreModelChosen] = {}
        """what each shard was told to score a tenant's users with, by (shard, tenant id)"""
        self.outcomes: list[Outcome] = []
        """what was journaled of messages"""
        self.away: set[int] = set()
        self.takes_s = 0.0
        """how long a call takes"""
        self.counted = 0
        """grows with everything that a shard counts"""
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
        if self.takes_s:
            await asyncio.sleep(self.takes_s)
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

    def _user(
        self, shard: int, version: int, tenant: str, key: str, as_of: int | None, with_events: bool = True
    ) -> Any:
        return CallStatus.OK, self.users.get(f"{tenant}/{key}")

    def _located(self, shard: int, version: int, tenant: str, key: str) -> Any:
        found = self.users.get(f"{tenant}/{key}")
        return CallStatus.OK, None if found is None else (found.key, found.moved_to)

    def _inbox(self, shard: int, version: int, tenant: str, key: str, known_tag: str) -> Any:
        return CallStatus.OK, self._inbox_view(tenant, key, known_tag=known_tag)

    def _mark_inbox(
        self, shard: int, version: int, tenant: str, key: str, entry: DecisionId, mark: str, action: int
    ) -> Any:
        held = self.inboxes.get(f"{tenant}/{key}", [])
        for place, one in enumerate(held):
            if one.id == entry and (mark != Mark.CLICK or action_url(one.message, action) is not None):
                held[place] = marked(one, Mark(mark), self.now)
            elif not entry:
                held[place] = marked(one, Mark(mark), self.now, is_seen=False)
        return CallStatus.OK, self._inbox_view(tenant, key, only=entry)

    def _inbox_view(self, tenant: str, key: str, **more: Any) -> Any:
        found = self.users.get(f"{tenant}/{key}")
        if found is None:
            return None
        if found.moved_to is not None:
            return plain(InboxView(found.key, moved_to=found.moved_to))
        return plain(view_of(found.key, self.inboxes.get(f"{tenant}/{key}", []), self.now, **more))

    def _list_users(self, shard: int, *_: Any) -> Any:
        return CallStatus.OK, plain(ListedUsers())

    def _root(self, shard: int, version: int, tenant: str, key: str) -> Any:
        return CallStatus.OK, self.roots.get(f"{tenant}/{key}", key)

    def _state_consent(self, shard: int, *_: Any) -> Any:
        return CallStatus.OK, None

    def _replay(self, shard: int, version: int, tenant: str, wanted: list[tuple[str, str]]) -> Any:
        return CallStatus.OK, [self.replays.get(decision, "not_found") for _, decision in wanted]

    def _outcomes(self, shard: int, version: int, tenant: str, outcomes: list[Outcome]) -> Any:
        self.outcomes += outcomes
        return CallStatus.OK, None

    def _erase(self, shard: int, *_: Any) -> Any:
        return CallStatus.OK, None

    def _flush(self, shard: int) -> None:
        return None

    def _holdings(self, shard: int) -> dict[str, Any]:
        return {}

    def _newest(self, shard: int, tenant: str, can_read: bool) -> Any:
        return plain(ShardTail(shard=shard, folder="", end=0, version=(self.counted, 0, 0)))

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


class Carrying:
    """The delivery application in this process: its routing, with the sink for the provider that is not set."""

    def __init__(self, plane: ControlPlane, sink: Sink, folder: Path) -> None:
        now = lambda: 1_790_000_000_000  # noqa: E731 - a clock that stands
        attempts = Attempts(AttemptFile(folder / "attempts.db"), now)
        self._deliveries = Deliveries(Routing(plane, SinkProvider(sink, now), maker(now, ())), attempts)

    async def stream(self, batch: list[Dispatch]) -> AsyncIterator[list[Receipt]]:
        async for receipts in self._deliveries.dispatch(batch):
            yield receipts


class World:
    def __init__(self, folder: Path, plane_url: str) -> None:
        self.plane = ControlPlane(plane_url, keyring=KEYRING)
        self.warehouse = folder / "warehouse"
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
        self.exports = ExportRuns(str(folder / "warehouse"), folder / "spool", self.jobs, settings.exports)
        user_list = UserList(self.shards, bytes.fromhex(installation.link_secret))
        counts = ReplicaCounts(10)
        overview = Overview(self.shards, self.learner, self.plane, counts)
        publishing = Publishing(self.plane, self.shards, overview, str(folder / "models"))
        users = Users(self.shards, self.plane, self.sink, self.jobs, str(folder / "warehouse"))
        decisions = DecisionQueries(self.shards, users, self.jobs, str(folder / "warehouse"))
        campaigns = CampaignService(self.plane, publishing, overview)
        lift_days = LiftDays(self.plane, self.jobs, str(folder / "warehouse"))
        access = Access(self.plane, OPERATOR, 0.5)
        self.limiter = Limiter()
        self.heard: Counter[tuple[str, str]] = Counter()
        self.sns = SnsClient()
        self.issuers = TrustedIssuers(self.plane, access.look, is_local=True)
        access.tokens.trust(self.issuers)
        signing_in = SigningIn(self.plane, access.tokens, Limits(self._lease).take)
        self.delivery = Carrying(self.plane, self.sink, folder)
        self.parts = Parts(
            installation,
            self.plane,
            access,
            self.shards,
            PlayedDirectory(),
            overview,
            users,
            publishing,
            campaigns,
            decisions,
            DeliveryQueries(self.shards, self.jobs, str(folder / "warehouse")),
            Explanations(decisions, self.plane, self.models, self.learner),
            self.sink,
            Policies(self.plane, self.models, publishing),
            Simulations(self.plane, self.shards, self.learner, self.simulations),
            lift_days,
            signing_in,
            Login(self.plane, self.issuers, signing_in, installation.url),
            user_list,
            UserTokens(self.plane, lambda: overview.tenants),
            Inboxes(self.shards, users),
            SavedReportService(self.plane, campaigns, lift_days),
            Exports(
                self.exports,
                Gatherer(self.shards, user_list, self.plane),
                self.plane,
                DownloadLinks(bytes.fromhex(installation.link_secret)),
                installation.url,
            ),
            Callbacks(
                self.plane,
                self.shards,
                user_list,
                self.sns,
                Limits(self._lease).take,
                secret=bytes.fromhex(installation.link_secret),
                public_url=installation.url,
                count=self._heard,
            ),
            Dispatching(self.plane, self.delivery, Limits(self._lease).take),
            Stock(self.plane, poll_interval_s=0.0),
            ScriptedGenerators(),  # type: ignore[arg-type]
            unbounded(),
            QualityReports(self.jobs, str(folder / "warehouse")),
            Analytics(self.shards, self.jobs, str(folder / "warehouse")),
        )
        self.app = SharedApp(self.parts)

    @cached_property
    def own_app(self) -> FastAPI:
        """The application as this world's alone, for what adds to it or looks into it."""
        return build(self.parts)

    def _heard(self, provider: str, fate: str, number: int) -> None:
        self.heard[provider, fate] += number

    async def _do(self, task: Task) -> list[bytes]:
        """In this process, and of decisions what the test put into the warehouse."""
        if isinstance(task, DecisionAudit):
            return [msgspec.msgpack.encode(self.shards.stored.get(f"{task.tenant}/{task.decision_id}"))]
        return await carried_out(task)

    async def _lease(self, asks: list[Ask]) -> list[Lease]:
        return self.limiter.lease(asks, time.monotonic())

    def tenant(self, name: str) -> Caller:
        made = self.plane.create_tenant(name)
        return Caller(self, made.id, "/v1", self.plane.create_key(made.id, "secret").key)

    def operator(self, tenant: Caller) -> Caller:
        return Caller(self, tenant.id, f"/internal/tenants/{tenant.id}", OPERATOR)

    def user(self, tenant: Caller, user_id: str, **more: Any) -> None:
        key = f"u:{user_id}"
        self.shards.users[f"{tenant.id}/{key}"] = UserView(key, standing=Standing(), **more)

    def message(self, tenant: Caller, user_id: str, id: str, **more: Any) -> None:
        """A message in a user's inbox, newer than those before it."""
        held = self.shards.inboxes.setdefault(f"{tenant.id}/u:{user_id}", [])
        actions = [Action("Invite", "https://app.example.com/team")]
        expires_at = more.pop("expires_at", -1)
        message = InAppMessage(**{"kind": "card", "title": "Hi", "body": f"This is {id}", "actions": actions, **more})
        held.append(
            InboxEntry(DecisionId(id), "welcome", "en", encoded(message), 1_790_000_000_000 + len(held), expires_at)
        )

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
