"""Put a message into its user's in-app inbox, and show the inbox.

The record that brings a provider's receipt is the one that puts its message here: a decision is *sent* and its entry
exists from the same moment on, and only the first receipt of a decision counts. So each send key has one entry,
whatever was killed, repeated or joined meanwhile.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import msgspec

from whisperer.delivery.dispatch import Kept
from whisperer.ids import DecisionId, UserKey
from whisperer.journeys.engagement import Decision
from whisperer.journeys.inbox import InboxEntry
from whisperer.profiles.population import FORWARDED
from whisperer.shard.state.tenant import Tenant
from whisperer.shard.views.inbox import InboxEntryView, InboxView


def put(tenant: Tenant, row: int, decision: Decision, kept: Kept, now: int) -> None:
    """Add a decision's message to its user's inbox."""
    assert decision.send is not None
    expires_at = now + kept.expires_in_s * 1000 if kept.expires_in_s else -1
    entry = InboxEntry(decision.id, decision.campaign, decision.send.locale, kept.message, now, expires_at)
    held = tenant.loop.engagement(row)
    held.inbox = [*held.inbox, entry]
    tenant.fit_inbox(row, now)


def view(
    tenant: Tenant, key: UserKey, now: int, *, only: DecisionId | None = None, known_tag: str = ""
) -> InboxView | None:
    """Return a user's inbox as of ``now``, or None if there is no such user.

    With ``only`` the entries are that one, if it is there and has not expired; to who knows the tag none are shown.
    """
    people = tenant.people
    row = people.keys.get(key)
    if row is None:
        return None
    if people.table["status"][row] == FORWARDED:
        return InboxView(key, moved_to=people.targets[row])
    engagement = tenant.loop.engagements.get(row)
    entries = engagement.inbox if engagement is not None else []
    if not entries and not people.table["n_events"][row]:
        return None
    return view_of(key, entries, now, only=only, known_tag=known_tag)


def view_of(
    key: UserKey, entries: Sequence[InboxEntry], now: int, *, only: DecisionId | None = None, known_tag: str = ""
) -> InboxView:
    """Return the inbox of these entries, which are in order of age."""
    alive = [entry for entry in entries if not entry.is_expired(now)]
    found = InboxView(key, tag=_tag(key, alive), n_unread=sum(not entry.is_done for entry in alive))
    if only is not None:
        found.entries = [_shown(entry, now) for entry in alive if entry.id == only]
    elif found.tag != known_tag:
        found.entries = [_shown(entry, now) for entry in reversed(entries)]
    return found


def _tag(key: UserKey, entries: Sequence[InboxEntry]) -> str:
    stand = [(entry.id, entry.seen_at, entry.read_at, entry.archived_at) for entry in entries]
    return hashlib.blake2b(msgspec.msgpack.encode((key, stand)), digest_size=9).hexdigest()


def _shown(entry: InboxEntry, now: int) -> InboxEntryView:
    def moment(at: int) -> int | None:
        return at if at >= 0 else None

    return InboxEntryView(
        id=entry.id,
        campaign=entry.campaign,
        locale=entry.locale,
        message=entry.message,
        at=entry.at,
        expires_at=moment(entry.expires_at),
        seen_at=moment(entry.seen_at),
        read_at=moment(entry.read_at),
        archived_at=moment(entry.archived_at),
        is_expired=entry.is_expired(now),
    )
