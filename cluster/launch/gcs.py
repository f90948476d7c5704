"""Keeps Ray's GCS state in a Redis, so that its process may die while the rest of the cluster continues.

Decides the names under which Ray keeps its state there (a new namespace at every start of a head, because a new head
must not find an old one's actors), and restarts a GCS that died with the command Ray started it with. Ray lets raylets,
actors and drivers find it again. While the GCS is away nothing new starts, and what runs continues.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import subprocess
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote, urlsplit

import msgspec

from cluster.errors import SettingsError
from cluster.launch.installation import Installation
from cluster.launch.pids import Pid, identify, named
from cluster.private_files import write_private

PROGRAM = "gcs_server"
RECORD = "gcs.json"
AWAY_S = 3600
"""How long raylets and workers of such a cluster live without a GCS; Ray's own default is a minute."""

_log = logging.getLogger(__name__)


class GcsCommand(msgspec.Struct, frozen=True):
    """How the GCS was started. The command line may contain the Redis password, so only the owner can read the file."""

    command: list[str]
    environment: dict[str, str]


def fresh_namespace(installation: Installation, gcs_redis: str) -> str:
    """Return a namespace for the next head's state; delete the previous state. Raises SettingsError for a wrong URL."""
    if not gcs_redis:
        return ""
    _taken_apart(gcs_redis)
    forget(installation, gcs_redis)
    return f"whisperer-{installation.id}-{secrets.token_hex(4)}"


def forget(installation: Installation, gcs_redis: str) -> None:
    """Delete what Ray stored for the last cluster. If the Redis is away, a few hundred KB stay behind, unused."""
    if not (gcs_redis and installation.gcs_namespace):
        return
    import redis  # loaded only when a Redis is used

    with contextlib.suppress(redis.RedisError), redis.Redis.from_url(gcs_redis, socket_timeout=5) as client:
        for key in client.scan_iter(match=f"RAY{installation.gcs_namespace}@*", count=1000):
            client.unlink(key)


def environment(installation: Installation) -> dict[str, str]:
    """Return what every process of such a cluster needs in its environment."""
    _, settings = installation.configured()
    return {"RAY_gcs_rpc_server_reconnect_timeout_s": str(AWAY_S)} if settings.cluster.gcs_redis else {}


def head_environment(installation: Installation) -> dict[str, str]:
    """Return what the head needs in addition."""
    _, settings = installation.configured()
    if not settings.cluster.gcs_redis:
        return {}
    address, _ = _taken_apart(settings.cluster.gcs_redis)
    return {"RAY_REDIS_ADDRESS": address, "RAY_external_storage_namespace": installation.gcs_namespace}


def start_options(installation: Installation) -> dict[str, object]:
    """Return the additional options of `ray start --head`."""
    _, settings = installation.configured()
    return _taken_apart(settings.cluster.gcs_redis)[1] if settings.cluster.gcs_redis else {}


def remember(installation: Installation) -> None:
    """Record how the running GCS was started, if it can be restarted."""
    _, settings = installation.configured()
    path = _path(installation)
    if not settings.cluster.gcs_redis:
        path.unlink(missing_ok=True)
        return
    for gcs in named(installation.head, [PROGRAM]):
        process = Path("/proc") / str(gcs.pid)
        command = process.joinpath("cmdline").read_bytes().decode().split("\0")[:-1]
        variables = dict(_pairs(process.joinpath("environ").read_bytes().decode()))
        write_private(path, msgspec.json.encode(GcsCommand(command, variables)))


def revive(installation: Installation) -> bool:
    """Restart the GCS if it is the only one of the head's servers that has ended. Returns whether it was restarted."""
    raylets = named([pid for pid in installation.head if pid.alive()], ["raylet"])
    path = _path(installation)
    if installation.running or not raylets or not path.exists():
        return False
    recorded = msgspec.json.decode(path.read_bytes(), type=GcsCommand)
    _log.warning("the GCS has ended; starting it again")
    started = subprocess.Popen(  # noqa: S603  the command line that Ray started it with
        recorded.command,
        env=recorded.environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    gcs: Pid | None = identify(started.pid)
    if gcs is None:
        return False
    installation.head = [gcs, *raylets]
    installation.pids = [*installation.pids, gcs]
    installation.save()
    return True


def _path(installation: Installation) -> Path:
    return Path(installation.data_dir) / RECORD


def _pairs(environ: str) -> Iterator[tuple[str, str]]:
    for entry in environ.split("\0"):
        name, equals, value = entry.partition("=")
        if equals:
            yield name, value


def _taken_apart(url: str) -> tuple[str, dict[str, object]]:
    """Split a Redis URL into the address, and the user and password options, that Ray takes."""
    parts = urlsplit(url)
    if parts.scheme not in ("redis", "rediss") or not parts.hostname or "," in parts.netloc:
        raise SettingsError("cluster.gcs_redis must be redis://host:port or rediss://host:port, one host.")
    if parts.path.strip("/") not in ("", "0"):
        raise SettingsError("cluster.gcs_redis: Ray keeps its state in database 0; name no other.")
    address = f"{parts.hostname}:{parts.port or 6379}"
    options: dict[str, object] = {}
    if parts.username:
        options["redis-username"] = unquote(parts.username)
    if parts.password:
        options["redis-password"] = unquote(parts.password)
    return (f"rediss://{address}" if parts.scheme == "rediss" else address), options
