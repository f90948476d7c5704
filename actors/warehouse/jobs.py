"""Do work on the warehouse as jobs that a process without a shard can do (:mod:`actors.processes.bookkeeper`)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from actors.journal.segment import closed_segment
from actors.warehouse import Warehouse
from actors.warehouse.export import Known, export_range
from whisperer.errors import UnavailableError
from whisperer.ids import TenantId, UserKey


class Export(msgspec.Struct, tag=1, array_like=True, frozen=True):
    """Export one closed segment [first, last) of the file journal in ``folder``; answers the number of events' rows."""

    folder: str
    first: int
    last: int
    known: Known


class Compact(msgspec.Struct, tag=2, array_like=True, frozen=True):
    """Call :meth:`Warehouse.compact`; answers the number of files merged."""

    tenant: TenantId
    date: str
    at_least: int
    below_bytes: int


class Vacuum(msgspec.Struct, tag=3, array_like=True, frozen=True):
    """Call :meth:`Warehouse.vacuum`; answers the number of files deleted."""


class Erase(msgspec.Struct, tag=4, array_like=True, frozen=True):
    """Call :meth:`Warehouse.erase`; answers the number of rows that were the users'."""

    tenant: TenantId
    erased: dict[UserKey, int]


Job = Export | Compact | Vacuum | Erase

encode_job = msgspec.msgpack.Encoder().encode


def do(warehouse: Warehouse, job: Job) -> int:
    """Do a job and return its number. Raises UnavailableError (another maintainer is at work) and what jobs raise."""
    match job:
        case Export(folder, first, last, known):
            return export_range(warehouse, known, first, last, closed_segment(Path(folder), first, last)).n_rows
        case Compact(tenant, date, at_least, below_bytes):
            return warehouse.compact(tenant, date, at_least=at_least, below_bytes=below_bytes)
        case Vacuum():
            return warehouse.vacuum()
        case Erase(tenant, erased):
            return warehouse.erase(tenant, erased)


def worker(uri: str, pseudonym_key: bytes) -> Callable[[bytes], bytes]:
    """Return what a bookkeeper does with an encoded job; its answer is for :func:`answered`."""
    found: list[Warehouse] = []  # opened in the process that works, at its first job

    def work(encoded: bytes) -> bytes:
        if not found:
            found.append(Warehouse(uri, pseudonym_key=pseudonym_key))
        try:
            return msgspec.msgpack.encode((do(found[0], msgspec.msgpack.decode(encoded, type=Job)), ""))
        except UnavailableError as error:
            return msgspec.msgpack.encode((0, error.message))

    return work


def answered(answer: bytes) -> int:
    """Return the number in a job's answer. Raises UnavailableError like :func:`do`."""
    number, unavailable = msgspec.msgpack.decode(answer, type=tuple[int, str])
    if unavailable:
        raise UnavailableError(unavailable, retry_after_s=1.0)
    return number
