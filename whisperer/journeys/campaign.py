"""Define a campaign: who is considered when, what may be sent, what counts as success. A journey of one step.

These are values; :mod:`whisperer.journeys.parse` makes them from JSON or reports everything that is wrong with it. The
JSON of a published version never changes; a decision stays under the version it was made under.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from whisperer.content.generation.brief import Brief
from whisperer.decisions.budget import Budget
from whisperer.delivery.senders import OF_CHANNEL, Sender
from whisperer.eligibility.rules import MARKETING, Cap, QuietHours
from whisperer.vocabulary.channels import CHANNELS
from whisperer.vocabulary.named import Named
from whisperer.vocabulary.units import MICROS


class CampaignStatus(Named):
    """Name where a campaign stands."""

    DRAFT = "draft"
    LIVE = "live"
    PAUSED = "paused"
    ENDED = "ended"


STATUSES = tuple(CampaignStatus)

USER_ZONE = "user"


class OnEvent(msgspec.Struct, frozen=True, tag_field="on", tag="event"):
    """Consider a user at each counted event of this name."""

    event: str


class OnSegment(msgspec.Struct, frozen=True, tag_field="on", tag="segment"):
    """Consider a user at each entry into a published segment; membership found by a backfill is not an entry."""

    segment: str


class OnSchedule(msgspec.Struct, frozen=True, tag_field="on", tag="schedule"):
    """Consider users at the times of five cron fields.

    ``zone`` is an IANA name, or ``user`` for each user's own zone (UTC if unknown).
    """

    cron: str
    zone: str


class OnRequest(msgspec.Struct, frozen=True, tag_field="on", tag="request"):
    """Consider users only when a caller asks (`POST /v1/decisions`), which every live campaign allows as well."""


Trigger = OnEvent | OnSegment | OnSchedule | OnRequest


class Goal(msgspec.Struct, frozen=True):
    """State what is hoped for within ``window_s`` seconds of the decision.

    Attributes
    ----------
    event : name of the goal event
    reward : "conversion": 1 per goal event, up to ``cap``; "revenue": the sum of its revenue
    cap : upper bound of one decision's reward, in its unit
    unsubscribe_cost : subtracted if the user unsubscribed by the message
    """

    event: str
    window_s: float
    reward: Literal["conversion", "revenue"] = "conversion"
    cap: float = 1.0
    unsubscribe_cost: float = 0.5


class Arm(msgspec.Struct, frozen=True):
    """Combine channel, template and offer. ``cost``, in the goal's unit, is subtracted from the reward if sent.

    ``brief``: what a model is asked to write for each message, into the template's slots; None for no model.
    ``from_name`` and ``reply_to`` take the place of the campaign's; "" for none of its own.
    """

    id: str
    channel: str
    template: str
    template_version: int
    offer: dict[str, Any] | None = None
    cost: float = 0.0
    brief: Brief | None = None
    from_name: str = ""
    reply_to: str = ""


class Campaign(msgspec.Struct, frozen=True):
    """Hold a whole campaign.

    ``audience`` is a predicate's JSON text, "" for everyone. ``arms`` leaves out `no_send`, which is always there.
    ``from_name`` and ``reply_to`` are of its e-mails (:mod:`whisperer.delivery.senders`); "" is the channel's own.
    """

    name: str
    trigger: Trigger
    goal: Goal
    arms: tuple[Arm, ...]
    audience: str = ""
    purpose: str = MARKETING
    caps: tuple[Cap, ...] = ()
    quiet_hours: QuietHours | None = None
    budget: Budget | None = None
    from_name: str = ""
    reply_to: str = ""

    def sender_of(self, arm: str) -> Sender:
        """Return whom an arm's messages name as their sender: the arm's own before the campaign's.

        An arm that the campaign does not have is as one without its own.
        """
        found = next((one for one in self.arms if one.id == arm), None)
        if found is None:
            return Sender(self.from_name, self.reply_to)
        if not CHANNELS[found.channel].names_sender:
            return OF_CHANNEL
        return Sender(found.from_name or self.from_name, found.reply_to or self.reply_to)

    def cost_micros(self, arm: str) -> int:
        """Return the cost of one message of an arm, in millionths of the goal's unit; 0 for `no_send`."""
        return next((round(one.cost * MICROS) for one in self.arms if one.id == arm), 0)


_encode = msgspec.json.Encoder(order="deterministic").encode
_decode = msgspec.json.Decoder(Campaign).decode


def to_json(campaign: Campaign) -> str:
    """Return the stored form, read by :func:`from_json`; callers use the JSON of docs/campaigns.md instead."""
    return _encode(campaign).decode()


def from_json(text: str) -> Campaign:
    """Read the stored form. Raises msgspec.ValidationError for text that :func:`to_json` did not write."""
    return _decode(text)
