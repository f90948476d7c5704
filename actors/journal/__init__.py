"""Journals: adapters of :class:`whisperer.ports.Journal`. One URL chooses the backend.

``file:///folder`` keeps each shard's journal in a folder of its own below it. All backends pass
`tests/contracts/journal_battery.py`.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from actors.journal.files import DEFAULT_SEGMENT_BYTES, FileJournal, SegmentRange

__all__ = ["DEFAULT_SEGMENT_BYTES", "FileJournal", "SegmentRange", "open_journal"]


def open_journal(
    url: str,
    shard: int,
    *,
    segment_bytes: int = DEFAULT_SEGMENT_BYTES,
    takeover_timeout_s: float | None = None,
) -> FileJournal:
    """The journal of one shard, recovered, under a new epoch. See :meth:`FileJournal.open`.

    Raises ValueError for a URL no backend serves.
    """
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc:
        raise ValueError(f"no journal backend serves {url!r}: use file:///absolute/folder")
    folder = Path(unquote(parts.path)) / f"shard-{shard:04d}"
    return FileJournal.open(folder, segment_bytes=segment_bytes, takeover_timeout_s=takeover_timeout_s)
