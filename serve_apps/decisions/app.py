"""The decisions application of Ray Serve: takes batches of candidates and returns choices. No HTTP of its own.

Value models score a batch (:mod:`.scoring`) and :func:`whisperer.decisions.thompson.choose` decides it, within what
campaigns' budgets lend (:mod:`.leasing`). :class:`~serve_apps.decisions.following.Following` keeps the policies current
and :class:`~serve_apps.decisions.models.Models` the models, both without a restart. A replica holds nothing that must
survive: a caller who got no answer asks again, and gets the same choice as long as policy, scores and price are the
same; the first choice journaled is the one that counts.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import ray
from ray import serve
from ray.actor import ActorHandle
from ray.exceptions import RayActorError
from ray.serve import Application

from actors.calls.call_log import Calls
from actors.calls.learner_views import ModelAnswers, VersionsReport
from actors.calls.named_actor import LEARNER, NAMESPACE
from actors.calls.plain import Plain, plain
from actors.calls.socket_server import DirectServer
from actors.installation import configure_logs
from cluster.control_plane import ControlPlane
from cluster.launch.autoscaling import DIRECT_CALLS
from cluster.launch.installation import load
from serve_apps.decisions.counting import Tallying, VersionCounts
from serve_apps.decisions.following import Following, FollowingStatus
from serve_apps.decisions.leasing import Leasing, nobody
from serve_apps.decisions.load import Load
from serve_apps.decisions.models import Fetch, Models, ModelsStatus, Policy, Serving
from serve_apps.decisions.scoring import Scorer
from whisperer.decisions.decision import Candidate
from whisperer.decisions.posterior import Posterior
from whisperer.decisions.thompson import choose, fault_of
from whisperer.errors import UnavailableError
from whisperer.ids import TenantId
from whisperer.models.store import ArtifactStore
from whisperer.models.value import ValueModel, open_model
from whisperer.shard.decision.features import FEATURE_HASH

CALL_TIMEOUT_S = 5.0

_log = logging.getLogger(__name__)
_decode = msgspec.msgpack.Decoder(list[Candidate]).decode
_encode = msgspec.msgpack.Encoder().encode


def build(args: dict[str, str]) -> Application:
    """Build the application; ``args["installation"]`` is the path of `installation.json`, as for every application."""
    return Decisions.bind(args["installation"])  # type: ignore[attr-defined,no-any-return]


class Answering:
    """Turns batches into choices, without Ray.

    ``n_faulty`` counts candidates so far that could not be decided. Without ``leasing``, nothing that a campaign's
    budget has to pay for is sent.
    """

    def __init__(self, scorer: Scorer, counts: VersionCounts, leasing: Leasing | None = None) -> None:
        self._scorer = scorer
        self._counts = counts
        self._leasing = Leasing(nobody) if leasing is None else leasing
        self.n_faulty = 0

    async def answer(
        self,
        batch: bytes | memoryview,
        policies: Mapping[tuple[TenantId, str], Posterior],
        serving: Mapping[Policy, Serving],
    ) -> bytes:
        """Return the choices, in order.

        Candidates that cannot be decided are left out, so that they do not fail the rest of the batch; their shard
        refuses them at the deadline. Raises msgspec.ValidationError if the input is not a list of candidates.
        """
        sound = []
        for candidate in _decode(batch):
            fault = fault_of(candidate)
            if fault:
                self.n_faulty += 1
                _log.error("%s cannot be decided: %s", candidate.decision_id, fault)
            else:
                sound.append(candidate)
        scored = await self._scorer.score(sound, serving)
        await self._leasing.ready(sound)
        choices = scored.label(choose(scored.candidates, policies, wallet=self._leasing.wallet))
        self._counts.count(scored.questions)
        return _encode(choices)


class LearnerCalls:
    """The client side of the learner actor."""

    def __init__(self, replica: str) -> None:
        self._replica = replica
        self._handle: ActorHandle[Any] | None = None

    async def policies(self, since: int, wait_s: float) -> tuple[int, bytes]:
        """Wait up to ``wait_s`` for policies newer than ``since``. Raises UnavailableError while the learner is
        away."""
        found: tuple[int, bytes] = await self._call(2 * wait_s, "policies", since, wait_s)
        return found

    async def served(self, report: VersionsReport) -> bytes:
        """Report what was served and return everybody's totals. Raises UnavailableError while the learner is away."""
        found: bytes = await self._call(CALL_TIMEOUT_S, "served", self._replica, plain(report))
        return found

    async def lease(self, holder: str, asks: bytes) -> bytes:
        """Ask for leases on budgets. Raises UnavailableError while the learner is away."""
        found: bytes = await self._call(CALL_TIMEOUT_S, "lease", holder, asks)
        return found

    async def _call(self, timeout_s: float, method: str, *args: Any) -> Any:
        try:
            if self._handle is None:
                self._handle = await asyncio.to_thread(ray.get_actor, LEARNER, NAMESPACE)
            return await asyncio.wait_for(getattr(self._handle, method).remote(*args), timeout_s)
        except (ValueError, RayActorError, TimeoutError) as error:
            self._handle = None
            raise UnavailableError("the learner is starting", retry_after_s=1.0) from error


class ReplicaStatus(msgspec.Struct):
    """What a replica has done, and decides by."""

    pid: int
    batches: int
    faulty: int
    policy: FollowingStatus
    models: ModelsStatus
    answers: ModelAnswers


@serve.deployment(name="Decisions")
class Decisions:
    def __init__(self, installation_path: str) -> None:
        configure_logs(installation_path, "decisions")
        installation = load(Path(installation_path).parent)
        settings = installation.settings
        assert settings is not None
        learner = LearnerCalls(serve.get_replica_context().replica_id.unique_id)
        plane = ControlPlane(settings.control_plane.url, migrated=True)
        store = ArtifactStore(settings.models.uri, Path(installation.data_dir) / "spool" / "models")
        self._following = Following(learner.policies)
        self._models = models = Models(plane, fetching(store), prepare=import_library)
        self._counts = VersionCounts()
        leasing = Leasing(learner.lease)
        self._answering = Answering(Scorer(), self._counts, leasing)
        socket = Path(installation.temp_dir or "no temp_dir") / f"decisions-{os.getpid()}"
        self._direct = DirectServer(socket, {"decide": self._decide_directly}, Calls().run)
        self._load = Load()
        tallying = Tallying(self._counts, learner.served, plane)
        self._tasks = [
            asyncio.ensure_future(self._following.forever()),
            asyncio.ensure_future(models.follow(settings.control_plane.poll_interval_ms / 1000)),
            asyncio.ensure_future(tallying.forever(lambda: models.serving)),
            asyncio.ensure_future(leasing.forever()),
        ]
        self._n_batches = 0

    async def decide(self, batch: bytes | memoryview) -> bytes:
        """Decide a batch: msgpack of list[Candidate] -> msgpack of list[Choice], in the same order."""
        self._n_batches += 1
        return await self._answering.answer(batch, self._following.policies, self._models.serving)

    async def _decide_directly(self, batch: memoryview) -> bytes:
        with self._load.one():
            return await self.decide(batch)

    async def direct_way(self) -> tuple[str, str] | None:
        """Return path and token of the socket by which shards on this machine call :meth:`decide`, or None if there is
        none."""
        try:
            await self._direct.start()
        except OSError:
            return None
        return str(self._direct.path), self._direct.token

    def record_autoscaling_stats(self) -> dict[str, float]:
        """Report the load to Serve, which does not see the calls over the socket
        (:func:`cluster.launch.autoscaling.by_calls`)."""
        return {DIRECT_CALLS: self._load.mean()}

    async def status(self) -> Plain:
        """Return what this replica has done: ReplicaStatus."""
        return plain(
            ReplicaStatus(
                os.getpid(),
                self._n_batches,
                self._answering.n_faulty,
                self._following.status(),
                self._models.status(),
                self._counts.status(),
            )
        )


def import_library() -> None:
    """Import XGBoost in advance: that takes longer than loading a model. A process without it has no models."""
    with contextlib.suppress(ImportError):
        import xgboost  # noqa: F401


def fetching(store: ArtifactStore) -> Fetch:
    """Return a :data:`serve_apps.decisions.models.Fetch` that reads from a store."""

    def fetch(tenant: TenantId, name: str, version: int, digest: str) -> ValueModel:
        return open_model(store.fetch(tenant, name, version, digest), FEATURE_HASH)

    return fetch
