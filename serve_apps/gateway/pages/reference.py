"""Renders the reference of the HTTP API from its OpenAPI document: every call with its parameters and examples.

Nothing on it runs and nothing is loaded from elsewhere; programs read ``/openapi.json`` itself.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from serve_apps.gateway.pages.rendering import render
from serve_apps.gateway.pages.site import Site


@dataclass(frozen=True, slots=True)
class Call:
    """One call. ``parameters``: (name, where it goes, description); ``sent`` and ``answered``: examples as JSON, or
    ""."""

    method: str
    path: str
    summary: str
    parameters: list[tuple[str, str, str]]
    sent: str
    answered: str


def render_reference(document: dict[str, Any], *, site: Site) -> str:
    """Render the page at ``/docs``."""
    by_tag: dict[str, list[Call]] = {}
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            for tag in operation.get("tags") or ["other"]:
                by_tag.setdefault(tag, []).append(_call(method, path, operation))
    return render("reference.html", site=site, by_tag=by_tag)


def _call(method: str, path: str, operation: dict[str, Any]) -> Call:
    parameters = [
        (one["name"], one["in"], one.get("description", ""))
        for one in operation.get("parameters", [])
        if one["in"] != "path"
    ]
    sent = _example(operation.get("requestBody", {}))
    answered = next(filter(None, (_example(answer) for answer in operation["responses"].values())), "")
    return Call(method.upper(), path, operation.get("summary", ""), parameters, sent, answered)


def _example(content: dict[str, Any]) -> str:
    example = content.get("content", {}).get("application/json", {}).get("example")
    return "" if example is None else json.dumps(example, indent=2, ensure_ascii=False)
