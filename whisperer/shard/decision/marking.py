"""Mark entries of a user's in-app inbox, and record as outcomes what that says about their messages.

A message that was seen, read or clicked was `opened`; an action that was chosen is a `clicked` with its address. They
count like those of a mail, in the same record as the mark. Marking everything at once empties a badge: that is no sign
that anybody saw anything, and no outcome.
"""

from __future__ import annotations

from collections.abc import Iterator

from whisperer.feedback.outcome import OutcomeKind
from whisperer.journeys.inbox import InboxEntry, Mark, marked
from whisperer.shard.decision import outcomes
from whisperer.shard.effects import Effect
from whisperer.shard.records import InboxMarked, Outcome
from whisperer.shard.state.tenant import Tenant
from whisperer.vocabulary.inapp import action_url

CHANNEL = "inapp"


def mark(tenant: Tenant, body: InboxMarked, now: int, record_version: int) -> Iterator[Effect]:
    """Mark an entry or all; what is not there, as its user was merged or erased meanwhile, is ignored."""
    row = tenant.people.keys.get(body.key)
    held = None if row is None else tenant.loop.engagements.get(row)
    if held is None or not held.inbox:
        return
    concerned = _concerned(held.inbox, body, now)
    after = {entry.id: _marked(entry, body, now) for entry in concerned}
    held.inbox = [after.get(entry.id, entry) for entry in held.inbox]
    if not body.entry:
        return
    for entry in concerned:
        if after[entry.id].seen_at >= 0 > entry.seen_at:
            opened = Outcome(body.key, entry.id, OutcomeKind.OPENED, now, "", CHANNEL)
            yield from outcomes.record(tenant, opened, now, record_version)
        url = action_url(entry.message, body.action) if body.mark == Mark.CLICK else None
        if url is not None:
            clicked = Outcome(body.key, entry.id, OutcomeKind.CLICKED, now, url, CHANNEL)
            yield from outcomes.record(tenant, clicked, now, record_version)


def changes(tenant: Tenant, body: InboxMarked, now: int) -> bool:
    """Return whether a mark would change anything: one that would not needs no record. A click always counts."""
    row = tenant.people.keys.get(body.key)
    held = None if row is None else tenant.loop.engagements.get(row)
    if held is None:
        return False
    concerned = _concerned(held.inbox, body, now)
    return any(body.mark == Mark.CLICK or _marked(entry, body, now) is not entry for entry in concerned)


def _concerned(entries: list[InboxEntry], body: InboxMarked, now: int) -> list[InboxEntry]:
    """Return the entries that a mark is about: none that expired, and none without the action that was chosen."""
    found = [entry for entry in entries if (entry.id == body.entry or not body.entry) and not entry.is_expired(now)]
    if body.mark == Mark.CLICK:
        found = [entry for entry in found if action_url(entry.message, body.action) is not None]
    return found


def _marked(entry: InboxEntry, body: InboxMarked, now: int) -> InboxEntry:
    if not body.entry and (entry.is_done or body.mark not in (Mark.READ, Mark.ARCHIVE)):
        return entry
    return marked(entry, body.mark, now, is_seen=bool(body.entry))
