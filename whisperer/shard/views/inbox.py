"""Define how a shard shows a user's in-app inbox."""

from __future__ import annotations

import msgspec

from whisperer.ids import DecisionId, UserKey


class InboxEntryView(msgspec.Struct):
    """Show one entry; ``message`` is JSON of :class:`whisperer.vocabulary.inapp.InAppMessage`, times are ms UTC."""

    id: DecisionId
    campaign: str
    locale: str
    message: bytes
    at: int
    expires_at: int | None = None
    seen_at: int | None = None
    read_at: int | None = None
    archived_at: int | None = None
    is_expired: bool = False


class InboxView(msgspec.Struct):
    """Show an inbox, newest entry first. `moved_to` names the key its user was merged into; the rest is then empty.

    Attributes
    ----------
    tag : changes whenever what is shown does, also because an entry expires
    entries : those that were asked for; None if the caller knows this tag
    n_unread : entries that are neither read, archived nor expired
    """

    key: UserKey
    moved_to: UserKey | None = None
    tag: str = ""
    entries: list[InboxEntryView] | None = None
    n_unread: int = 0
