"""Check whether a Redis may keep a journal: what its configuration says about syncing, evicting and its version.

Relies on what the server says of itself. A server that answers before it has synced loses acknowledged records in a
power cut; one that may evict keys loses whole journals. What a provider hides (CONFIG is often forbidden) cannot be
checked: ``journal.require_fsync = false`` says that somebody has checked it.
"""

from __future__ import annotations

import logging

import redis

from actors.journal.redis_place import RedisPlace, Rules
from whisperer.errors import JournalError

OLDEST_VERSION = (6, 2)  # XTRIM MINID, LPOS

_WANTED = {"appendonly": "yes", "appendfsync": "always", "no-appendfsync-on-rewrite": "no"}

_log = logging.getLogger(__name__)


def check_server(client: redis.Redis, place: RedisPlace, rules: Rules) -> None:
    """Raise JournalError naming the setting to change; only warn of missing syncs where they are allowed."""
    version = str(client.info("server")["redis_version"])
    if tuple(int(part) for part in version.split(".")[:2]) < OLDEST_VERSION:
        raise JournalError(
            f"{place}: Redis {version} is too old for a journal: {OLDEST_VERSION[0]}.{OLDEST_VERSION[1]}"
        )
    try:
        configured = {
            name: str(found)
            for pattern in ("append*", "no-appendfsync*", "maxmemory-policy")
            for name, found in client.config_get(pattern).items()
        }
    except redis.ResponseError as error:
        doubt = f"whether it syncs before it answers cannot be seen ({error})"
    else:
        policy = configured.get("maxmemory-policy", "")
        if policy.startswith("allkeys"):
            raise JournalError(f"{place}: maxmemory-policy {policy} may evict journals: set it to noeviction")
        wrong = [f"{name} {configured.get(name)}" for name, wanted in _WANTED.items() if configured.get(name) != wanted]
        doubt = f"it answers before its disk has what was written ({', '.join(wrong)})" if wrong else ""
    if doubt and rules.require_fsync:
        wanted = ", ".join(f"{name} {value}" for name, value in _WANTED.items())
        raise JournalError(f"{place}: {doubt}: set {wanted}; or journal.require_fsync = false to do without")
    if doubt:
        _log.warning("%s: %s: a power cut may lose acknowledged events", place, doubt)
