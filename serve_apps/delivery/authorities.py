"""Says whose certificates are believed: one TLS context a process, since reading the authorities takes 0.1 s, during
which an event loop does nothing else."""

from __future__ import annotations

import ssl
from functools import cache

import httpx


@cache
def public_authorities() -> ssl.SSLContext:
    """Return httpx's context, for APIs and webhooks: certifi's authorities, or those that SSL_CERT_FILE names."""
    return httpx.create_ssl_context()


@cache
def system_authorities() -> ssl.SSLContext:
    """Return the context of the machine's own authorities, for mail servers, which are often a company's."""
    return ssl.create_default_context()
