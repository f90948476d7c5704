"""Gives the parameters of paths, and those of queries that must be there, an example: the names that the examples of
bodies and answers have.
"""

from typing import Any

from serve_apps.gateway.routes.examples import AUDIT, DECISION, REVIEW, SIMULATION

_NAMES = {
    "campaigns": "trial-welcome",
    "templates": "tips-email",
    "segments": "regulars",
    "policies": "offers",
    "reports": "weekly",
    "catalogues": "products",
    "coupon-pools": "spring",
}
"""By the resource of the path: what `{name}` is."""
_VALUES: dict[str, Any] = {
    "user_id": "u-17",
    "decision_id": DECISION["decision_id"],
    "export_id": "exp_01kb9v00000000000000a1",
    "message": DECISION["decision_id"],
    "locale": "de",
    "delivery_id": "snd_0f6jkq2w1m9r4v7x3s8c5b2n0d",
    "send_key": AUDIT["send"]["send_key"],
    "id": SIMULATION["id"],
    "channel": "email",
    "provider": "smtp",
    "token": "q1cJ9kFb0yT3vXo2",
    "item_id": "p-1",
    "version": 2,
    "serial": 42,
    "key_id": "key_01kdq3m5v7",
    "member_id": "per_01kdq3m5v7",
    "invitation_id": "ivt_01kdq3m5v7",
    "role": "copywriter",
    "environment": "test",
    "issuer": "iss_01kb3q",
    "review_id": REVIEW["id"],
    "sign_in": "fam_01kb3q",
}


def exemplify(path: str, operation: dict[str, Any]) -> None:
    """Add the examples of an operation's parameters."""
    resource = path.split("/")[2] if path.startswith("/v1/") else ""
    for one in operation.get("parameters", []):
        name = one["name"]
        must = one.get("required") or (path in ("/v1/users/export", "/v1/users/inbox") and name == "user_id")
        if one["in"] in ("path", "query") and must:
            found = _NAMES.get(resource) if name == "name" else _VALUES.get(name)
            if found is not None:
                one.setdefault("example", found)
