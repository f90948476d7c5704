"""The experiment resource: how a tenant's users are divided, and whether they consent by default."""

import asyncio
from functools import partial
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from cluster.control_plane.experiments import MAX_SHARE
from serve_apps.gateway.http.documented import answered, described
from serve_apps.gateway.http.exchange import answer, read_as
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.services.parts import Parts
from whisperer.access.permissions import Permission
from whisperer.ids import TenantId
from whisperer.shard.records import Experiment

EXAMPLE = {"holdout": 0.05, "uniform": 0.05, "consent_default": True}

SHOWN = {"holdout": 0.05, "uniform": 0.05, "policy": 0.9, "consent_default": True}

_Share = Annotated[float, msgspec.Meta(ge=0, le=MAX_SHARE)]


class ExperimentBody(msgspec.Struct, forbid_unknown_fields=True):
    """Values left out stay as they are. Users who have a group already keep it."""

    holdout: _Share | None = None
    uniform: _Share | None = None
    consent_default: bool | None = None


class ExperimentDocument(msgspec.Struct):
    """The experiment without the salt: whoever knows it knows every user's group."""

    holdout: float
    uniform: float
    policy: float
    consent_default: bool


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["experiment"])
    Reader = Annotated[TenantId, Depends(tenant_of(Permission.EXPERIMENT_READ))]
    Writer = Annotated[TenantId, Depends(tenant_of(Permission.EXPERIMENT_WRITE))]

    @routes.get(
        "/experiment",
        summary="Shares of holdout and uniform, and what silence about consent means",
        openapi_extra=answered(ExperimentDocument, SHOWN),
    )
    async def get_experiment(tenant_id: Reader) -> Response:
        ask = partial(parts.plane.experiment, tenant_id)
        return answer(_shown(await parts.overview.read(tenant_id, ask, lambda published: published.experiment)))

    @routes.put(
        "/experiment",
        summary="Change the shares or the assumed consent",
        openapi_extra=described("Experiment", EXAMPLE) | answered(ExperimentDocument, SHOWN),
    )
    async def put_experiment(request: Request, tenant_id: Writer) -> Response:
        changes = msgspec.structs.asdict(await read_as(request, ExperimentBody))
        changed = await asyncio.to_thread(lambda: parts.plane.set_experiment(tenant_id, **changes))
        await parts.publishing.bring(tenant_id)
        return answer(_shown(changed))

    return routes


def _shown(experiment: Experiment) -> ExperimentDocument:
    return ExperimentDocument(
        experiment.holdout,
        experiment.uniform,
        round(1 - (experiment.holdout + experiment.uniform), 9),
        experiment.consent_default,
    )
