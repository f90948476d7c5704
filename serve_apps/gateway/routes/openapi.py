"""Builds the OpenAPI document: FastAPI's, with the schemas of what our own parsers read.

Routes name a schema (:func:`serve_apps.gateway.http.exchange.described`); the names are resolved here. JSON Schemas
with definitions of their own are split up, because a document has one place for all of them.
"""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from serve_apps.gateway.http import preferred
from serve_apps.gateway.http.deprecated import Deprecation
from serve_apps.gateway.http.documented import PLACE, name_of, responses
from serve_apps.gateway.http.permitted import deprecations, every_route, permissions
from serve_apps.gateway.routes.auth.account import Acceptance, Code, NewPassword, OwnPassword, PasswordChange
from serve_apps.gateway.routes.auth.token import RevocationBody, TokenBody
from serve_apps.gateway.routes.bulk import UserConsent, UserErasure
from serve_apps.gateway.routes.callbacks import CALLBACK_PATH
from serve_apps.gateway.routes.catalogues import CatalogueBody, ItemBody, UploadedItem
from serve_apps.gateway.routes.channels import ChannelBody
from serve_apps.gateway.routes.coupon_pools import CouponPoolBody, UploadedCode
from serve_apps.gateway.routes.decisions import DecisionBody
from serve_apps.gateway.routes.deliveries import ReplayBody
from serve_apps.gateway.routes.drafts import PolicyDraftBody, RollbackToBody, SubmissionBody
from serve_apps.gateway.routes.environments import EnvironmentBody
from serve_apps.gateway.routes.experiment import ExperimentBody
from serve_apps.gateway.routes.exports import FILE_PATH
from serve_apps.gateway.routes.idempotency import HEADER, MAX_KEY_CHARACTERS, covers
from serve_apps.gateway.routes.inbox import ClickBody
from serve_apps.gateway.routes.invitations import InvitationBody
from serve_apps.gateway.routes.issuers import IssuerBody, IssuerChange
from serve_apps.gateway.routes.keys import KeyBody, RotationBody
from serve_apps.gateway.routes.me import PreferenceBody
from serve_apps.gateway.routes.members import MemberBody
from serve_apps.gateway.routes.parameters import exemplify
from serve_apps.gateway.routes.policies import PolicyBody, PromotionBody, RollbackBody, TalliesBody
from serve_apps.gateway.routes.reports import NewReportBody, ReportBody
from serve_apps.gateway.routes.reviews import ReviewDecisionBody
from serve_apps.gateway.routes.roles import NewRoleBody, RoleBody
from serve_apps.gateway.routes.settings import SettingsBody, UserSecretBody
from serve_apps.gateway.routes.translations import Translations
from serve_apps.gateway.routes.user_tokens import UserTokenBody
from serve_apps.gateway.routes.users import ConsentBody
from serve_apps.gateway.services.exports import ExportBody
from serve_apps.gateway.services.linting import LintBody
from serve_apps.gateway.services.preview import PreviewBody
from serve_apps.gateway.services.proofs import ProofBody
from serve_apps.gateway.services.scoring import ScoreBody
from serve_apps.gateway.services.simulations import SimulationBody
from serve_apps.gateway.services.variants import VariantsBody
from whisperer.access.costs import cost_of
from whisperer.access.permissions import Permission
from whisperer.analytics.questions import Funnel, Lifecycle, Retention, Stickiness, Trends
from whisperer.content.generation.settings import GeneratorSettings
from whisperer.content.schema import template_json_schema
from whisperer.journeys.limits import NAME_PATTERN
from whisperer.journeys.schema import campaign_json_schema
from whisperer.segments import json_schema
from whisperer.vocabulary.channels import CHANNELS

_STRUCTS: dict[str, type[msgspec.Struct]] = {
    "Consent": ConsentBody,
    "UserConsent": UserConsent,
    "UserErasure": UserErasure,
    "Channel": ChannelBody,
    "Experiment": ExperimentBody,
    "DecisionRequest": DecisionBody,
    "PreviewRequest": PreviewBody,
    "LintRequest": LintBody,
    "TestRequest": ProofBody,
    "ScoreRequest": ScoreBody,
    "VariantsRequest": VariantsBody,
    "Generator": GeneratorSettings,
    "Translations": Translations,
    "NewPolicyVersion": PolicyBody,
    "Promotion": PromotionBody,
    "Rollback": RollbackBody,
    "Tallies": TalliesBody,
    "NewSimulation": SimulationBody,
    "NewKey": KeyBody,
    "KeyRotation": RotationBody,
    "Member": MemberBody,
    "NewInvitation": InvitationBody,
    "NewRole": NewRoleBody,
    "Role": RoleBody,
    "NewEnvironment": EnvironmentBody,
    "Settings": SettingsBody,
    "UserSecretRotation": UserSecretBody,
    "NewUserToken": UserTokenBody,
    "Preference": PreferenceBody,
    "NewReport": NewReportBody,
    "SavedReport": ReportBody,
    "TrendsQuestion": Trends,
    "FunnelQuestion": Funnel,
    "RetentionQuestion": Retention,
    "LifecycleQuestion": Lifecycle,
    "StickinessQuestion": Stickiness,
    "TokenRequest": TokenBody,
    "Revocation": RevocationBody,
    "PasswordChange": PasswordChange,
    "OwnPassword": OwnPassword,
    "Code": Code,
    "Acceptance": Acceptance,
    "NewPassword": NewPassword,
    "NewIssuer": IssuerBody,
    "IssuerChange": IssuerChange,
    "PolicyDraft": PolicyDraftBody,
    "Submission": SubmissionBody,
    "RollbackTo": RollbackToBody,
    "ReviewDecision": ReviewDecisionBody,
    "ReplayRequest": ReplayBody,
    "NewExport": ExportBody,
    "InboxClick": ClickBody,
    "Catalogue": CatalogueBody,
    "CatalogueItem": ItemBody,
    "UploadedItem": UploadedItem,
    "CouponPool": CouponPoolBody,
    "UploadedCode": UploadedCode,
}
_NAME = {"name": {"type": "string", "pattern": f"^{NAME_PATTERN}$"}}
_PUBLISH = {"publish": {"type": "boolean", "default": False, "description": "go live at once"}}
_AT_ONCE = {"publish": {"type": "boolean", "default": True, "description": "false: write it as a draft"}}
_IDEMPOTENCY_KEY = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "the same call under the same key is carried out once; its answer is kept for 24 hours",
    "schema": {"type": "string", "pattern": f"^[ -~]{{1,{MAX_KEY_CHARACTERS}}}$"},
}
_PREFER = {
    "name": preferred.HEADER,
    "in": "header",
    "required": False,
    "description": f"RFC 7240; `{preferred.MINIMAL}`: without what was changed",
    "schema": {"type": "string"},
    "example": preferred.MINIMAL,
}
_OF_FASTAPI = ("HTTPValidationError", "ValidationError")
"""Schemas of an answer that is never given: problems have one of their own."""
_PROBLEM = {
    "type": "object",
    "description": "RFC 9457; `code` is stable, `errors` has one entry a problem with a JSON Pointer",
    "properties": {
        **{name: {"type": "string"} for name in ("type", "title", "detail", "instance", "code", "message")},
        "status": {"type": "integer"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {name: {"type": "string"} for name in ("pointer", "code", "message")},
            },
        },
    },
}


TAGS = {
    "analytics": "Questions about what users did: trends, funnels, retention, lifecycle, stickiness",
    "audit": "Who changed what, who looked at whom, and whether the log is whole",
    "auth": "Signing in: tokens, passwords, second factors, sessions",
    "callbacks": "What providers report of messages",
    "campaigns": "Who is considered when, what may be sent, what it was worth",
    "catalogues": "A tenant's own items, such as products, that templates pick from",
    "channels": "Who delivers e-mail, SMS, push and webhooks",
    "coupon-pools": "Codes, of which a message takes one for its user",
    "decisions": "Whether, when and with what users are reached, and why",
    "deliveries": "What became of each message; dead letters, sent again",
    "environments": "Further places of a tenant, such as one for tests",
    "experiment": "How users are divided into groups",
    "exports": "A tenant's data as files: begun, watched, fetched by a link",
    "health": "Whether the installation runs and is ready",
    "inbox": "Users' in-app messages; also for the user, with a token of their own",
    "issuers": "OpenID Connect issuers whose people a tenant trusts",
    "keys": "Keys for programs",
    "me": "What users see and change of themselves, with a token of their own",
    "members": "People of a tenant, their roles and invitations",
    "policies": "Trained versions, who decides for whom, and on what evidence",
    "reports": "Reports kept under a name",
    "reviews": "What waits for a second person",
    "segments": "Groups of users by a predicate, kept up to date",
    "settings": "What a tenant has set",
    "simulations": "Campaigns replayed over stored history",
    "sink": "What the built-in provider received",
    "templates": "What is written to users, in their languages",
    "users": "People: state, lists, export, erasure, consent",
}
"""The groups of calls. A test compares them with those of the routes."""
_INFO = {
    "description": "Everything except sending events, which is Segment's HTTP Tracking API. Calls and answers are "
    "JSON; times are ISO 8601 or, where a name ends in `_at` and its value is a number, milliseconds UTC. Within `/v1` "
    "members are only added; what is to go is announced by a `Deprecation` header six months before.",
    "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
    "contact": {"name": "The operator of this installation"},
}

HEALTH = ("/health", "/livez", "/readyz", "/version", "/.well-known/jwks.json")
FOR_STRANGERS = (
    "/v1/auth/token",
    "/v1/auth/revoke",
    "/v1/auth/invitations/accept",
    "/v1/auth/password-resets/accept",
    FILE_PATH,
    CALLBACK_PATH,
)
"""What they are given says who they are."""
_PROBLEMS = {
    "400": (
        "No JSON, or a parameter that cannot be one, or is not there",
        "unknown_filter",
        "there is no 'filter[colour]' here; there is: filter[channel]",
    ),
    "401": (
        "No secret key or token that is good",
        "invalid_key",
        "this needs a secret key (sk_...) or a token of the tenant: Authorization: Bearer ...",
    ),
    "403": (
        "Not allowed: `x-permission` names what this needs; or made by a page of another site",
        "forbidden",
        "this needs the permission templates:publish, which the key key_01kdq3m5v7 does not have",
    ),
    "404": ("Not there", "template_not_found", "there is no template 'tips-email'"),
    "405": ("Not by this method; `Allow` has those that are answered", "method_not_allowed", "Method Not Allowed"),
    "408": ("The body came too slowly; send it again", "request_timeout", "the body came too slowly; send it again"),
    "409": ("Conflicts with what is there", "too_many_templates", "a tenant has 1,000 templates at most"),
    "412": ("Changed since it was read", "precondition_failed", "it was changed meanwhile; read it again"),
    "413": ("Larger than 512 KB", "body_too_large", "a body holds 512 KB at most"),
    "422": ("Well-formed and not usable; `errors` says why, place by place", "invalid_body", "say its name, as a text"),
    "429": (
        "Too many requests; `Retry-After` says when to come back",
        "rate_limited",
        "this call costs 5, and more was called in the last seconds than the limit allows",
    ),
    "503": (
        "A part is recovering; `Retry-After` says when to come back",
        "unavailable",
        "shard-1 does not answer; send the same request again",
    ),
}
"""By status: when it is answered; the code and the message of an example."""


def install(app: FastAPI) -> None:
    """Make the application serve this document."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
            components = made.setdefault("components", {})
            named = schemas()
            _restore(app, made, named)
            components["schemas"] = {
                name: one for name, one in components.get("schemas", {}).items() if name not in _OF_FASTAPI
            } | named
            problem = {"application/problem+json": {"schema": {"$ref": f"{PLACE}Problem"}}}
            components["responses"] = responses(_PROBLEMS) | {
                "Problem": {"description": "A problem", "content": problem}
            }
            components["securitySchemes"] = {
                "secret_key": {"type": "http", "scheme": "bearer"},
                "user_token": {"type": "http", "scheme": "bearer", "description": "ut_..., of the user who asks"},
            }
            made["security"] = [{"secret_key": []}]
            made["info"] |= _INFO
            made["servers"] = [{"url": "/", "description": "this installation"}]
            made["tags"] = [{"name": name, "description": text} for name, text in TAGS.items()]
            needed = permissions(app)
            leaving = deprecations(app)
            for path, operations in made["paths"].items():
                for method, operation in operations.items():
                    if (method, path) in needed:
                        operation["x-permission"] = needed[method, path]
                    if (method, path) in leaving:
                        _name_deprecation(operation, leaving[method, path])
                    operation.setdefault("description", _described(operation, needed.get((method, path))))
                    exemplify(path, operation)
                    if covers(method, path):
                        operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
                    if preferred.covers(method, path):
                        _name_preference(operation)
                    _name_problems(method, path, operation)
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _restore(app: FastAPI, made: dict[str, Any], schemas: dict[str, Any]) -> None:
    """Put in what routes say of bodies and answers, as they say it: FastAPI drops each null of an example. Definitions
    within are moved to ``schemas``.
    """
    for route in every_route(app):
        said = getattr(route, "openapi_extra", None) or {}
        for method in getattr(route, "methods", None) or ():
            operation = made["paths"].get(route.path_format, {}).get(method.lower())
            if operation is None:
                continue
            if "requestBody" in said:
                operation["requestBody"] = said["requestBody"]
            for status, response in said.get("responses", {}).items():
                content = {
                    media_type: one | {"schema": _taken_apart(one["schema"], schemas)}
                    for media_type, one in response.get("content", {}).items()
                }
                operation["responses"][status] = response | ({"content": content} if content else {})


def _name_deprecation(operation: dict[str, Any], what: Deprecation) -> None:
    operation["deprecated"] = True
    operation["externalDocs"] = {"url": what.see, "description": f"what to call before {what.sunset:%Y-%m-%d}"}


def _name_preference(operation: dict[str, Any]) -> None:
    answers = operation["responses"]
    if "200" in answers:
        operation.setdefault("parameters", []).append(_PREFER)
        answers["204"] = {"description": f"Done; without content, as `{preferred.HEADER}: {preferred.MINIMAL}` asks"}
    for made in ("201", "202"):
        if made in answers:
            answers[made]["description"] += f"; without content by `{preferred.HEADER}: {preferred.MINIMAL}`"


def _described(operation: dict[str, Any], permission: Permission | None) -> str:
    if permission is None:
        return f"{operation['summary']}."
    cost = cost_of(permission)
    return f"{operation['summary']}. Needs the permission `{permission}`, and takes {cost} of the rate of calls."


def _name_problems(method: str, path: str, operation: dict[str, Any]) -> None:
    """Add the problems that a call may be answered with, according to its inputs."""
    if path in HEALTH:
        operation["security"] = []
        return
    if path.startswith("/v1/me/"):
        operation["security"] = [{"user_token": []}]
    if "inbox" in operation.get("tags", ()):
        operation["security"] = [{"secret_key": []}, {"user_token": []}]
    if path in FOR_STRANGERS:
        operation["security"] = []
    for one in operation.get("parameters", []):
        if (one["in"], one["name"]) == ("path", "name"):
            one["schema"]["pattern"] = f"^{NAME_PATTERN}$"
    takes = {(one["in"], one["name"]) for one in operation.get("parameters", [])}
    named = {"401", "403", "405", "429", "503", "default"}
    if "requestBody" in operation:
        named |= {"400", "408", "409", "413", "422"}
    if covers(method, path):
        named |= {"409", "422"}
    if any(place == "path" for place, _ in takes):
        named |= {"404", "422"}
    if any(place == "query" for place, _ in takes):
        named.add("422")
    if ("header", "if-match") in takes:
        named.add("412")
    for status in sorted(named):
        name = "Problem" if status == "default" else name_of(status)
        operation["responses"][status] = {"$ref": f"#/components/responses/{name}"}


def schemas() -> dict[str, Any]:
    """Return every schema that routes name."""
    references, found = msgspec.json.schema_components(list(_STRUCTS.values()), ref_template=PLACE + "{name}")
    named = {
        name: found.pop(reference["$ref"].removeprefix(PLACE))
        for name, reference in zip(_STRUCTS, references, strict=True)
    }
    for name, struct in _STRUCTS.items():
        # The path says already which struct a body is.
        tag = struct.__struct_config__.tag_field
        named[name] |= {"required": [field for field in named[name].get("required", []) if field != tag]} if tag else {}
    campaign, template = _taken_apart(campaign_json_schema(), found), _taken_apart(template_json_schema(), found)
    _taken_apart(json_schema(), found)
    segment = {
        "type": "object",
        "required": ["predicate"],
        "properties": {"predicate": {"$ref": f"{PLACE}Predicate"}},
        "additionalProperties": False,
    }
    return {
        **found,
        **named,
        "Campaign": campaign,
        "CampaignDraft": _with(campaign, _PUBLISH, []),
        "NewCampaign": _with(campaign, _NAME | _PUBLISH, ["name"]),
        "TemplateContent": template,
        "Template": _with(template, _AT_ONCE, []),
        "NewTemplate": _with(template, _NAME | _AT_ONCE, ["name"]),
        "SegmentContent": segment,
        "SegmentVersion": _with(segment, _AT_ONCE, []),
        "NewSegment": _with(segment, _NAME | _AT_ONCE, ["name"]),
        "Channels": {
            "type": "object",
            "properties": {channel: {"$ref": f"{PLACE}Channel"} for channel in CHANNELS},
            "additionalProperties": False,
        },
        "Problem": _PROBLEM,
    }


def _with(schema: dict[str, Any], properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return schema | {
        "properties": properties | schema.get("properties", {}),
        "required": [*required, *schema.get("required", [])],
    }


def _taken_apart(schema: dict[str, Any], into: dict[str, Any]) -> dict[str, Any]:
    """Return the schema without its definitions, which are added to ``into``, with its references adjusted."""
    moved: dict[str, Any] = _moved(schema)
    for name, definition in moved.pop("$defs", {}).items():
        if into.setdefault(name, definition) != definition:
            raise ValueError(f"two schemas are named {name}: rename one of the types")
    moved.pop("$schema", None)
    return moved


def _moved(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: part.replace("#/$defs/", PLACE) if key == "$ref" and isinstance(part, str) else _moved(part)
            for key, part in value.items()
        }
    return [_moved(part) for part in value] if isinstance(value, list) else value
