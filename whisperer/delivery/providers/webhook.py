"""Read the configuration of an endpoint that takes webhooks.

{url, secrets: ["whsec_…", …]}
"""

from __future__ import annotations

from typing import Any

from whisperer.delivery.providers.endpoints import MAX_URL, url_problem, without_query
from whisperer.delivery.providers.reading import HIDDEN, ConfigReader
from whisperer.delivery.providers.spec import ProviderSpec
from whisperer.delivery.webhooks import parse_secret
from whisperer.vocabulary.channels import CHANNELS

MAX_SECRETS = 5


def _read(reader: ConfigReader, config: dict[str, Any]) -> dict[str, Any]:
    reader.fields(config, ("url", "secrets"))
    url = reader.text(config, "url", MAX_URL)
    problem = None if url is None else url_problem(url, WEBHOOK)
    if problem is not None:
        reader.note("/config/url", "invalid_url", problem)
    secrets = config.get("secrets")
    if not isinstance(secrets, list) or not secrets:
        reader.note("/config/secrets", "missing_field", "write a list with at least one secret: whsec_ and base64")
        secrets = []
    if len(secrets) > MAX_SECRETS:
        reader.note("/config/secrets", "too_many", f"{len(secrets)} secrets; at most {MAX_SECRETS} sign at once")
    for index, secret in enumerate(secrets[:MAX_SECRETS]):
        try:
            parse_secret(secret if isinstance(secret, str) else "")
        except ValueError as error:
            reader.note(f"/config/secrets/{index}", "invalid_secret", str(error))
    return {"url": url, "secrets": list(secrets)}


def _last_four(secrets: list[Any]) -> list[str]:
    return [f"whsec_{HIDDEN}{str(secret)[-4:]}" for secret in secrets]


WEBHOOK = ProviderSpec(
    "webhook",
    channels=tuple(CHANNELS),
    takes_keys=True,  # `webhook-id` is the send key, which receivers accept once (Standard Webhooks)
    read=_read,
    shown={"url": without_query, "secrets": _last_four},
    own_ports=(80, 443),
    is_plain_allowed=True,  # its requests are signed, and carry no secret
)
