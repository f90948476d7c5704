"""Decide whether a user has had enough messages.

Every message that counts as sent, transactional ones too, counts against each cap whose scope it is in. A rolling cap
covers (now - hours, now]; a calendar cap the day, the week from Monday or the month on the user's clock, from the first
instant of its first day, so a day of 23 or 25 hours is one day. All messages are judged in the zone the user has now:
someone who flies west on a day that had its message gets no second one for the same date. A message dated after ``now``
(by another machine's clock, before a merge) counts.

The caller reserves: as a user has at most one open decision, one that the caps allowed is still within them when its
message is accepted.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import date, datetime, time, timedelta
from functools import lru_cache

from whisperer.eligibility.local_time import first_instant, wall_at
from whisperer.eligibility.rules import Cap
from whisperer.eligibility.standing import MAX_SENDS, RETAIN_SENDS_MS, Sent, Standing
from whisperer.vocabulary.units import HOUR_MS


def is_capped(sends: Sequence[Sent], caps: Sequence[Cap], campaign: str, channel: str, now: int, zone: str) -> bool:
    """Return whether one more message at ``now`` (ms UTC) would exceed any of ``caps``; ``sends`` are in time order."""
    return any(_is_full(sends, cap, campaign, channel, now, zone) for cap in caps)


def window_start(cap: Cap, now: int, zone: str) -> int:
    """Return the instant (ms UTC) at or after which messages count against ``cap``."""
    if cap.per == "rolling":
        return now - int(cap.hours * HOUR_MS) + 1
    today = wall_at(now, zone).date()
    if cap.per == "week":
        today -= timedelta(days=today.weekday())
    elif cap.per == "month":
        today = today.replace(day=1)
    return _start_of(today, zone)


def record(standing: Standing, sent: Sent) -> bool:
    """Record a message that was sent; return False, and change nothing, if its key was recorded before."""
    if any(held.send_key == sent.send_key for held in standing.sends):
        return False
    standing.sends = in_order([*standing.sends, sent])
    return True


def in_order(sends: Iterable[Sent]) -> list[Sent]:
    """Return one entry per send key, by time: at most the newest MAX_SENDS, and none older than any cap looks back.

    What is left out once is left out of every longer history as well, so histories may be joined in any order.
    """
    by_key: dict[str, Sent] = {}
    for sent in sends:
        held = by_key.get(sent.send_key)
        if held is None or _rank(sent) > _rank(held):
            by_key[sent.send_key] = sent
    ordered = sorted(by_key.values(), key=_rank)[-MAX_SENDS:]
    oldest = ordered[-1].at - RETAIN_SENDS_MS if ordered else 0
    return [sent for sent in ordered if sent.at >= oldest]


def _is_full(sends: Sequence[Sent], cap: Cap, campaign: str, channel: str, now: int, zone: str) -> bool:
    left = cap.most
    if left <= 0:
        return True
    start = window_start(cap, now, zone)
    for sent in reversed(sends):
        if sent.at < start:
            return False
        if (cap.scope == "campaign" and sent.campaign != campaign) or (
            cap.scope == "channel" and sent.channel != channel
        ):
            continue
        left -= 1
        if not left:
            return True
    return False


@lru_cache(maxsize=8_192)
def _start_of(day: date, zone: str) -> int:
    return first_instant(datetime.combine(day, time()), zone)


def _rank(sent: Sent) -> tuple[int, str, str, str]:
    return sent.at, sent.send_key, sent.campaign, sent.channel
