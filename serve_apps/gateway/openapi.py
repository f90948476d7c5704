"""The OpenAPI document: FastAPI's, with the schemas of what is read by our own parsers.

Routes name a schema (:func:`serve_apps.gateway.routes.exchange.described`); here is where the names lead. JSON Schemas
with definitions of their own are taken apart, as a document has one place for all of them.
"""

from __future__ import annotations

from typing import Any

import msgspec
from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from serve_apps.gateway.idempotency import HEADER, MAX_KEY_CHARACTERS, covers
from serve_apps.gateway.preview import PreviewBody
from serve_apps.gateway.routes.channels import ChannelBody
from serve_apps.gateway.routes.decisions import DecisionBody
from serve_apps.gateway.routes.experiment import ExperimentBody
from serve_apps.gateway.routes.policies import PolicyBody, PromotionBody, RollbackBody, TalliesBody
from serve_apps.gateway.routes.users import ConsentBody
from serve_apps.gateway.simulations import SimulationBody
from whisperer.content.schema import template_json_schema
from whisperer.journeys.schema import campaign_json_schema
from whisperer.segments import json_schema

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
_NAME = {"name": {"type": "string", "minLength": 1, "maxLength": 63}}
_PUBLISH = {"publish": {"type": "boolean", "default": False, "description": "go live at once"}}
_IDEMPOTENCY_KEY = {
    "name": HEADER,
    "in": "header",
    "required": False,
    "description": "the same call under the same key is carried out once; its answer is kept for 24 hours",
    "schema": {"type": "string", "minLength": 1, "maxLength": MAX_KEY_CHARACTERS},
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


def install(app: FastAPI) -> None:
    """Make the application answer with this document."""

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
                    operation["responses"].pop("422", None)
                    operation["responses"]["default"] = {
                        "description": "A problem",
                        "content": {"application/problem+json": {"schema": {"$ref": f"{_PLACE}Problem"}}},
                    }
            app.openapi_schema = made
        return app.openapi_schema

    app.openapi = document  # type: ignore[method-assign]


def schemas() -> dict[str, Any]:
    """Every schema that routes name."""
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
        "Channels": {"type": "object", "additionalProperties": {"$ref": f"{_PLACE}Channel"}},
        "Problem": _PROBLEM,
    }


def _with(schema: dict[str, Any], properties: dict[str, Any], required: list[str]) -> dict[str, Any]:
    return schema | {
        "properties": properties | schema.get("properties", {}),
        "required": [*required, *schema.get("required", [])],
    }


def _taken_apart(schema: dict[str, Any], into: dict[str, Any]) -> dict[str, Any]:
    """The schema without its definitions, which go to ``into``, and with references that lead there."""
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
