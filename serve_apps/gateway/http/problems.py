"""Turns exceptions into RFC 9457 problem+json: the only place where REST statuses and error bodies are made."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

import msgspec
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from actors.telemetry import tracing
from serve_apps.gateway.http.methods import allowed
from whisperer.errors import ProblemsError, WhispererError
from whisperer.events.answer import PROBLEM_MEDIA_TYPE

_log = logging.getLogger(__name__)

MAX_SAID = 2_000
"""Most characters of a request's name that an error repeats: a path may have tens of thousands."""

_CODES = {404: "not_found", 405: "method_not_allowed", 422: "invalid_request"}


def problem(
    request: Request,
    status: int,
    code: str,
    message: str,
    *,
    errors: Sequence[Mapping[str, Any]] | None = None,
    retry_after_s: float | None = None,
    **more: Any,
) -> Response:
    """Return an error response as problem+json."""
    body = problem_body(status, code, message, request.url.path, errors) | more
    headers = {} if retry_after_s is None else {"Retry-After": str(max(1, round(retry_after_s)))}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    return Response(msgspec.json.encode(body), status, headers, PROBLEM_MEDIA_TYPE)


def problem_body(
    status: int, code: str, message: str, path: str, errors: Sequence[Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """Return the members of a problem that was met at a path."""
    message = message[:MAX_SAID]
    return {
        "type": f"urn:user-whisperer:problem:{code}",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": message,
        "instance": path[:MAX_SAID],
        "code": code,
        "message": message,
        "errors": errors or [],
    }


def install(app: FastAPI) -> None:
    """Make an application answer every error with a problem."""

    @app.exception_handler(WhispererError)
    async def ours(request: Request, error: WhispererError) -> Response:
        return refusal(request, error)

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        errors = [
            {"pointer": "/" + "/".join(map(str, one["loc"])), "code": one["type"], "message": one["msg"]}
            for one in error.errors()
        ]
        return problem(request, 422, "invalid_request", "the request does not have the form it needs", errors=errors)

    @app.exception_handler(HTTPException)
    async def http(request: Request, error: HTTPException) -> Response:
        answer = problem(request, error.status_code, _CODES.get(error.status_code, "http_error"), str(error.detail))
        answer.headers.update(error.headers or {})
        if error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
            answer.headers["Allow"] = ", ".join(allowed(app, dict(request.scope)))
        return answer

    @app.exception_handler(Exception)
    async def anything(request: Request, error: Exception) -> Response:
        return unexpected(request, error)


def refusal(request: Request, error: WhispererError) -> Response:
    """Return one of our errors as its problem."""
    if error.status >= 500 and not error.retryable:
        return unexpected(request, error)
    if isinstance(error, ProblemsError):  # well-formed, with every problem found
        return problem(request, 422, error.code, error.message, errors=error.errors)
    return problem(request, error.status, error.code, error.message, retry_after_s=error.retry_after_s)


def unexpected(request: Request, error: Exception) -> Response:
    """Return a 500 that reveals nothing except where to look."""
    trace_id = tracing.trace_id()
    _log.error("%s %s failed", request.method, request.url.path, exc_info=error, extra={"trace_id": trace_id})
    message = "an error on our side; the operator finds it in the log by the trace id"
    return problem(request, 500, "internal", message, trace_id=trace_id)
