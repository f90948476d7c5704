"""The policies resource: versions of trained models, how far each has come, and on what evidence.

docs/models.md describes the bodies.
"""

from datetime import datetime
from typing import Annotated

import msgspec
from fastapi import APIRouter, Depends, Path, Request
from starlette.responses import Response

from cluster.control_plane.audit.acting import ActorKind
from cluster.control_plane.documents import ListedPolicy, PolicyDocument, PolicyEventDocument, VersionDocument
from serve_apps.gateway.http.documented import answered, described
from serve_apps.gateway.http.exchange import IfMatch, InvalidBodyError, answer, made_at, read_as
from serve_apps.gateway.http.listing import Asked, Listing
from serve_apps.gateway.http.permitted import TenantOf
from serve_apps.gateway.http.principal import principal_of
from serve_apps.gateway.routes.examples import LISTED_POLICY, POLICY, POLICY_EVENT, VERSION
from serve_apps.gateway.services.parts import Parts
from serve_apps.gateway.services.policies import Tallied
from whisperer.access.permissions import Permission
from whisperer.ids import TenantId
from whisperer.models.artifact import MAX_VERSION, NAME
from whisperer.models.guardrails import VersionTally
from whisperer.models.rollout import Evidence

Version = Annotated[int, msgspec.Meta(ge=1, le=MAX_VERSION)]
_Reason = Annotated[str, msgspec.Meta(max_length=1_000)]
_Moment = Annotated[datetime, msgspec.Meta(tz=True)]
VersionPath = Annotated[int, Path(ge=1, le=MAX_VERSION)]


class PolicyBody(msgspec.Struct, forbid_unknown_fields=True):
    """A version that is already in the model store."""

    name: Annotated[str, msgspec.Meta(pattern=NAME)]
    version: Version


class PromotionBody(msgspec.Struct, forbid_unknown_fields=True):
    """``evidence``: the gate's verdict, for every step except the one into shadow."""

    version: Version
    evidence: Evidence | None = None
    reason: _Reason = ""


class RollbackBody(msgspec.Struct, forbid_unknown_fields=True):
    """Without ``version``: the candidate, or the live version if there is none."""

    version: Version | None = None
    reason: _Reason = ""


class TalliesBody(msgspec.Struct, forbid_unknown_fields=True):
    """What each version has done since ``since``, the policy's own value; version 0 is the built-in one."""

    since: _Moment
    versions: Annotated[dict[str, VersionTally], msgspec.Meta(max_length=2)]


EVIDENCE = {
    "promote": True,
    "against": 1,
    "judged_at": "2026-01-31T09:00:00Z",
    "reasons": [],
    "figures": {"estimates": {"dr": {"difference": {"value": 0.021, "low": 0.004, "high": 0.038}}}},
}
TALLIES = {
    "since": "2026-01-30T09:00:00Z",
    "versions": {"0": {"decisions": 95_000, "unsubscribed": 190}, "2": {"decisions": 5_000, "unsubscribed": 9}},
}


LIST = Listing("policies", ListedPolicy, sorts=("name", "live", "since"))
HISTORY = Listing("policy history", PolicyEventDocument, key="serial", sorts=("serial",), usual="-serial")


def router(parts: Parts, tenant_of: TenantOf) -> APIRouter:
    routes = APIRouter(tags=["policies"])
    Writer = Annotated[TenantId, Depends(tenant_of(Permission.POLICIES_WRITE))]
    Reader = Annotated[TenantId, Depends(tenant_of(Permission.POLICIES_READ))]
    Publisher = Annotated[TenantId, Depends(tenant_of(Permission.POLICIES_PUBLISH))]

    async def caller(request: Request) -> str:
        """Return the name to write into the record; the dependency for the tenant has run before."""
        who = principal_of(request)
        return f"key {who.id}" if who.kind is ActorKind.KEY else who.name

    By = Annotated[str, Depends(caller)]

    @routes.post(
        "/policies",
        summary="Register a version from the store of models",
        status_code=201,
        openapi_extra=described("NewPolicyVersion", {"name": "offers", "version": 2})
        | answered(PolicyDocument, POLICY, 201),
    )
    async def register(request: Request, tenant_id: Writer, by: By) -> Response:
        body = await read_as(request, PolicyBody)
        made = await parts.policies.register(tenant_id, body.name, body.version, by)
        return made_at(request, made, made.name, etag=made.etag)

    @routes.get(
        "/policies",
        summary="Policies by name: which version is live, which comes",
        openapi_extra=LIST.documented(LISTED_POLICY),
    )
    async def list_policies(tenant_id: Reader, asked: Annotated[Asked, Depends(LIST.asked)]) -> Response:
        return asked.page(tenant_id, await parts.policies.listed(tenant_id))

    @routes.get(
        "/policies/{name}",
        summary="One policy with its newest versions",
        openapi_extra=answered(PolicyDocument, POLICY),
    )
    async def get_policy(name: str, tenant_id: Reader) -> Response:
        found = await parts.policies.show(tenant_id, name)
        return answer(found, etag=found.etag)

    @routes.get(
        "/policies/{name}/versions/{version}",
        summary="One version with its lineage",
        openapi_extra=answered(VersionDocument, VERSION),
    )
    async def get_policy_version(name: str, version: VersionPath, tenant_id: Reader) -> Response:
        return answer(await parts.policies.version(tenant_id, name, version))

    @routes.get(
        "/policies/{name}/history",
        summary="Every step, newest first, with its evidence",
        openapi_extra=HISTORY.documented(POLICY_EVENT),
    )
    async def history(name: str, tenant_id: Reader, asked: Annotated[Asked, Depends(HISTORY.asked)]) -> Response:
        return asked.page(tenant_id, await parts.policies.history(tenant_id, name))

    @routes.post(
        "/policies/{name}/promote",
        summary="One step: into shadow, to 5 %, to 25 %, live",
        openapi_extra=described("Promotion", {"version": 2, "evidence": EVIDENCE}) | answered(PolicyDocument, POLICY),
    )
    async def promote(name: str, request: Request, tenant_id: Publisher, by: By, if_match: IfMatch = None) -> Response:
        body = await read_as(request, PromotionBody)
        promoted = await parts.policies.promote(
            tenant_id,
            name,
            body.version,
            by=by,
            evidence=body.evidence,
            reason=body.reason,
            if_match=if_match,
        )
        return answer(promoted, etag=promoted.etag)

    @routes.post(
        "/policies/{name}/rollback",
        summary="Take a version out at once: the candidate, else the live one, or the one named",
        openapi_extra=described("Rollback", {"reason": "complaints about the new offers"})
        | answered(PolicyDocument, POLICY),
    )
    async def rollback(name: str, request: Request, tenant_id: Publisher, by: By, if_match: IfMatch = None) -> Response:
        body = await read_as(request, RollbackBody)
        rolled = await parts.policies.roll_back(
            tenant_id, name, by=by, version=body.version, reason=body.reason, if_match=if_match
        )
        return answer(rolled, etag=rolled.etag)

    @routes.put(
        "/policies/{name}/tallies",
        summary="Say what the versions came to at this stage; a breach of a guardrail rolls back",
        openapi_extra=described("Tallies", TALLIES) | answered(Tallied, {"breaches": [], "policy": POLICY}),
    )
    async def put_tallies(name: str, request: Request, tenant_id: Writer) -> Response:
        body = await read_as(request, TalliesBody)
        tallies = {_number(version): tally for version, tally in body.versions.items()}
        return answer(await parts.policies.tally(tenant_id, name, _ms(body.since), tallies))

    return routes


def _ms(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def _number(version: str) -> int:
    if not version.isascii() or not version.isdigit() or len(version) > 10:
        raise InvalidBodyError("/versions", f"{version[:40]!r} is the number of no version")
    return int(version)
