"""Exports."""

from __future__ import annotations

import msgspec


class ExportProgress(msgspec.Struct):
    rows: int
    share: float | None = None


class Export(msgspec.Struct):
    """What follows ``error`` is None until it is done."""

    id: str
    of: str
    format: str
    state: str
    progress: ExportProgress
    created_at: str
    created_by: str = ""
    error: str | None = None
    rows: int | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    expires_at: str | None = None
    download_url: str | None = None
