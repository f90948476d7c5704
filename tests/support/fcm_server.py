"""FCM as its discovery document describes it, with Google's token endpoint before it; for `provider_server`.

A field that the document does not know, a value of another type, no target or two, a data key that is reserved, a
token that was not given out: each is refused as Google refuses it. An assertion has to be signed by the service
account's key, for this audience and scope, and not be expired.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.support.provider_server import Call, Says

SCOPE = "https://www.googleapis.com/auth/firebase.messaging"
AUDIENCE = "https://oauth2.googleapis.com/token"
GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
_FCM_ERROR = "type.googleapis.com/google.firebase.fcm.v1.FcmError"
_BAD_REQUEST = "type.googleapis.com/google.rpc.BadRequest"


def failure(status: int, name: str, message: str = "no", **detail: Any) -> Says:
    details = [detail] if detail else []
    return Says(status, json.dumps({"error": {"code": status, "message": message, "status": name, "details": details}}))


def fcm_failure(status: int, name: str, code: str, message: str = "no") -> Says:
    return failure(status, name, message, **{"@type": _FCM_ERROR, "errorCode": code})


UNREGISTERED = fcm_failure(404, "NOT_FOUND", "UNREGISTERED")
BAD_TOKEN = fcm_failure(
    400, "INVALID_ARGUMENT", "INVALID_ARGUMENT", "The registration token is not a valid FCM registration token"
)
"""Google's own example."""


@dataclass
class Fcm:
    """``dead``: tokens that are registered no more."""

    discovery: dict[str, Any]
    credentials: dict[str, str]
    now_s: int
    lives_s: int = 3_600
    dead: set[str] = field(default_factory=set)
    given_out: list[str] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, call: Call) -> Says:
        if call.target == "/token":
            return self._give(call.form())
        if call.target != f"/v1/projects/{self.credentials['project_id']}/messages:send":
            return failure(404, "NOT_FOUND")
        if call.headers.get("authorization") not in [f"Bearer {token}" for token in self.given_out]:
            return failure(401, "UNAUTHENTICATED")
        return self._take(call.json())

    def _give(self, form: dict[str, str]) -> Says:
        public = load_pem_private_key(self.credentials["private_key"].encode(), None).public_key()
        try:
            assert form.keys() == {"assertion", "grant_type"}
            assert form["grant_type"] == GRANT
            assert jwt.get_unverified_header(form["assertion"])["kid"] == self.credentials["private_key_id"]
            claims = jwt.decode(
                form["assertion"],
                public,  # type: ignore[arg-type]
                ["RS256"],
                {"verify_exp": False, "verify_iat": False},
                audience=AUDIENCE,
                issuer=self.credentials["client_email"],
            )
            assert claims["scope"] == SCOPE
            assert claims["iat"] <= self.now_s < claims["exp"] <= claims["iat"] + 3_600
        except (AssertionError, KeyError, jwt.InvalidTokenError):
            return Says(400, '{"error": "invalid_grant", "error_description": "Invalid JWT"}')
        self.given_out.append(f"ya29.{len(self.given_out)}")
        given = {"access_token": self.given_out[-1], "expires_in": self.lives_s, "token_type": "Bearer"}
        return Says(200, json.dumps(given))

    def _take(self, asked: Any) -> Says:
        wrong = list(self.problems("SendMessageRequest", asked))
        message = asked.get("message", {}) if isinstance(asked, dict) else {}
        if not wrong and sum(name in message for name in ("token", "fid", "topic", "condition")) != 1:
            wrong.append("message")
        for key in message.get("data", {}) if not wrong else ():
            if key in ("from", "message_type") or key.startswith(("google.", "gcm.notification.")):
                wrong.append(f"message.data[{key}]")
        if wrong:
            violations = [{"field": place, "description": "Invalid value"} for place in wrong]
            return failure(400, "INVALID_ARGUMENT", **{"@type": _BAD_REQUEST, "fieldViolations": violations})
        if message["token"] in self.dead:
            return UNREGISTERED
        self.messages.append(message)
        return Says(200, json.dumps({"name": f"projects/{self.credentials['project_id']}/messages/0:17%a"}))

    def problems(self, schema: str, value: Any, place: str = "") -> Any:
        """The places where a value is not as the document's schema says."""
        return self._differs({"$ref": schema}, value, place)

    def _differs(self, schema: dict[str, Any], value: Any, place: str) -> Any:
        schema = self.discovery["schemas"][schema["$ref"]] if "$ref" in schema else schema
        match schema.get("type"):
            case "object" if isinstance(value, dict):
                fields = schema.get("properties", {})
                for name, inner in value.items():
                    of = fields.get(name, schema.get("additionalProperties"))
                    at = f"{place}.{name}".lstrip(".")
                    if of is None:
                        yield at
                    else:
                        yield from self._differs(of, inner, at)
            case "array" if isinstance(value, list):
                for number, inner in enumerate(value):
                    yield from self._differs(schema["items"], inner, f"{place}[{number}]")
            case "string" if isinstance(value, str) and value in schema.get("enum", [value]):
                return
            case "boolean" if isinstance(value, bool):
                return
            case "integer" | "number" if isinstance(value, int | float) and not isinstance(value, bool):
                return
            case "any":
                return
            case _:
                yield place
