"""The gateway as a Ray Serve application: the composition root of its parts, and the one switch before the routes.

The Serve config names `build`. :class:`~serve_apps.gateway.tracking.endpoint.Ingestion` answers ingestion directly;
everything else goes through FastAPI.
"""

from __future__ import annotations

import asyncio
import gc
import logging
from pathlib import Path
from typing import Any

from ray import serve
from ray.serve import Application

from actors.calls.directory import DirectoryCalls
from actors.calls.learner import LearnerCalls
from actors.calls.map_holder import MapHolder
from actors.calls.shards import ShardCalls
from actors.installation import configure_logs
from actors.jobs import Jobs
from actors.jobs.lanes import with_memory
from actors.jobs.simulation_runs import Simulations as SimulationRuns
from cluster.control_plane import ControlPlane
from cluster.launch.haproxy_program import client_secret
from cluster.launch.installation import load
from serve_apps.delivery.sink import Sink
from serve_apps.gateway.api import build as build_api
from serve_apps.gateway.http.access import Access
from serve_apps.gateway.http.hang_up import EndsWithItsCaller
from serve_apps.gateway.http.observed import ROUTE, Observed
from serve_apps.gateway.message_links import endpoints as links
from serve_apps.gateway.message_links.outcomes import Outcomes
from serve_apps.gateway.metrics.counts import ReplicaCounts
from serve_apps.gateway.metrics.measures import Measures
from serve_apps.gateway.metrics.replicas import Replicas
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
from serve_apps.gateway.tracking.arrivals import BodyPace
from serve_apps.gateway.tracking.coalesce import Coalescer
from serve_apps.gateway.tracking.endpoint import PREFIX, Ingestion, Receive, Scope, Send, route_of
from serve_apps.gateway.tracking.limits import Limits
from whisperer.errors import UnavailableError
from whisperer.events.kernels.placeholders import Placeholders
from whisperer.events.warm import warm
from whisperer.feedback.links import LinkSigner
from whisperer.models.store import ArtifactStore

_log = logging.getLogger(__name__)


def build(args: dict[str, str]) -> Application:
    """Build the application; ``args["installation"]`` is the path of `installation.json`."""
    return Gateway.bind(args["installation"])  # type: ignore[attr-defined,no-any-return]


@serve.deployment(name="Gateway")
@serve.ingress()
class Gateway:
    def __init__(self, installation_path: str) -> None:
        installation = load(Path(installation_path).parent)
        settings = installation.settings
        assert settings is not None
        replica = serve.get_replica_context().replica_id.unique_id
        configure_logs(installation_path, "gateway", replica=replica)
        warm()
        counts = ReplicaCounts(settings.gateway.rejected_sample)
        self._measures = measures = Measures(counts, replica)
        directory, learner = DirectoryCalls(), LearnerCalls()
        self._places = places = MapHolder(directory)
        shards = ShardCalls(places, on_call=measures.called)
        plane = ControlPlane(settings.control_plane.url)
        access = Access(plane, installation.operator_token, settings.control_plane.poll_interval_ms / 1000)
        replicas = Replicas(directory, measures.report)
        limits = Limits(directory.lease, n_replicas=lambda: replicas.n)
        coalescer = Coalescer(
            shards,
            max_queued_events=settings.gateway.max_queued_events,
            max_call_events=settings.gateway.coalesce_events,
            on_block=counts.saw,
            call_events=measures.call_events,
        )
        self._ingestion = ingestion = Ingestion(
            access,
            places,
            coalescer,
            counts,
            limits,
            events_per_s=settings.limits.tenant_events_per_s,
            requests_per_s=settings.limits.key_requests_per_s,
            pace=BodyPace(
                settings.limits.body_first_byte_s, settings.limits.body_bytes_per_s, settings.limits.body_timeout_s
            ),
            max_in_flight_bytes=settings.gateway.max_in_flight_bytes,
            # Ray admits only this many requests at a time: half of them stay free of bodies still arriving.
            max_bodies=max(1, settings.gateway.max_ongoing_requests // 2),
            client_secret=client_secret(installation.operator_token),
            placeholders=Placeholders.listed(settings.identity.placeholder_ids),
        )
        measures.levels = {
            "queued_events": lambda: coalescer.n_queued,
            "in_flight_bytes": lambda: ingestion.in_flight_bytes,
            "bodies_arriving": lambda: ingestion.arrivals.n_bodies,
            "bodies_given_up": lambda: ingestion.arrivals.n_given_up,
            "limits_alone": lambda: limits.n_alone,
        }
        overview = Overview(shards, learner, plane, counts, replicas)
        publishing = Publishing(plane, shards, overview, settings.models.uri)
        sink = Sink(installation.sink_path)
        warehouse = settings.warehouse.uri
        self._jobs = jobs = Jobs(
            Path(installation.data_dir) / "spool" / "jobs", with_memory(settings.jobs.memory_mib << 20)
        )
        measures.jobs = jobs.counts
        users = Users(shards, sink, jobs, warehouse)
        spool = str(Path(installation.data_dir) / "spool" / "models")
        store = ArtifactStore(settings.models.uri, Path(spool))
        decisions = DecisionQueries(shards, users, jobs, warehouse)
        parts = Parts(
            installation,
            plane,
            access,
            shards,
            directory,
            overview,
            users,
            publishing,
            CampaignService(plane, publishing, overview),
            decisions,
            Explanations(decisions, plane, store, learner),
            sink,
            Policies(plane, store, publishing),
            Simulations(
                plane, shards, learner, SimulationRuns(warehouse, jobs, models=settings.models.uri, spool=spool)
            ),
            LiftDays(plane, jobs, warehouse),
            ingestion.unready,
        )
        self._api = build_api(parts)
        links.install(self._api, LinkSigner(bytes.fromhex(installation.link_secret)), Outcomes(shards).record)
        gc.collect()
        gc.freeze()  # everything loaded so far stays, and need not be scanned again
        self._tasks = [
            asyncio.ensure_future(self._find_shards()),
            asyncio.ensure_future(access.watch(publishing.spread)),
            asyncio.ensure_future(overview.sample_forever()),
            asyncio.ensure_future(replicas.tell_forever()),
            asyncio.ensure_future(limits.give_back_forever()),
        ]

    def __serve_build_asgi_app__(self) -> Any:
        ingestion, api = self._ingestion, EndsWithItsCaller(self._api)

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            route = route_of(scope["path"]) if scope["type"] == "http" else None
            if route is None:
                await api(scope, receive, send)
            else:
                scope[ROUTE] = PREFIX + route.value
                await ingestion(scope, receive, send, route)

        return Observed(answer, self._measures, is_echoed=True)

    async def _find_shards(self) -> None:
        """Keep the map fresh: poll quickly until the directory is found, then now and then."""
        while True:
            try:
                await self._places.refresh()
                await asyncio.sleep(5.0)
            except UnavailableError:
                await asyncio.sleep(0.1)
            except Exception:
                _log.exception("the partition map could not be fetched; trying again")
                await asyncio.sleep(1.0)
