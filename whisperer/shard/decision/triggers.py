"""Turn events, segment entries, schedules and callers' requests into candidacies, and credit goal events.

Decides which user is called by what, with the occurrence that makes the candidacy unique. Leaves whether the user is
reached to :mod:`whisperer.shard.decision.candidacy`.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import numpy as np
from numpy.typing import NDArray

from whisperer.events.block import EventBlock, Payloads, message_id_of
from whisperer.profiles.population import LIVE
from whisperer.shard.decision import outcomes
from whisperer.shard.decision.candidacy import Call, consider
from whisperer.shard.effects import Effect
from whisperer.shard.records import Asked
from whisperer.shard.state.schedules import AT_ONCE, NO_FIRING, SLICE, FiringSweep
from whisperer.shard.state.tenant import Tenant

MAX_PROPERTIES_BYTES = 8 << 10
"""Largest payload of a triggering event whose properties a template sees; of a larger one it sees none."""


class _Payload(msgspec.Struct):
    properties: msgspec.Raw = msgspec.Raw(b"")


_decode = msgspec.json.Decoder(_Payload).decode


def goals(tenant: Tenant, block: EventBlock, at: NDArray[np.int64], rows: NDArray[np.int64]) -> None:
    """Credit the events of a block that are a campaign's goal."""
    on_goal = tenant.loop.campaigns.on_goal
    columns = block.events()
    for event, row in zip(at.tolist(), rows.tolist(), strict=True):
        name = block.names[columns["name"][event]]
        lives = on_goal.get(name)
        if lives:
            timestamp, revenue = int(columns["timestamp"][event]), int(columns["revenue"][event])
            outcomes.observe_goal(tenant, row, lives, name, timestamp, revenue)


def events(
    tenant: Tenant, payloads: Payloads, at: NDArray[np.int64], rows: NDArray[np.int64], now: int
) -> Iterator[tuple[int, Effect]]:
    """Consider the users whose events of a block trigger campaigns and yield (row, effect); rows are distinct."""
    on_event = tenant.loop.campaigns.on_event
    if not on_event:
        return
    block = payloads.block
    columns = block.events()
    calls: dict[str, list[Call]] = {}
    for event, row in zip(at.tolist(), rows.tolist(), strict=True):
        name = block.names[columns["name"][event]]
        if name in on_event:
            properties = _properties(payloads[event])
            calls.setdefault(name, []).append(Call(row, message_id_of(block, event), properties))
    for name, called in calls.items():
        for live in on_event[name]:
            yield from consider(tenant, live, "event", called, now)


def _properties(payload: bytes) -> bytes:
    """Return the event's properties as the client wrote them, b"" if there are none or the payload is too long."""
    if len(payload) > MAX_PROPERTIES_BYTES:
        return b""
    try:
        return bytes(_decode(payload).properties)
    except (msgspec.MsgspecError, RecursionError):
        return b""


def entry(tenant: Tenant, segment: str, version: int, row: int, sequence: int, now: int) -> Iterator[Effect]:
    """Consider a user who entered a segment, for the campaigns that it triggers."""
    for live in tenant.loop.campaigns.on_segment.get(segment, ()):
        call = Call(row, f"{segment}/{version}/{now}/{sequence}")
        yield from (effect for _, effect in consider(tenant, live, "segment", [call], now))


def asked(tenant: Tenant, body: Asked, now: int) -> Iterator[Effect]:
    """Consider the users that a caller asks about; those who are not here, or no longer, are skipped and counted."""
    live = tenant.loop.campaigns.by_name.get(body.campaign)
    people = tenant.people
    rows = people.keys.find([key for key, _ in body.users])
    is_here = rows >= 0
    is_here[is_here] = people.table["status"][rows[is_here]] == LIVE
    calls: dict[int, Call] = {}
    for (_, occurrence), row, here in zip(body.users, rows.tolist(), is_here.tolist(), strict=True):
        if live is None or not here:
            tenant.counters["dropped.ask_unknown"] += 1
            continue
        if row in calls:  # one open decision per user: consider the second after the first
            yield from _ask(tenant, body.campaign, [calls.pop(row)], now)
        calls[row] = Call(row, occurrence)
    yield from _ask(tenant, body.campaign, list(calls.values()), now)


def _ask(tenant: Tenant, campaign: str, calls: list[Call], now: int) -> Iterator[Effect]:
    if calls:
        live = tenant.loop.campaigns.by_name[campaign]
        yield from (effect for _, effect in consider(tenant, live, "request", calls, now))


# -- schedules --------------------------------------------------------------------------------------------------------


def is_due(tenant: Tenant, now: int) -> bool:
    """Return whether a Tick at ``now`` would begin or continue a sweep."""
    return bool(tenant.loop.schedules.sweeps) or _next_instant(tenant) <= now


def sweep(tenant: Tenant, now: int) -> Iterator[Effect]:
    """Begin the sweeps that are due and continue all of them, in order, as far as one Tick goes."""
    loop, people = tenant.loop, tenant.people
    if _next_instant(tenant) <= now:
        loop.schedules.fire(loop.campaigns.scheduled, people.zones.texts, now, people.table.n)
        loop.next_firing = None
    room = AT_ONCE
    for running in loop.schedules.sweeps:
        calls = _slice(tenant, running, room)
        room -= len(calls)
        live = loop.campaigns.by_name[running.campaign]
        for _, effect in consider(tenant, live, "schedule", calls, now, misfired=running.misfired):
            yield effect
        if not room:
            break
    loop.schedules.sweeps = [s for s in loop.schedules.sweeps if s.next_row < s.end_row]


def _next_instant(tenant: Tenant) -> int:
    """Return when the next schedule fires, ms UTC; recomputed only after a firing, a publication or a new zone."""
    loop, zones = tenant.loop, tenant.people.zones.texts
    if not loop.campaigns.scheduled:
        return NO_FIRING
    if loop.next_firing is None or loop.next_firing[0] != len(zones):
        loop.next_firing = len(zones), loop.schedules.next_instant(loop.campaigns.scheduled, zones)
    return loop.next_firing[1]


def _slice(tenant: Tenant, running: FiringSweep, room: int) -> list[Call]:
    """Return a sweep's next users, at most ``room``, and move the sweep past them."""
    loop, people = tenant.loop, tenant.people
    stop = min(running.next_row + SLICE, running.end_row)
    rows = np.arange(running.next_row, stop)
    running.next_row = stop
    rows = rows[(people.table["status"][rows] == LIVE) & (people.table["n_events"][rows] > 0)]
    if running.zone is not None:
        code = people.zones.find(running.zone)
        rows = rows[people.table["zone"][rows] == code]
    calls: list[Call] = []
    for row in rows.tolist():
        if len(calls) == room:
            running.next_row = row
            break
        held = loop.engagements.get(row)
        if held is None or held.fired.get(running.campaign, -1) < running.instant:
            calls.append(Call(row, str(running.instant)))
    return calls
