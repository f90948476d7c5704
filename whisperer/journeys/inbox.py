"""Hold a user's in-app inbox: its entries, what marks do to them, which go when it is full.

An entry is one decision's message. Memory holds the newest :data:`KEEP` entries of a user, of which those that are
read, archived or expired go first. Inboxes of users who turn out to be one are joined; the result does not depend on
the order. Leaves to the shard when each of these happens (:mod:`whisperer.shard.decision.inbox`).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from whisperer.ids import DecisionId
from whisperer.vocabulary.named import Named

KEEP = 100
"""Entries of one user: with messages of at most 4,096 bytes about 0.4 MB."""


class Mark(Named):
    """Name what a reader does with an entry."""

    SEEN = "seen"
    """It was on the reader's screen."""
    READ = "read"
    UNREAD = "unread"
    ARCHIVE = "archive"
    UNARCHIVE = "unarchive"
    CLICK = "click"
    """One of its actions was chosen."""


class InboxEntry(msgspec.Struct, array_like=True, frozen=True):
    """Hold one entry; times are ms UTC, -1 for never.

    Attributes
    ----------
    message : JSON of :class:`whisperer.vocabulary.inapp.InAppMessage`
    changed_at : when a mark last changed it; of two copies the one changed last is kept
    """

    id: DecisionId
    campaign: str
    locale: str
    message: bytes
    at: int
    expires_at: int = -1
    seen_at: int = -1
    read_at: int = -1
    archived_at: int = -1
    changed_at: int = -1

    def is_expired(self, now: int) -> bool:
        """Return whether it is shown no longer at ``now``."""
        return 0 <= self.expires_at <= now

    @property
    def is_done(self) -> bool:
        """Return whether its reader is done with it, so that it makes room for others."""
        return self.read_at >= 0 or self.archived_at >= 0


_encode = msgspec.msgpack.Encoder().encode


def marked(entry: InboxEntry, mark: Mark, now: int, *, is_seen: bool = True) -> InboxEntry:
    """Return an entry with a mark; the entry itself if that changes nothing.

    Who reads or clicks an entry has seen it, unless ``is_seen`` is False: then it was marked among many.
    """
    seen_at, read_at, archived_at = entry.seen_at, entry.read_at, entry.archived_at
    if mark in (Mark.SEEN, Mark.READ, Mark.CLICK) and is_seen and seen_at < 0:
        seen_at = now
    if mark in (Mark.READ, Mark.CLICK) and read_at < 0:
        read_at = now
    if mark == Mark.UNREAD:
        read_at = -1
    if mark == Mark.ARCHIVE and archived_at < 0:
        archived_at = now
    if mark == Mark.UNARCHIVE:
        archived_at = -1
    if (seen_at, read_at, archived_at) == (entry.seen_at, entry.read_at, entry.archived_at):
        return entry
    return msgspec.structs.replace(
        entry, seen_at=seen_at, read_at=read_at, archived_at=archived_at, changed_at=max(now, entry.changed_at)
    )


def joined(a: Iterable[InboxEntry], b: Iterable[InboxEntry]) -> list[InboxEntry]:
    """Return the entries of both sides, each once, oldest first; they may be more than :data:`KEEP`."""
    by_id: dict[DecisionId, InboxEntry] = {}
    for entry in (*a, *b):
        held = by_id.get(entry.id)
        by_id[entry.id] = entry if held is None else max(held, entry, key=_progress)
    return sorted(by_id.values(), key=_age)


def fitted(entries: Iterable[InboxEntry], now: int) -> tuple[list[InboxEntry], int]:
    """Return the entries that are kept, oldest first, and how many had to make room.

    Expired ones are gone at ``now`` and not counted. Beyond :data:`KEEP` the oldest goes that its reader is done with,
    and if there is none the oldest.
    """
    alive = [entry for entry in entries if not entry.is_expired(now)]
    n_over = max(0, len(alive) - KEEP)
    going = {entry.id for entry in sorted(alive, key=lambda entry: (not entry.is_done, *_age(entry)))[:n_over]}
    return sorted((entry for entry in alive if entry.id not in going), key=_age), n_over


def _age(entry: InboxEntry) -> tuple[int, DecisionId]:
    return entry.at, entry.id


def _progress(entry: InboxEntry) -> tuple[int, bytes]:
    """Rank copies of one entry; the bytes break ties alike from either side."""
    return entry.changed_at, _encode(entry)
