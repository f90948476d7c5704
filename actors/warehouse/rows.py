"""Turn blocks of events into rows of the events dataset, and define its columns.

Decides names, types and what is null. Leaves order, files and commits to others.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from whisperer.errors import InvariantError
from whisperer.events.block import EventBlock, columns_of, gather, spans
from whisperer.events.types import EventType
from whisperer.ids import ANONYMOUS_PREFIX, TenantId
from whisperer.vocabulary.units import DAY_MS

_TENANT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}\Z")


def metadata(version: int) -> dict[bytes, bytes]:
    """Return metadata for a Parquet file's schema: the format of its dataset that it was written in."""
    return {b"whisperer.format": str(version).encode()}


SCHEMA = pa.schema(
    [
        pa.field("tenant", pa.string(), nullable=False),
        pa.field("date", pa.date32(), nullable=False),  # of `timestamp`, in UTC
        pa.field("partition", pa.uint16(), nullable=False),
        pa.field("user_key", pa.string(), nullable=False),
        pa.field("user_id", pa.string()),
        pa.field("anonymous_id", pa.string()),  # the user's own, or the one that came with the user id
        pa.field("type", pa.string(), nullable=False),
        pa.field("event", pa.string(), nullable=False),  # reserved names such as $identify for other calls than track
        pa.field("timestamp", pa.timestamp("ms"), nullable=False),  # UTC
        pa.field("received_at", pa.timestamp("ms"), nullable=False),  # UTC
        pa.field("revenue_micros", pa.int64(), nullable=False),
        pa.field("message_id", pa.string(), nullable=False),
        pa.field("shard", pa.int32(), nullable=False),
        pa.field("lsn", pa.int64(), nullable=False),  # position of the event's block in the shard's journal
        pa.field("index", pa.uint16(), nullable=False),  # place in that block
        pa.field("sequence", pa.int64()),  # in the partition, where given
        pa.field("forwarded", pa.bool_(), nullable=False),
        pa.field("payload", pa.string(), nullable=False),  # JSON as the client sent it
    ],
    metadata=metadata(1),
)

DICTIONARY_COLUMNS = ("tenant", "user_key", "user_id", "anonymous_id", "type", "event")

_TYPE_NAMES = pa.array(["", *(t.wire for t in EventType)], pa.string())  # EventType counts from 1


@dataclass(frozen=True, slots=True, eq=False)
class ExportRecord:
    """One journal record of events, and what the shard made of it.

    Attributes
    ----------
    lsn : its position in the shard's journal
    block : n events of one tenant
    counted : bool[n], False for an event that is not exported, such as a duplicate
    sequence : int64[n], the events' sequence numbers in their partitions, if wanted
    forwarded : the block came from a user's old home after a merge
    """

    lsn: int
    block: EventBlock
    counted: NDArray[np.bool_]
    sequence: NDArray[np.int64] | None = None
    forwarded: bool = False


def check_tenant(tenant: TenantId) -> TenantId:
    """Return the tenant id, which becomes part of a path. Raises InvariantError for one that must not."""
    if not _TENANT.match(tenant):
        raise InvariantError(f"tenant id {tenant!r} cannot be part of a path")
    return tenant


def rows_of(record: ExportRecord, shard: int) -> pa.Table:
    """Return the counted events of one record. Raises InvariantError when the mask does not fit the block."""
    block, counted = record.block, np.asarray(record.counted)
    n = len(block)
    if counted.shape != (n,) or counted.dtype != np.bool_:
        raise InvariantError(f"record {record.lsn}: mask of shape {counted.shape}, {counted.dtype}, for {n} events")
    columns = columns_of(block)
    nothing = pa.nulls(n, pa.string())
    bare, anonymous = _ids(block, "key")
    linked, is_device = _ids(block, "link")
    device = pc.if_else(is_device, linked, nothing) if is_device.true_count else nothing
    table = pa.table(
        [
            pa.repeat(pa.scalar(block.tenant, pa.string()), n),
            pa.array((columns.timestamp // DAY_MS).astype(np.int32)).view(pa.date32()),
            pa.array(columns.partition),
            _texts(*spans(block, "key")),
            pc.if_else(anonymous, nothing, bare) if anonymous.true_count else bare,
            pc.if_else(anonymous, bare, device) if anonymous.true_count else device,
            _TYPE_NAMES.take(pa.array(columns.kind)),
            pa.array(block.names, pa.string()).take(pa.array(columns.name)),
            pa.array(columns.timestamp).view(pa.timestamp("ms")),
            pa.array(columns.received).view(pa.timestamp("ms")),
            pa.array(columns.revenue),
            _texts(*spans(block, "message_id")),
            pa.repeat(pa.scalar(shard, pa.int32()), n),
            pa.repeat(pa.scalar(record.lsn, pa.int64()), n),
            pa.array(np.arange(n, dtype=np.uint16)),
            pa.nulls(n, pa.int64()) if record.sequence is None else pa.array(record.sequence, pa.int64()),
            pa.repeat(pa.scalar(record.forwarded), n),
            _texts(*spans(block, "payload")),
        ],
        schema=SCHEMA,
    )
    return table if counted.all() else table.filter(pa.array(counted))


def _ids(block: EventBlock, what: str) -> tuple[pa.Array, pa.BooleanArray]:
    """Return the ids in user keys or linked keys, without their prefixes, and which of them are anonymous ones."""
    starts, lengths, text = spans(block, what)
    given = lengths >= len(ANONYMOUS_PREFIX)
    first = np.frombuffer(text or b"\0", np.uint8)[np.where(given, starts, 0)]
    anonymous = given & (first == ord(ANONYMOUS_PREFIX[0]))
    n_cut = np.where(given, len(ANONYMOUS_PREFIX), 0)
    return _texts(starts + n_cut, lengths - n_cut, text), pa.array(anonymous)


def _texts(starts: NDArray[np.int64], lengths: NDArray[np.int64], buffer: bytes) -> pa.Array:
    """Return slices of a buffer. The gateway lets only UTF-8 through; should it ever fail to, the rest still counts."""
    offsets, text = gather(starts, lengths, buffer)
    array = pa.StringArray.from_buffers(len(starts), pa.py_buffer(offsets), pa.py_buffer(text))
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        pieces = [text[a:b].tobytes() for a, b in itertools.pairwise(offsets)]
        return pa.array([piece.decode("utf-8", "replace") for piece in pieces], pa.string())
    return array
