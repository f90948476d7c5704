"""Read an Arrow IPC file of plain columns: numbers, booleans and texts, uncompressed.

Refused are extension types, since some carry a pickle; compressed columns, since a few bytes may claim any amount of
memory; dictionaries and nesting, since nothing of ours needs them. The footer is never followed: exactly what is
checked, message by message, is what is read.

References
----------
Apache Arrow, columnar format 1.5: IPC file format, `Message.fbs`. CVE-2023-47248.
"""

from __future__ import annotations

import struct

import pyarrow as pa

from whisperer.models.errors import ArtifactError

_MAGIC_BYTES = 8
_END = b"ARROW1"
_EXTENSION = b"ARROW:extension:name"
_HEADER_OF_MESSAGE, _COMPRESSION_OF_BATCH = 8, 10  # slots in the vtables of Message.fbs


def decode(data: bytes) -> pa.Table:
    """Return the table. Raises ArtifactError (`broken_model`)."""
    if not data.endswith(_END):
        raise _broken("it is cut off")
    body = pa.py_buffer(data).slice(_MAGIC_BYTES)
    try:
        for message in pa.ipc.MessageReader.open_stream(body):
            _check(message)
        reader = pa.ipc.open_stream(body)
        for field in reader.schema:
            _check_field(field)
        table = reader.read_all()
        table.validate(full=True)
    except (pa.ArrowException, struct.error, OSError, EOFError, ValueError) as error:
        raise _broken(str(error)[:200]) from None
    return table


def _check(message: pa.Message) -> None:
    flat = message.metadata.to_pybytes()
    if message.type == "schema" and _EXTENSION not in flat:
        return
    if message.type != "record batch":
        raise _broken(f"an extension type, or a message of the type {message.type}")
    batch = _follow(flat, _table(flat, 0, _HEADER_OF_MESSAGE))
    if _field(flat, batch, _COMPRESSION_OF_BATCH):
        raise _broken("compressed columns are not supported")


def _table(flat: bytes, at: int, slot: int) -> int:
    """Return the position of a field of a flatbuffer's root table."""
    root = _follow(flat, at)
    place = _field(flat, root, slot)
    if not place:
        raise _broken("a message without header")
    return place


def _follow(flat: bytes, at: int) -> int:
    return at + int(struct.unpack_from("<I", flat, at)[0])


def _field(flat: bytes, table: int, slot: int) -> int:
    """Return the position of a table's field by its slot in the vtable; 0 if the table lacks it."""
    vtable = table - struct.unpack_from("<i", flat, table)[0]
    if not 0 <= vtable <= len(flat) - 4:
        raise _broken("a message that leads outside of itself")
    n_bytes = struct.unpack_from("<H", flat, vtable)[0]
    offset = struct.unpack_from("<H", flat, vtable + slot)[0] if slot < n_bytes else 0
    return table + int(offset) if offset else 0


def _check_field(field: pa.Field) -> None:
    kind = field.type
    plain = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind)
    if not (plain or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise _broken(f"{field.name[:80]!r} is of the type {kind}, not a number, boolean or text")


def _broken(why: str) -> ArtifactError:
    return ArtifactError(f"broken Arrow file: {why}", code="broken_model")
