"""Where providers post what became of messages. The secret address says whose channel is meant, and each provider's own
signature that it was the provider: nobody else has a key here. docs/delivery.md has a chapter about it.
"""

from typing import Any

import msgspec
from fastapi import FastAPI, Request
from starlette.responses import Response

from serve_apps.gateway.http.documented import answered
from serve_apps.gateway.http.exchange import answer, read_body
from serve_apps.gateway.services.callbacks import Posted
from serve_apps.gateway.services.parts import Parts

CALLBACK_PATH = "/v1/callbacks/{provider}/{token}"
MAX_BODY_BYTES = 1 << 20


class Taken(msgspec.Struct):
    """How much of a callback was used: events and replies taken, and events that say nothing we act on."""

    taken: int
    ignored: int


_EVENTS = [
    {
        "event": "bounce",
        "type": "bounce",
        "status": "5.1.1",
        "timestamp": 1767225600,
        "sg_event_id": "c2c4",
        "reference": "rV0m7",
    }
]
_SNS = {"Type": "Notification", "MessageId": "m-1", "TopicArn": "arn:aws:sns:eu-west-1:123456789012:whisperer"}
_REPORT = "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n--b\r\n..."
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": {"schema": {"type": "array", "items": {"type": "object"}}, "example": _EVENTS},
            "text/plain": {"schema": {"type": "string"}, "example": msgspec.json.encode(_SNS).decode()},
            "message/rfc822": {"schema": {"type": "string"}, "example": _REPORT},
            "application/x-www-form-urlencoded": {
                "schema": {"type": "object", "additionalProperties": {"type": "string"}},
                "example": {"MessageSid": "SM1", "MessageStatus": "delivered"},
            },
        },
    }
}


def install(app: FastAPI, parts: Parts) -> None:
    """Add the route, which a token opens."""

    @app.post(
        CALLBACK_PATH,
        tags=["callbacks"],
        summary="Report what became of messages, as a provider; each posts in its own form, signed in its own way",
        openapi_extra=_BODY | answered(Taken, {"taken": 1, "ignored": 0}),
    )
    async def take_callback(provider: str, token: str, request: Request) -> Response:
        query = request.url.query
        posted = Posted(
            f"?{query}" if query else "",
            dict(request.query_params),
            {name.lower(): value for name, value in request.headers.items()},
            await read_body(request, MAX_BODY_BYTES),
        )
        heard = await parts.callbacks.take(provider, token, posted)
        if heard.body:
            return Response(heard.body, 200, {"Cache-Control": "no-store"}, heard.media_type)
        return answer(Taken(len(heard.told) + len(heard.replies), heard.n_ignored))
