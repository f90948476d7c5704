"""Read the addresses that a provider is called at, and what may be shown of them.

A `base_url` is an address without a query, so that a path can be added. `http://` is taken here, because where a host
leads is known only when it is called: `serve_apps/delivery/exchange.py` lets it go to opened networks only.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from whisperer.delivery.providers.reading import HIDDEN, ConfigReader
from whisperer.delivery.providers.spec import ProviderSpec

MAX_URL = 2_048


def url_problem(url: str, spec: ProviderSpec) -> str | None:
    """Return what is wrong with a URL, or None, never quoting it: it may carry a token."""
    if not url.isascii() or " " in url or "\\" in url:
        return "write the URL in ASCII, without blanks and backslashes"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "this is no URL"
    if parts.scheme not in ("http", "https"):
        return "the URL starts with https:// or http://"
    if not parts.hostname:
        return "the URL has no host"
    if "@" in parts.netloc:
        return "leave user and password out of the URL"
    if parts.fragment or url.endswith("#"):
        return "leave the part behind # out; it is never sent"
    if port is not None and not spec.allows_port(port):
        return spec.ports
    return None


def read_base_url(
    reader: ConfigReader, config: dict[str, Any], spec: ProviderSpec, default: str, name: str = "base_url"
) -> str:
    """Return where the provider's API is, without a slash at the end; ``default`` is the public one."""
    url = reader.text(config, name, MAX_URL, required=False)
    if url is None:
        return default
    problem = "leave the part from ? on out; paths are added to this URL" if "?" in url else url_problem(url, spec)
    if problem is not None:
        reader.note(f"/config/{name}", "invalid_url", problem)
    return url.rstrip("/")


def without_query(url: object) -> str:
    """Return what may be shown of a URL whose query may carry a token."""
    address, question, _ = str(url).partition("?")
    return address + question + (HIDDEN if question else "")


def host_only(url: object) -> str:
    """Return what may be shown of a URL whose path may carry a token."""
    parts = urlsplit(str(url))
    return f"{parts.scheme}://{parts.netloc}/{HIDDEN}" if url else ""
