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

from actors.calls.applications import Application as Called
from actors.calls.directory import DirectoryCalls
from actors.calls.learner import LearnerCalls
from actors.calls.map_holder import MapHolder
from actors.calls.shards import ShardCalls
from actors.installation import configure_logs
from actors.jobs import Jobs
from actors.jobs.export_runs import Exports as ExportRuns
from actors.jobs.lanes import with_memory
from actors.jobs.simulation_runs import Simulations as SimulationRuns
from cluster.control_plane import ControlPlane
from cluster.control_plane.identity.grants import issuer_of
from cluster.launch.haproxy_program import client_secret
from cluster.launch.installation import load
from cluster.settings import networks, origins
from serve_apps.delivery.sink import Sink
from serve_apps.gateway.api import LOOPBACK
from serve_apps.gateway.api import build as build_api
from serve_apps.gateway.http import serving
from serve_apps.gateway.http.access import Access
from serve_apps.gateway.http.added import AddedHeaders
from serve_apps.gateway.http.arrivals import BodyPace
from serve_apps.gateway.http.cors import CrossOrigin
from serve_apps.gateway.http.deprecated import DeprecatedCalls
from serve_apps.gateway.http.hang_up import EndsWithItsCaller
from serve_apps.gateway.http.issuers import TrustedIssuers
from serve_apps.gateway.http.kept_keys import KeptKeys
from serve_apps.gateway.http.limits import Limits
from serve_apps.gateway.http.looked_at import Pseudonyms
from serve_apps.gateway.http.observed import ROUTE, Observed
from serve_apps.gateway.http.paced import Paced
from serve_apps.gateway.http.preferred import Preferred
from serve_apps.gateway.http.rates import CallRates, Tiers
from serve_apps.gateway.http.shortcut import Shortcut
from serve_apps.gateway.message_links import endpoints as links
from serve_apps.gateway.message_links.outcomes import Outcomes
from serve_apps.gateway.metrics.counts import ReplicaCounts
from serve_apps.gateway.metrics.measures import Measures
from serve_apps.gateway.metrics.replicas import Replicas
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
from serve_apps.gateway.tracking.coalesce import Coalescer
from serve_apps.gateway.tracking.endpoint import PREFIX, Ingestion, Receive, Scope, Send, route_of
from serve_apps.generation.allowance import Allowance
from serve_apps.generation.asking import Asking
from serve_apps.generation.generators import Generators
from serve_apps.supplies.stock import PREVIEWED_BYTES, Stock
from whisperer.access.download_links import DownloadLinks
from whisperer.delivery.dispatch import Receipt
from whisperer.errors import UnavailableError
from whisperer.events.kernels.placeholders import Placeholders
from whisperer.events.warm import warm
from whisperer.feedback.links import LinkSigner
from whisperer.models.store import ArtifactStore

PROOF_S = 60.0
"""How long a caller waits for the receipt of a test; a send under way goes on."""

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
        plane = ControlPlane(
            settings.control_plane.url, installation.witness_path, installation.keyring(), migrated=True
        )
        vouched = client_secret(installation.operator_token)
        replicas = Replicas(directory, measures.report)
        limits = Limits(directory.lease, n_replicas=lambda: replicas.n)
        access = Access(
            plane,
            installation.operator_token,
            settings.control_plane.poll_interval_ms / 1000,
            vouched,
            Pseudonyms(bytes.fromhex(installation.link_secret)),
            Tiers.of_settings(settings),
            CallRates(limits),
            KeptKeys(Path(installation.data_dir) / "spool" / "keys"),
            issuer=issuer_of(settings.server),
        )
        coalescer = Coalescer(
            shards,
            max_queued_events=settings.gateway.max_queued_events,
            max_call_events=settings.gateway.coalesce_events,
            on_block=counts.saw,
            call_events=measures.call_events,
        )
        limited = settings.limits
        pace = BodyPace(limited.body_first_byte_s, limited.body_bytes_per_s, limited.body_timeout_s)
        self._ingestion = ingestion = Ingestion(
            access,
            places,
            coalescer,
            counts,
            limits,
            pace=pace,
            max_in_flight_bytes=settings.gateway.max_in_flight_bytes,
            # Ray admits only this many requests at a time: half of them stay free of bodies still arriving.
            max_bodies=max(1, settings.gateway.max_ongoing_requests // 2),
            client_secret=vouched,
            placeholders=Placeholders.listed(settings.identity.placeholder_ids),
        )
        measures.levels = {
            "queued_events": lambda: coalescer.n_queued,
            "in_flight_bytes": lambda: ingestion.in_flight_bytes,
            "bodies_arriving": lambda: ingestion.arrivals.n_bodies,
            "bodies_given_up": lambda: ingestion.arrivals.n_given_up,
            "limits_alone": lambda: limits.n_alone,
            "control_plane_away": lambda: float(plane.is_away),
        }
        overview = Overview(shards, learner, plane, counts, replicas)
        publishing = Publishing(plane, shards, overview, settings.models.uri)
        sink = Sink(installation.sink_path)
        warehouse = settings.warehouse.uri
        self._jobs = jobs = Jobs(
            Path(installation.data_dir) / "spool" / "jobs", with_memory(settings.jobs.memory_mib << 20)
        )
        measures.jobs = jobs.counts
        users = Users(shards, plane, sink, jobs, warehouse)
        spool = str(Path(installation.data_dir) / "spool" / "models")
        store = ArtifactStore(settings.models.uri, Path(spool))
        decisions = DecisionQueries(shards, users, jobs, warehouse)
        campaigns, lift_days = CampaignService(plane, publishing, overview), LiftDays(plane, jobs, warehouse)
        issuers = TrustedIssuers(
            plane,
            access.look,
            is_local=settings.server.host in LOOPBACK,
            open_networks=networks(settings.delivery.open_networks),
        )
        access.tokens.trust(issuers)
        signing_in = SigningIn(plane, access.tokens, limits.take)
        user_list = UserList(shards, bytes.fromhex(installation.link_secret))
        export_runs = ExportRuns(warehouse, Path(installation.data_dir) / "spool" / "exports", jobs, settings.exports)
        public_url = settings.server.public_url.rstrip("/") or installation.url
        asking = Asking(Allowance(directory.lease, plane))
        measures.generation = asking.counts
        parts = Parts(
            installation,
            plane,
            access,
            shards,
            directory,
            overview,
            users,
            publishing,
            campaigns,
            decisions,
            DeliveryQueries(shards, jobs, warehouse),
            Explanations(decisions, plane, store, learner),
            sink,
            Policies(plane, store, publishing),
            Simulations(
                plane, shards, learner, SimulationRuns(warehouse, jobs, models=settings.models.uri, spool=spool)
            ),
            lift_days,
            signing_in,
            Login(plane, issuers, signing_in, settings.server.public_url or installation.url),
            user_list,
            UserTokens(plane, lambda: overview.tenants),
            Inboxes(shards, users),
            SavedReportService(plane, campaigns, lift_days),
            Exports(
                export_runs,
                Gatherer(shards, user_list, plane),
                plane,
                DownloadLinks(bytes.fromhex(installation.link_secret)),
                public_url,
            ),
            Callbacks(
                plane,
                shards,
                user_list,
                SnsClient(settings.callbacks.sns_url, open_networks=networks(settings.delivery.open_networks)),
                limits.take,
                secret=bytes.fromhex(installation.link_secret),
                public_url=public_url,
                settings=settings.callbacks,
                count=measures.heard,
            ),
            Dispatching(plane, Called("delivery", "Delivery", "dispatch", list[Receipt], PROOF_S), limits.take),
            Stock(plane, max_bytes=PREVIEWED_BYTES),
            Generators(plane, networks(settings.delivery.open_networks)),
            asking,
            QualityReports(jobs, warehouse),
            Analytics(shards, jobs, warehouse),
            ingestion.unready,
        )
        api = build_api(parts)
        links.install(
            api,
            LinkSigner(bytes.fromhex(installation.link_secret)),
            Outcomes(shards).record,
            vouched,
            token_of=plane.short_link,
        )
        self._api = CrossOrigin(
            EndsWithItsCaller(
                Paced(
                    AddedHeaders(DeprecatedCalls(Preferred(Shortcut(api)), measures.called_deprecated)),
                    ingestion.arrivals,
                    pace,
                    vouched,
                )
            ),
            origins(settings.server.cors_origins),
            access.is_known_origin,
        )
        gc.collect()
        gc.freeze()  # everything loaded so far stays, and need not be scanned again
        self._tasks = [
            asyncio.ensure_future(self._find_shards()),
            asyncio.ensure_future(access.watch(publishing.spread)),
            asyncio.ensure_future(access.note_uses_forever()),
            asyncio.ensure_future(overview.sample_forever()),
            asyncio.ensure_future(replicas.tell_forever()),
            asyncio.ensure_future(limits.give_back_forever()),
            asyncio.ensure_future(export_runs.tidy_forever()),
        ]

    def __serve_build_asgi_app__(self) -> Any:
        ingestion, api = self._ingestion, self._api

        async def answer(scope: Scope, receive: Receive, send: Send) -> None:
            route = route_of(scope["path"]) if scope["type"] == "http" else None
            if route is None:
                await api(scope, receive, send)
            else:
                scope[ROUTE] = PREFIX + route.value
                await ingestion(scope, receive, send, route)

        observed = Observed(answer, self._measures, is_echoed=True)
        serving.install(observed)
        return observed

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
