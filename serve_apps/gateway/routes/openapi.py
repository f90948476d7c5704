"""Builds the OpenAPI document: FastAPI's, with the schemas of what our own parsers read.

Routes name a schema (:func:`serve_apps.gateway.http.exchange.described`); the names are resolved here. JSON Schemas
with definitions of their own are split up, because a document has one place for all of them.
"""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from serve_apps.gateway.routes.channels import ChannelBody
from serve_apps.gateway.routes.decisions import DecisionBody
from serve_apps.gateway.routes.experiment import ExperimentBody
from serve_apps.gateway.routes.idempotency import HEADER, MAX_KEY_CHARACTERS, covers
from serve_apps.gateway.routes.policies import PolicyBody, PromotionBody, RollbackBody, TalliesBody
from serve_apps.gateway.routes.users import ConsentBody
from serve_apps.gateway.services.preview import PreviewBody
from serve_apps.gateway.services.simulations import SimulationBody
from whisperer.content.schema import template_json_schema
from whisperer.journeys.limits import NAME_PATTERN
from whisperer.journeys.schema import campaign_json_schema
from whisperer.segments import json_schema
from whisperer.vocabulary.channels import CHANNELS

_PLACE = "#/components/schemas/"
_STRUCTS: dict[str, type[msgspec.Struct]] = {
    "Consent": ConsentBody,
    "Channel": ChannelBody,
    "Experiment": ExperimentBody,
    "DecisionRequest": DecisionBody,
    "Preview": PreviewBody,
    "NewPolicyVersion": PolicyBody,
    "Promotion": PromotionBody,
    "Rollback": RollbackBody,
    "Tallies": TalliesBody,
    "NewSimulation": SimulationBody,
}
_NAME = {"name": {"type": "string", "pattern": f"^{NAME_PATTERN}$"}}
_PUBLISH = {"publish": {"type": "boolean", "default": False, "description": "go live at once"}}
_IDEMPOTENCY_KEY = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "the same call under the same key is carried out once; its answer is kept for 24 hours",
    "schema": {"type": "string", "pattern": f"^[ -~]{{1,{MAX_KEY_CHARACTERS}}}$"},
}
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


HEALTH = ("/livez", "/readyz")
_PROBLEMS = {
    "400": "No JSON, or a name that cannot be one",
    "401": "No secret key",
    "404": "Not there",
    "405": "Not by this method; `Allow` has those that are answered",
    "408": "The body came too slowly; send it again",
    "409": "Conflicts with what is there",
    "412": "Changed since it was read",
    "413": "Larger than 512 KB",
    "422": "Well-formed and not usable; `errors` says why, place by place",
    "429": "Too many requests; `Retry-After` says when to come back",
    "503": "A part is recovering; `Retry-After` says when to come back",
}


def install(app: FastAPI) -> None:
    """Make the application serve this document."""

    def document() -> dict[str, Any]:
        if app.openapi_schema is None:
            made = get_openapi(title=app.title, version=app.version, summary=app.summary, routes=app.routes)
            components = made.setdefault("components", {})
            components["schemas"] = components.get("schemas", {}) | schemas()
            components["securitySchemes"] = {"secret_key": {"type": "http", "scheme": "bearer"}}
            made["security"] = [{"secret_key": []}]
            for path, operations in made["paths"].items():
                for method, operation in operations.items():
                    if covers(method, path):
                        operation.setdefault("parameters", []).append(_IDEMPOTENCY_KEY)
                    _name_problems(method, path, operation)
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def _name_problems(method: str, path: str, operation: dict[str, Any]) -> None:
    """Add the problems that a call may be answered with, according to its inputs."""
    if path in HEALTH:
        operation["security"] = []
        return
    for one in operation.get("parameters", []):
        if (one["in"], one["name"]) == ("path", "name"):
            one["schema"]["pattern"] = f"^{NAME_PATTERN}$"
    takes = {(one["in"], one["name"]) for one in operation.get("parameters", [])}
    named = {"401", "405", "429", "503", "default"}
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
        operation["responses"][status] = {
            "description": "A problem" if status == "default" else _PROBLEMS[status],
            "content": {"application/problem+json": {"schema": {"$ref": f"{_PLACE}Problem"}}},
        }


def schemas() -> dict[str, Any]:
    """Return every schema that routes name."""
    references, found = msgspec.json.schema_components(list(_STRUCTS.values()), ref_template=_PLACE + "{name}")
    named = {
        name: found.pop(reference["$ref"].removeprefix(_PLACE))
        for name, reference in zip(_STRUCTS, references, strict=True)
    }
    campaign, template = _taken_apart(campaign_json_schema(), found), _taken_apart(template_json_schema(), found)
    _taken_apart(json_schema(), found)
    segment = {
        "type": "object",
        "required": ["predicate"],
        "properties": {"predicate": {"$ref": f"{_PLACE}Predicate"}},
        "additionalProperties": False,
    }
    return {
        **found,
        **named,
        "CampaignDraft": _with(campaign, _PUBLISH, []),
        "NewCampaign": _with(campaign, _NAME | _PUBLISH, ["name"]),
        "Template": template,
        "NewTemplate": _with(template, _NAME, ["name"]),
        "SegmentVersion": segment,
        "NewSegment": _with(segment, _NAME, ["name"]),
        "Channels": {
            "type": "object",
            "properties": {channel: {"$ref": f"{_PLACE}Channel"} for channel in CHANNELS},
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
    into.update(moved.pop("$defs", {}))
    moved.pop("$schema", None)
    return moved


def _moved(value: Any) -> Any:
    if isinstance(value, dict):
        return {
            key: part.replace("#/$defs/", _PLACE) if key == "$ref" and isinstance(part, str) else _moved(part)
            for key, part in value.items()
        }
    return [_moved(part) for part in value] if isinstance(value, list) else value
