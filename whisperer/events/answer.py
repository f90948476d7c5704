"""Build the client's answer: the Tracking API's 200, or a refusal as RFC 9457 problem+json. Pure; returns dicts."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

from whisperer.events.outcome import Admission
from whisperer.events.refusals import Refusal, Rejected

PROBLEM_MEDIA_TYPE = "application/problem+json"


def success(outcome: Admission) -> dict[str, Any]:
    """Return the body of a 200: exactly ``{"success": true}`` if every event was kept, because SDKs compare it."""
    if not outcome.rejected:
        return {"success": True}
    return {"success": True, "accepted": outcome.n_accepted, "rejected": rejected_list(outcome)}


def rejected_list(outcome: Admission) -> list[dict[str, Any]]:
    """Return each rejected event's index, messageId, code and message."""
    return [
        {"index": one.index, "messageId": one.message_id, "code": one.code.value, "message": one.message}
        for one in outcome.rejected
    ]


def problem(refusal: Refusal, *, instance: str | None = None, outcome: Admission | None = None) -> dict[str, Any]:
    """Return the body of a refused request; its status is ``refusal.status``.

    ``instance``: the request's path or trace URI. ``outcome``: a batch whose events were all rejected, to list them.
    """
    body: dict[str, Any] = {
        "type": f"urn:user-whisperer:problem:{refusal.code.value}",
        "title": HTTPStatus(refusal.status).phrase,
        "status": refusal.status,
        "detail": refusal.message,
        "instance": instance,
        "code": refusal.code.value,
        "message": refusal.message,
        "errors": [_error(refusal.pointer, refusal.code.value, refusal.message)],
    }
    if outcome is not None and outcome.is_batch and outcome.rejected:
        body["accepted"] = outcome.n_accepted
        body["rejected"] = rejected_list(outcome)
        body["errors"] = [_error(_pointer_in_batch(one), one.code.value, one.message) for one in outcome.rejected]
    if instance is None:
        del body["instance"]
    return body


def answer(result: Admission | Refusal, *, instance: str | None = None) -> tuple[int, dict[str, Any]]:
    """Return (HTTP status, JSON body) for what parse or admit returned: 200 ``application/json``, else a problem."""
    if isinstance(result, Refusal):
        return result.status, problem(result, instance=instance)
    refusal = result.refusal
    if refusal is None:
        return 200, success(result)
    return refusal.status, problem(refusal, instance=instance, outcome=result)


def _error(pointer: str, code: str, message: str) -> dict[str, str]:
    return {"pointer": pointer, "code": code, "message": message}


def _pointer_in_batch(rejected: Rejected) -> str:
    return f"/batch/{rejected.index}{rejected.pointer}"
