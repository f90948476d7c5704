"""Every call of the OpenAPI document has an example, and answers as it when it is made with the document's own."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import httpx
import pytest
from jsonschema import Draft202012Validator

from tests.support.gateway_world import World
from tests.unit.serve_apps.gateway.routes.prepared import Prepared, prepared

SIGNED = ("/v1/exports/{export_id}/file", "/v1/callbacks/{provider}/{token}")
"""Answers with a file of several types."""
PROBLEMS = ("401", "403", "404", "409", "412", "422", "429", "503")


def calls(world: World) -> list[tuple[str, str]]:
    """Return the method and path of every call."""
    return [(method, path) for path, found in world.app.openapi()["paths"].items() for method in found]


class Document:
    """An OpenAPI document with the validators of its schemas."""

    def __init__(self, document: dict[str, Any]) -> None:
        self.document = document
        self.schemas = document["components"]["schemas"]

    def operation(self, method: str, path: str) -> dict[str, Any]:
        found: dict[str, Any] = self.document["paths"][path][method]
        return found

    def answer(self, operation: dict[str, Any]) -> tuple[int, str, dict[str, Any]]:
        """Return the status of a success, its media type, and what is said of its content."""
        status = next(one for one in operation["responses"] if one.startswith("2") and one != "204")
        media_type, content = next(iter(operation["responses"][status]["content"].items()))  # what is answered unasked
        return int(status), media_type, content

    def check(self, schema: dict[str, Any], value: Any) -> None:
        Draft202012Validator(schema | {"components": {"schemas": self.schemas}}).validate(value)

    def resolved(self, schema: dict[str, Any], value: Any) -> dict[str, Any]:
        """Return the schema that a value has, of those that it may have."""
        if "$ref" in schema:
            return self.resolved(self.schemas[schema["$ref"].rpartition("/")[2]], value)
        for choice in schema.get("anyOf", ()):
            one = choice | {"components": {"schemas": self.schemas}}
            if Draft202012Validator(one).is_valid(value):
                return self.resolved(choice, value)
        return schema

    def differences(self, schema: dict[str, Any], shown: Any, found: Any, at: str = "") -> list[str]:
        """Return where an answer has other members or types than the example."""
        if shown is None or found is None:  # whether it may be null is the schema's to say
            return []
        if schema and _kind(shown) != _kind(found):
            return [f"{at} is {_kind(found)}, not {_kind(shown)}"]
        mine, theirs = self.resolved(schema, shown), self.resolved(schema, found)
        if mine is not theirs or not mine:
            return []
        if isinstance(shown, list):
            shown = shown[:1] * len(found)
            return [one for n, pair in enumerate(zip(shown, found, strict=False))
                    for one in self.differences(mine.get("items", {}), *pair, f"{at}/{n}")]  # fmt: skip
        if not isinstance(shown, dict) or "properties" not in mine:
            return []
        must = set(mine.get("required", mine["properties"]))
        others = {name for name in shown.keys() ^ found.keys() if name in must and "required" in mine}
        wrong = [f"{at} has {sorted(found.keys())}, not {sorted(shown.keys())}"] if others else []
        for name in shown.keys() & found.keys() & mine["properties"].keys():
            wrong += self.differences(mine["properties"][name], shown[name], found[name], f"{at}/{name}")
        return wrong


def _kind(value: Any) -> str:
    return "number" if isinstance(value, (int, float)) and not isinstance(value, bool) else type(value).__name__


@pytest.fixture
def document(world: World) -> Document:
    return Document(world.app.openapi())


def request_of(operation: dict[str, Any], path: str, has: Prepared) -> tuple[str, dict[str, Any]]:
    """Return the address and the rest of a call as the document's examples have them."""
    query = {}
    for one in operation.get("parameters", []):
        if "example" in one and one["in"] == "path":
            path = path.replace(f"{{{one['name']}}}", quote(str(has.values.get(one["name"], one["example"])), safe=""))
        elif "example" in one and one["in"] == "query":
            query[one["name"]] = one["example"]
    headers = {"Authorization": f"Bearer {has.bearer}"}
    if not operation.get("security", [{}]):
        headers = {"Authorization": ""}
    body = None
    if "requestBody" in operation:
        body = operation["requestBody"]["content"]["application/json"]["example"]
        if isinstance(body, dict):
            body = body | {name: value for name, value in has.body.items() if name in body}
    content = None if body is None else json.dumps(body).encode()
    return f"{path}?{urlencode(query)}" if query else path, {"headers": headers, "content": content}


async def made(document: Document, has: Prepared, method: str, path: str, **more: str) -> httpx.Response:
    """Make a call with the document's examples."""
    url, rest = request_of(document.operation(method, path), path, has)
    rest["headers"] |= more
    return await has.caller.http.request(method.upper(), url, **rest)


async def test_every_call_answers_as_its_example(world: World, document: Document, tmp_path: Path) -> None:
    world.parts.access._has_told = True  # so that the installation is ready
    wrong: dict[str, Any] = {}
    for method, path in calls(world):
        if path in SIGNED:
            continue
        operation = document.operation(method, path)
        status, media_type, content = document.answer(operation)
        document.check(content["schema"], content["example"])
        if "requestBody" in operation:
            body = operation["requestBody"]["content"]["application/json"]
            document.check(body["schema"], body["example"])
        try:
            has = await prepared(
                world, tmp_path / f"prepared-{len(wrong)}-{method}{path.replace('/', '-')}", method, path
            )
            answer = await made(document, has, method, path)
            assert answer.status_code == status, answer.text
            assert answer.headers["content-type"] == media_type
            found = json.loads(answer.content.splitlines()[0]) if media_type.endswith("ndjson") else answer.json()
            document.check(content["schema"], found)
            assert document.differences(content["schema"], content["example"], found) == []
        except Exception as error:
            wrong[f"{method} {path}"] = f"{type(error).__name__}: {error}"[:600]
    assert not wrong, "\n".join(f"{call}: {what}" for call, what in wrong.items())


def test_every_problem_has_an_example_that_is_one(world: World, document: Document) -> None:
    components = document.document["components"]["responses"]
    named: set[str] = set()
    for method, path in (one for one in calls(world) if one[1] not in SIGNED):
        for status, response in document.operation(method, path)["responses"].items():
            if status[0] in "45" and not (path in ("/health", "/readyz") and status == "503"):
                component = components[response["$ref"].rpartition("/")[2]]
                content = component["content"]["application/problem+json"]
                document.check(content["schema"], content["example"])
                assert content["example"]["status"] == int(status)
                assert content["example"]["code"]
                named.add(status)
    assert named >= set(PROBLEMS)


def test_every_parameter_of_a_path_has_an_example(world: World, document: Document) -> None:
    for method, path in calls(world):
        told = document.operation(method, path).get("parameters", [])
        exemplified = {one["name"] for one in told if one["in"] == "path" and "example" in one}
        assert exemplified == set(re.findall(r"\{(\w+)\}", path)), (method, path)
