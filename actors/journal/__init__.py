"""Open journals: adapters of :class:`whisperer.ports.Journal`, with the backend chosen by one URL.

``file:///folder`` keeps each shard's journal in a sub-folder of its own, ``redis://`` and ``rediss://`` in a stream of
its own. All backends pass `tests/contracts/journal_battery.py`.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from actors.journal.files import DEFAULT_SEGMENT_BYTES, FileJournal
from actors.journal.redis_place import DEFAULT_RULES, SCHEMES, RedisPlace, Rules
from whisperer.ports import Journal, SegmentRange

__all__ = [
    "DEFAULT_RULES",
    "DEFAULT_SEGMENT_BYTES",
    "FileJournal",
    "Rules",
    "SegmentRange",
    "open_journal",
]


def open_journal(
    url: str,
    shard: int,
    *,
    segment_bytes: int = DEFAULT_SEGMENT_BYTES,
    takeover_timeout_s: float | None = None,
    rules: Rules = DEFAULT_RULES,
) -> Journal:
    """Open one shard's journal, recovered, under a new epoch.

    ``takeover_timeout_s`` applies to files, see :meth:`FileJournal.open`; ``rules`` apply to Redis, see
    :meth:`actors.journal.redis_streams.RedisJournal.open`. Raises ValueError for a URL that no backend serves.
    """
    scheme, _, rest = url.partition("://")
    if scheme in SCHEMES:
        from actors.journal.redis_streams import RedisJournal  # users of files load no Redis client

        return RedisJournal.open(RedisPlace.parse(url), shard, segment_bytes=segment_bytes, rules=rules)
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc:
        where = url if "@" not in rest else f"{scheme}://..."  # what precedes an @ may be a password
        raise ValueError(
            f"no journal backend serves {where!r}: use file:///absolute/folder, redis://host:port/0 or rediss://..."
        )
    folder = Path(unquote(parts.path)) / f"shard-{shard:04d}"
    return FileJournal.open(folder, segment_bytes=segment_bytes, takeover_timeout_s=takeover_timeout_s)
