"""Describes what a route takes and answers, for the OpenAPI document.

A body is named by its schema (:mod:`serve_apps.gateway.routes.openapi` has them); an answer's schema is made from the
type that is answered with, so that it cannot say anything else. Both come with an example, which a test carries out.
"""

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from serve_apps.gateway.http.problems import problem_body
from serve_apps.gateway.http.schemas import schema_of

JSON, NDJSON = "application/json", "application/x-ndjson"
PLACE = "#/components/schemas/"


def described(schema: str, example: Any, *, required: bool = True) -> dict[str, Any]:
    """Return the OpenAPI of a body, by its schema's name."""
    content = {JSON: {"schema": {"$ref": PLACE + schema}, "example": example}}
    return {"requestBody": {"required": required, "content": content}}


def answered(kind: Any, example: Any, status: int = 200, *, media_type: str = JSON) -> dict[str, Any]:
    """Return the OpenAPI of an answer of a type, with its definitions within; the document moves them to their place.

    Parameters
    ----------
    kind : a struct, or a union of structs
    example : the answer as JSON values
    """
    return with_schema(schema_of(kind), example, status, media_type=media_type)


def with_schema(schema: dict[str, Any], example: Any, status: int = 200, *, media_type: str = JSON) -> dict[str, Any]:
    """Return the OpenAPI of an answer of a schema."""
    content = {media_type: {"schema": schema, "example": example}}
    return {"responses": {str(status): {"description": _SAID[status], "content": content}}}


def responses(errors: Mapping[str, tuple[str, str, str]]) -> dict[str, Any]:
    """Return the components of all problems, each with an example.

    Parameters
    ----------
    errors : by status: when it is answered, and the code and the message of the example
    """
    return {name_of(status): _problem(status, *said) for status, said in errors.items()}


def name_of(status: str) -> str:
    """Return the name of a status's component, such as NotFound."""
    return HTTPStatus(int(status)).phrase.title().replace(" ", "").replace("-", "")


def _problem(status: str, when: str, code: str, message: str) -> dict[str, Any]:
    errors = [{"pointer": "/name", "code": code, "message": message}] if status == "422" else []
    example = problem_body(int(status), code, message, "/v1/templates/tips-email", errors)
    content = {"application/problem+json": {"schema": {"$ref": f"{PLACE}Problem"}, "example": example}}
    headers = {
        name: {"description": about, "schema": {"type": "string"}, "example": shown}
        for name, (of, about, shown) in _HEADERS.items()
        if status in of
    }
    return {"description": when, "content": content} | ({"headers": headers} if headers else {})


_HEADERS = {
    "Retry-After": (("429", "503"), "seconds after which to come back", "2"),
    "Allow": (("405",), "the methods that are answered", "GET, PUT"),
    "WWW-Authenticate": (("401",), "how to say who calls", "Bearer"),
}
_SAID = {200: "Done", 201: "Made", 202: "Begun", 503: "Not now, and why"}
