"""Read the configuration of an endpoint that takes webhooks.

{url, secrets: ["whsec_…", …]}
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from whisperer.delivery.providers.reading import ConfigReader
from whisperer.delivery.providers.spec import HIDDEN, ProviderSpec
from whisperer.delivery.webhooks import parse_secret
from whisperer.vocabulary.channels import CHANNELS

MAX_SECRETS = 5
MAX_URL = 2_048


def _read(reader: ConfigReader, config: dict[str, Any]) -> dict[str, Any]:
    reader.fields(config, ("url", "secrets"))
    url = reader.text(config, "url", MAX_URL)
    problem = None if url is None else _url_problem(url)
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


def _url_problem(url: str) -> str | None:
    """Return what is wrong with a URL, or None, never quoting it: it may carry a token."""
    if not url.isascii() or " " in url or "\\" in url:
        return "write the URL in ASCII, without blanks and backslashes"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "this is no URL"
    if parts.scheme not in ("http", "https"):
        return "a webhook's URL starts with https:// or http://"
    if not parts.hostname:
        return "the URL has no host"
    if "@" in parts.netloc:
        return "leave user and password out of the URL; the signature says who is calling"
    if parts.fragment or url.endswith("#"):
        return "leave the part behind # out; it is never sent"
    if port is not None and not WEBHOOK.allows_port(port):
        return WEBHOOK.ports
    return None


def _last_four(secrets: list[Any]) -> list[str]:
    return [f"whsec_{HIDDEN}{str(secret)[-4:]}" for secret in secrets]


def _without_query(url: object) -> str:
    address, question, _ = str(url).partition("?")
    return address + question + (HIDDEN if question else "")


WEBHOOK = ProviderSpec(
    "webhook",
    channels=tuple(CHANNELS),
    takes_keys=True,  # `webhook-id` is the send key, which receivers accept once (Standard Webhooks)
    read=_read,
    shown={"url": _without_query, "secrets": _last_four},
    own_ports=(80, 443),
)
