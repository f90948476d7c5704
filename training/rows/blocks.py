"""Turn the warehouse's events into blocks again, so that the shard's own code can live through them a second time.

Everything that features and identity depend on is rebuilt: keys, times, money, names, second ids, and whether the user
was active. Traits, places and payloads are left out: no feature looks at them. Guarantees: no event is taken for a
repeat of another, because the warehouse holds each counted one exactly once.
"""

from __future__ import annotations

import duckdb
import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from actors.warehouse import Warehouse
from whisperer.events.block import BLOCK_VERSION, EVENT, EventBlock
from whisperer.events.exact.address import link_of
from whisperer.events.types import WIRE_TO_TYPE, EventType, Flag
from whisperer.events.wire import Context, Scalar
from whisperer.ids import ANONYMOUS_PREFIX, PARTITION_BITS, TenantId, key_hash, tenant_seed

BATCH_ROWS = 65_536
ORDERS = ("received_at", "timestamp")

_COLUMNS = """
    user_key, user_id, anonymous_id, type, event, epoch_ms(timestamp) AS at, epoch_ms(received_at) AS received,
    revenue_micros AS revenue, shard, lsn, "index", epoch_ms({order}) AS arrived,
    CASE WHEN type = 'alias' OR contains(payload, 'active') OR contains(payload, '\\u') THEN payload END AS payload,
    type = 'alias' OR (user_id IS NOT NULL AND anonymous_id IN (
        SELECT anonymous_id FROM events WHERE user_id IS NOT NULL GROUP BY 1 HAVING count(DISTINCT user_id) > 1
    )) AS binds
"""
_KINDS = pa.array([kind.wire for kind in EventType])


class _Looked(msgspec.Struct, gc=False):
    """The parts of a payload that are not in the columns."""

    previousId: Scalar = None  # noqa: N815
    context: Context | None = None


_look = msgspec.json.Decoder(_Looked).decode


def stored_events(warehouse: Warehouse, tenant: TenantId, order: str) -> pa.RecordBatchReader:
    """Read all events of a tenant, in batches, as :func:`block_of` takes them.

    ``order`` is ``received_at``, as a live installation saw them, or ``timestamp`` for histories imported later.
    ``binds`` marks events whose second id may decide who owns other events: the events around them must keep their
    order.
    """
    if order not in ORDERS:
        raise ValueError(f"events are in order of one of {ORDERS}, not {order!r}")
    connection = duckdb.connect(config={"threads": 1})
    warehouse.duckdb_relation(tenant, "events", connection).create_view("events")
    columns = _COLUMNS.replace("{order}", order)
    query = f'SELECT {columns} FROM events ORDER BY {order}, shard, lsn, "index"'  # noqa: S608 - no word of a caller's
    return connection.sql(query).to_arrow_reader(BATCH_ROWS)


def block_of(tenant: TenantId, events: pa.RecordBatch) -> EventBlock:
    """Build a block of these events, in this order; at most 65,535 of them."""
    n = events.num_rows
    keys, links = events["user_key"], pa.array(_links(events), pa.string())
    rows = np.zeros(n, EVENT)
    rows["message_a"] = (_int(events, "lsn").astype(np.uint64) << np.uint64(16)) | _int(events, "index").astype(
        np.uint64
    )
    rows["message_b"] = _int(events, "shard").astype(np.uint64)
    rows["timestamp"], rows["received"] = _int(events, "at"), _int(events, "received")
    rows["revenue"] = _int(events, "revenue")
    known = keys.dictionary_encode()
    seed = tenant_seed(tenant)
    hashes = np.array([key_hash(key, seed) for key in known.dictionary.to_pylist()], np.uint64)
    rows["key_hash"] = hashes[known.indices.to_numpy()] if n else 0
    rows["partition"] = rows["key_hash"] >> np.uint64(64 - PARTITION_BITS)
    rows["key_bytes"] = pc.binary_length(keys).to_numpy(zero_copy_only=False)
    rows["link_bytes"] = pc.fill_null(pc.binary_length(links), 0).to_numpy(zero_copy_only=False)
    texts = pc.binary_join_element_wise(keys, pc.fill_null(links, ""), "").dictionary_encode()
    sizes = pc.binary_length(texts.dictionary).to_numpy(zero_copy_only=False).astype(np.int64)
    rows["text_at"] = (np.cumsum(sizes) - sizes)[texts.indices.to_numpy()] if n else 0
    names = events["event"].dictionary_encode()
    rows["name"] = names.indices.to_numpy()
    rows["kind"] = 1 + pc.index_in(events["type"], _KINDS).to_numpy(zero_copy_only=False)
    linked = rows["link_bytes"] > 0
    rows["flags"] = np.where(linked, int(Flag.LINK), 0) | np.where(_inactive(events), int(Flag.INACTIVE), 0)
    return EventBlock(
        version=BLOCK_VERSION,
        tenant=tenant,
        received_at=int(rows["received"].max(initial=0)),
        rows=rows.tobytes(),
        text="".join(texts.dictionary.to_pylist()).encode(),
        payload=b"",
        payload_size=0,
        names=names.dictionary.to_pylist(),
        zones=[""],
        locales=[""],
    )


def _int(events: pa.RecordBatch, name: str) -> NDArray[np.int64]:
    return np.asarray(events[name].to_numpy(zero_copy_only=False)).astype(np.int64)


def _links(events: pa.RecordBatch) -> list[str | None]:
    """Return the second key of each event; the usual ones, of a known user with an anonymous id, all at once."""
    devices = pc.binary_join_element_wise(ANONYMOUS_PREFIX, events["anonymous_id"], "")
    is_alias = pc.equal(events["type"], EventType.ALIAS.wire)
    plain = pc.and_(pc.is_valid(events["user_id"]), pc.invert(is_alias))
    links: list[str | None] = pc.if_else(plain, devices, pa.scalar(None, pa.string())).to_pylist()
    for place in np.flatnonzero(is_alias.to_numpy(zero_copy_only=False)).tolist():
        previous = _look(events["payload"][place].as_py()).previousId
        user = events["user_id"][place].as_py()
        links[place] = link_of(WIRE_TO_TYPE["alias"], user, None, previous)
    return links


def _inactive(events: pa.RecordBatch) -> NDArray[np.bool_]:
    """Return where ``context.active`` is false; few payloads mention it."""
    found = np.zeros(events.num_rows, np.bool_)
    for place in np.flatnonzero(events["payload"].is_valid().to_numpy(zero_copy_only=False)).tolist():
        context = _look(events["payload"][place].as_py()).context
        found[place] = context is not None and context.active is False
    return found
