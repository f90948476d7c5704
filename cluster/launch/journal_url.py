"""Derives the journal's URL for an installation: of a known kind and, in a shared Redis, separate from all others.

Decides the prefix of this installation's keys unless the URL names one. The shards open what is behind the URL.
"""

from __future__ import annotations

from urllib.parse import parse_qsl, urlsplit

from cluster.errors import SettingsError

_REDIS = ("redis", "rediss")


def in_force(url: str, installation_id: str) -> str:
    """Return the URL to use. Raises SettingsError, which does not quote the URL, since it may hold a password."""
    parts = urlsplit(url)
    if parts.scheme == "file" and not parts.netloc and parts.path.startswith("/"):
        return url
    if parts.scheme not in _REDIS or not parts.netloc:
        raise SettingsError(
            'journal.url must be file:///absolute/dir, redis://host:port/0 or rediss://host:port/0 (or "", the data '
            "folder)."
        )
    if any(name == "prefix" for name, _ in parse_qsl(parts.query)):
        return url
    query = "&".join(filter(None, [parts.query, f"prefix=whisperer-{installation_id}"]))
    return parts._replace(query=query, path=parts.path or "/0").geturl()
