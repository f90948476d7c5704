"""Read safetensors: a length, a JSON header that says where each array lies, and the arrays' bytes.

Written by hand because it is thirty lines, and the serving side then needs no library for it. Arrays are views of the
bytes: nothing is allocated for what a header merely claims.

References
----------
Hugging Face, safetensors format, 0.4.
"""

from __future__ import annotations

import math
from typing import Annotated, Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from whisperer.models.errors import ArtifactError

MAX_HEADER_BYTES = 4 << 20
METADATA = "__metadata__"
_DTYPES = {
    **{"BOOL": "?", "U8": "<u1", "I8": "<i1", "U16": "<u2", "I16": "<i2", "U32": "<u4", "I32": "<i4"},
    **{"U64": "<u8", "I64": "<i8", "F16": "<f2", "F32": "<f4", "F64": "<f8"},
}
_Size = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]


class _Entry(msgspec.Struct, forbid_unknown_fields=True):
    dtype: str
    shape: Annotated[list[_Size], msgspec.Meta(max_length=8)]
    data_offsets: tuple[_Size, _Size]


def decode(data: bytes) -> dict[str, NDArray[Any]]:
    """Return arrays by name, read-only. Raises ArtifactError (`wrong_magic`, `broken_model`)."""
    n_header = int.from_bytes(data[:8], "little")
    if len(data) < 10 or n_header > min(MAX_HEADER_BYTES, len(data) - 8) or data[8:9] != b"{":
        raise ArtifactError("this does not begin as safetensors do", code="wrong_magic")
    try:
        header = msgspec.json.decode(data[8 : 8 + n_header])
        header.pop(METADATA, None)
        entries = msgspec.convert(header, dict[str, _Entry])
    except (msgspec.DecodeError, msgspec.ValidationError, RecursionError, UnicodeError) as error:
        raise _broken(f"the header: {error}") from None
    body, at = memoryview(data)[8 + n_header :], 0
    found: dict[str, NDArray[Any]] = {}
    for name, entry in sorted(entries.items(), key=lambda item: item[1].data_offsets):
        first, last = entry.data_offsets
        if entry.dtype not in _DTYPES:
            raise _broken(f"{name[:80]!r} is of the unknown type {entry.dtype[:20]!r}")
        dtype = np.dtype(_DTYPES[entry.dtype])
        if first != at or last > len(body) or last - first != math.prod(entry.shape) * dtype.itemsize:
            raise _broken(f"{name[:80]!r} does not lie where its shape says")
        found[name] = np.frombuffer(body[first:last], dtype).reshape(entry.shape)
        at = last
    if at != len(body):
        raise _broken("bytes that belong to no array")
    return found


def _broken(why: str) -> ArtifactError:
    return ArtifactError(f"broken safetensors: {why}", code="broken_model")
