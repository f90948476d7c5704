"""Allocates the ports and the temporary folder of an installation, so that several can share one machine.

Ports come in blocks of 256 below the range the kernel uses for outgoing connections. A block is claimed by making the
folder ``<tmp>/uw-<block>``: making a folder is atomic, so two installations that start at the same moment cannot claim
the same one, and the short name keeps Ray's socket paths under the 107 bytes that AF_UNIX allows. A claim whose
installation is gone is taken over; a block in which something else listens is skipped.
"""

from __future__ import annotations

import os
import shutil
import socket
import zlib
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from cluster.errors import NoFreePortsError

FIRST_PORT = 10_240
BLOCK_PORTS = 256
N_BLOCKS = 86  # up to 32,255; Linux uses 32,768 and above for outgoing connections
CLAIM_FILE = "installation"
_LOOPBACK = "127.0.0.1"


class Ports(msgspec.Struct, frozen=True):
    """Where each part of one installation listens. Ranges are [first, last]."""

    http: int
    gcs: int
    dashboard: int
    dashboard_agent_http: int
    dashboard_agent_grpc: int
    runtime_env_agent: int
    node_manager: int
    object_manager: int
    ray_client: int
    metrics_export: int
    autoscaler_metrics: int
    dashboard_metrics: int
    haproxy_stats: int
    haproxy_metrics: int
    fallback_proxy_http: int
    fallback_proxy_grpc: int
    serve_grpc: int
    ingress_http: tuple[int, int]
    ingress_grpc: tuple[int, int]
    workers: tuple[int, int]
    http_local: int = 0
    """Of a server with TLS: HTTP for the installation's own programs. 0 in a record of an older release."""

    def singles(self) -> dict[str, int]:
        """Return every single port except the HTTP server's, by name."""
        return {
            field: value
            for field in self.__struct_fields__
            if field != "http" and isinstance(value := getattr(self, field), int)
        }


def ports_of_block(block: int, http: int) -> Ports:
    """Return the ports that belong to a block."""
    base = FIRST_PORT + block * BLOCK_PORTS
    names = [f for f in Ports.__struct_fields__ if f not in ("http", "ingress_http", "ingress_grpc", "workers")]
    singles = {name: base + i for i, name in enumerate(names)}
    # A replica's port stays reserved for minutes after it ends, so these ranges hold many more than run at once.
    return Ports(
        http=http,
        ingress_http=(base + 32, base + 95),
        ingress_grpc=(base + 96, base + 127),
        workers=(base + 128, base + 255),
        **singles,
    )


def claim(data_dir: Path, http: int, temp_root: Path, preferred: Path | None = None) -> tuple[Ports, Path]:
    """Claim a free block; return its ports and the temporary folder that holds the claim.

    The folder of a previous start (``preferred``) is tried first, then the others from one that the data folder's name
    selects, so that an installation usually keeps its numbers. Raises NoFreePortsError.
    """
    owner = str(data_dir.resolve())
    for block in _order(owner, temp_root, preferred):
        folder = temp_root / f"uw-{block}"
        if not _claim_folder(folder, owner):
            continue
        ports = ports_of_block(block, http)
        if all_free(ports.singles().values()):
            return ports, folder
        release(folder)
    raise NoFreePortsError(
        f"none of the {N_BLOCKS} port blocks from {FIRST_PORT} on is free: stop another installation with "
        f"`whisperer down --data-dir ...`, or delete stale folders {temp_root}/uw-*"
    )


def is_free(host: str, port: int) -> bool:
    """Return whether nothing listens on a port."""
    return all_free([port], host)


def all_free(ports: Iterable[int], host: str = _LOOPBACK) -> bool:
    """Return whether nothing listens on any of the ports."""
    try:
        with _held(ports, host):
            return True
    except OSError:
        return False


def release(folder: Path) -> None:
    """Release a claim and remove what the installation left there."""
    shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def _held(ports: Iterable[int], host: str) -> Iterator[None]:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with ExitStack() as stack:
        for port in ports:
            held = stack.enter_context(socket.socket(family, socket.SOCK_STREAM))
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port in TIME_WAIT is free
            held.bind((host, port))
            held.listen(1)  # binding alone succeeds next to a listener that set SO_REUSEADDR
        yield


def _order(owner: str, temp_root: Path, preferred: Path | None) -> Iterator[int]:
    if preferred is not None and preferred.parent == temp_root:
        number = preferred.name.removeprefix("uw-")
        if number.isdigit() and int(number) < N_BLOCKS:
            yield int(number)
    start = zlib.crc32(owner.encode())
    for i in range(N_BLOCKS):
        yield (start + i) % N_BLOCKS


def _claim_folder(folder: Path, owner: str) -> bool:
    try:
        folder.mkdir(mode=0o700)
    except FileExistsError:
        if not _is_ours(folder, owner):
            return _is_stale(folder) and _take_over(folder, owner)
        folder.chmod(0o700)
        return True
    (folder / CLAIM_FILE).write_text(owner)
    return True


def _claimed_by(folder: Path) -> str | None:
    """Return the data folder a claim is for; None if there is no claim that this user can read."""
    try:
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            return None
        return (folder / CLAIM_FILE).read_text() or None
    except OSError:
        return None


def _is_ours(folder: Path, owner: str) -> bool:
    return _claimed_by(folder) == owner


def _is_stale(folder: Path) -> bool:
    """Return whether the claiming installation no longer exists, or has moved to another folder."""
    claimed_by = _claimed_by(folder)
    if claimed_by is None:
        return False
    try:
        record = (Path(claimed_by) / "installation.json").read_bytes()
    except FileNotFoundError:
        # No record: gone, unless the claimant is writing it right now.
        return not Path(claimed_by).exists()
    except OSError:
        return False
    return str(folder).encode() not in record


def _take_over(folder: Path, owner: str) -> bool:
    """Replace a stale claim. Renaming it away first lets only one of several takers win."""
    grave = folder.with_name(f"{folder.name}.{os.getpid()}.stale")
    try:
        folder.rename(grave)
        folder.mkdir(mode=0o700)
    except OSError:
        return False
    (folder / CLAIM_FILE).write_text(owner)
    shutil.rmtree(grave, ignore_errors=True)
    return True
