"""Open journals: adapters of :class:`whisperer.ports.Journal`, with the backend chosen by one URL.

``file:///folder`` keeps each shard's journal in a sub-folder of its own, ``redis://`` and ``rediss://`` in a stream of
its own. All backends pass `tests/contracts/journal_battery.py`.
"""

from __future__ import annotations

import shutil
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
    "delete_journal",
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
    if url.partition("://")[0] in SCHEMES:
        from actors.journal.redis_streams import RedisJournal  # users of files load no Redis client

        return RedisJournal.open(RedisPlace.parse(url), shard, segment_bytes=segment_bytes, rules=rules)
    return FileJournal.open(_folder(url, shard), segment_bytes=segment_bytes, takeover_timeout_s=takeover_timeout_s)


def delete_journal(url: str, shard: int, *, rules: Rules = DEFAULT_RULES) -> None:
    """Delete the journal of a shard that was removed; nothing happens where there is none.

    Raises OSError, or UnavailableError while there is no master of Redis, and ValueError like :func:`open_journal`.
    """
    if url.partition("://")[0] in SCHEMES:
        from actors.journal.redis_streams import delete  # users of files load no Redis client

        delete(RedisPlace.parse(url), shard, rules)
    else:
        shutil.rmtree(_folder(url, shard), ignore_errors=True)


def _folder(url: str, shard: int) -> Path:
    parts = urlsplit(url)
    if parts.scheme != "file" or parts.netloc:
        scheme, _, rest = url.partition("://")
        where = url if "@" not in rest else f"{scheme}://..."  # what precedes an @ may be a password
        raise ValueError(
            f"no journal backend serves {where!r}: use file:///absolute/folder, redis://host:port/0 or rediss://..."
        )
    return Path(unquote(parts.path)) / f"shard-{shard:04d}"
