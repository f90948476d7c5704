"""Defines what callers see of in-app messages: texts are plain text, times ISO 8601 in UTC."""

from __future__ import annotations

from typing import Literal

import msgspec

from cluster.times import iso
from whisperer.ids import DecisionId
from whisperer.shard.views.inbox import InboxEntryView, InboxView
from whisperer.vocabulary.inapp import InAppMessage, MessageKind

State = Literal["unread", "read", "archived"]
_decode = msgspec.json.Decoder(InAppMessage).decode


class ActionDocument(msgspec.Struct):
    """What a reader can choose: a button's text, and where it leads."""

    label: str
    url: str


class InboxMessage(msgspec.Struct, kw_only=True):
    """One in-app message to one user; its texts are plain text."""

    id: DecisionId
    campaign: str
    locale: str
    kind: MessageKind
    title: str
    body: str
    image: str | None
    actions: list[ActionDocument]
    state: State
    archived: bool
    sent_at: str | None
    expires_at: str | None
    seen_at: str | None
    read_at: str | None
    archived_at: str | None

    @classmethod
    def of(cls, entry: InboxEntryView) -> InboxMessage:
        """Return what callers see of an entry."""
        message = _decode(entry.message)
        archived = entry.archived_at is not None
        return cls(
            id=entry.id,
            campaign=entry.campaign,
            locale=entry.locale,
            kind=message.kind,
            title=message.title,
            body=message.body,
            image=message.image,
            actions=[ActionDocument(action.label, action.url) for action in message.actions],
            state="archived" if archived else "unread" if entry.read_at is None else "read",
            archived=archived,
            sent_at=iso(entry.at),
            expires_at=iso(entry.expires_at),
            seen_at=iso(entry.seen_at),
            read_at=iso(entry.read_at),
            archived_at=iso(entry.archived_at),
        )


class InboxRead(msgspec.Struct):
    """How many messages are unread after all were marked."""

    unread: int


def shown(view: InboxView) -> list[InboxMessage]:
    """Return the messages of an inbox that have not expired, newest first."""
    return [InboxMessage.of(entry) for entry in view.entries or () if not entry.is_expired]
