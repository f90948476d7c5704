"""Define what an exporting process is asked, what it reports, and what is stored of an export: all a gateway loads."""

from __future__ import annotations

from typing import Any

import msgspec

from whisperer.ids import TenantId
from whisperer.vocabulary.exports import ExportFormat, ExportKind, ExportState

TIME_LIMIT_S = 1_800
MOST_ROWS = 20_000_000
"""Of one export; beyond it the export fails and says what to narrow."""


class Task(msgspec.Struct, array_like=True, frozen=True):
    """What an exporting process is asked.

    Attributes
    ----------
    place : name of the file's blob below ``warehouse``
    since, until : ms UTC of the rows' time, ``until`` not included; None: open
    equal : columns that must have a value
    spool : path of rows that were gathered before (:mod:`.spooled`); "": rows come from the warehouse
    most_bytes : of the file
    """

    place: str
    warehouse: str
    tenant: TenantId
    of: ExportKind
    format: ExportFormat
    since: int | None = None
    until: int | None = None
    equal: dict[str, str] = {}
    spool: str = ""
    most_bytes: int = 1 << 31
    most_rows: int = MOST_ROWS


class Progress(msgspec.Struct, array_like=True, frozen=True):
    """What a process reports while it works, and at its end with the file's size and SHA-256.

    ``share`` is that of its work, in [0, 1].
    """

    n_rows: int
    share: float
    size_bytes: int = 0
    sha256: str = ""


class Record(msgspec.Struct, omit_defaults=True, kw_only=True):
    """What is stored of an export. Times are ms UTC.

    Attributes
    ----------
    filter : as it was asked
    by : who began it, for people
    updated_at : when its gateway last said that it is at work
    share : of the work, in [0, 1]; None while nobody knows how much there is
    """

    id: str
    tenant: TenantId
    of: ExportKind
    format: ExportFormat
    state: ExportState
    created_at: int
    updated_at: int
    by: str = ""
    filter: dict[str, Any] = {}
    started_at: int | None = None
    finished_at: int | None = None
    expires_at: int | None = None
    n_rows: int = 0
    share: float | None = None
    size_bytes: int = 0
    sha256: str = ""
    error: str = ""


encode_record, decode_record = msgspec.json.Encoder().encode, msgspec.json.Decoder(Record).decode
encode_progress, decode_progress = msgspec.msgpack.Encoder().encode, msgspec.msgpack.Decoder(Progress).decode
