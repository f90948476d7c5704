"""Cut Arrow tables into chunks, digest the chunks, and write and read them.

A chunk is one column of up to :data:`CHUNK_ROWS` rows as an Arrow IPC stream. Columns are cut separately because few of
them change between two snapshots: a user who comes back changes counters, not keys. Guarantees: equal digests mean
equal content, as far as a seeded 128-bit hash can promise; a chunk whose bytes do not match their checksum is never
returned. Leaves to :mod:`actors.snapshots.packs` where chunks lie, and to :mod:`actors.snapshots.store` which are
needed.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import msgspec
import pyarrow as pa
import xxhash
from google_crc32c import value

from whisperer.errors import DamagedError

CHUNK_ROWS = 16_384

Compression = Literal["lz4", "zstd"]


class DamagedChunkError(DamagedError):
    """The bytes are not those that were written."""


class Chunk(msgspec.Struct, array_like=True, frozen=True, gc=False):
    """Where a chunk lies, and what it must be.

    Attributes
    ----------
    pack : number of its pack in the index that names it
    offset, n_bytes : place in that pack
    n_rows : rows of the column
    crc32c : of the bytes as stored
    digest : XXH3-128 of the content, seeded with the index's seed
    """

    pack: int
    offset: int
    n_bytes: int
    n_rows: int
    crc32c: int
    digest: bytes


class StoredTable(msgspec.Struct, array_like=True, frozen=True):
    """A table's ``schema``, an Arrow IPC schema message, and ``columns``: each field's chunks, first rows first."""

    title: str
    n_rows: int
    schema: bytes
    columns: list[list[Chunk]]


def cut(column: pa.ChunkedArray, field: pa.Field) -> Iterator[pa.RecordBatch]:
    """Cut the column into batches of at most :data:`CHUNK_ROWS` rows, each within one of the table's own batches.

    Rows added at the end thus leave the earlier batches alone; where rows are added in the middle, whoever makes the
    table keeps what belongs together in a batch of its own.
    """
    schema = pa.schema([pa.field("", field.type, field.nullable)])
    for batch in column.chunks:
        for first in range(0, len(batch), CHUNK_ROWS):
            yield pa.record_batch([batch.slice(first, CHUNK_ROWS)], schema=schema)


def digest(batch: pa.RecordBatch, seed: int) -> bytes:
    """Return the digest of type and content; the seed is secret, so that no client can make two contents look alike."""
    return xxhash.xxh3_128_digest(_stream(batch, None), seed)


def encode(batch: pa.RecordBatch, compression: Compression | None) -> pa.Buffer:
    """Return a chunk's bytes, as an Arrow IPC stream."""
    return _stream(batch, compression)


def decode(data: pa.Buffer, chunk: Chunk) -> pa.Array:
    """Return the piece of the column. Raises DamagedChunkError."""
    if (data.size, value(data)) != (chunk.n_bytes, chunk.crc32c):
        raise DamagedChunkError("checksum does not match")
    batches = list(pa.ipc.open_stream(data))
    if len(batches) != 1 or batches[0].num_rows != chunk.n_rows:
        raise DamagedChunkError(f"{chunk.n_rows} rows were promised")
    return batches[0].column(0)


def _stream(batch: pa.RecordBatch, compression: Compression | None) -> pa.Buffer:
    # No threads: this runs in a forked child, where the pool's threads do not exist.
    options = pa.ipc.IpcWriteOptions(compression=compression, use_threads=False)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema, options=options) as stream:
        stream.write_batch(batch)
    return sink.getvalue()
