"""Apply a batch of events, in this order: number them, drop repeats, find their users, set aside those of merged and
erased keys, update the columns, write traits, update the segments, call campaigns, note second ids.

Segments see every event, and campaigns every event that concerns one, as if it had arrived alone. A batch is therefore
processed in turns in which no user is evaluated twice, and effects come out in the order of the events that caused
them, however the turns fell. The work for one user is bounded (:attr:`.Segments.looks`): when a batch holds more events
of a user than that, several are evaluated together.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from whisperer.events.block import Columns, EventBlock, Payloads, columns_of, key_of, link_of, spans
from whisperer.events.decoding import decode_block
from whisperer.events.traits import traits_of
from whisperer.events.types import Flag
from whisperer.ids import UserKey
from whisperer.profiles import timeline, traits
from whisperer.profiles.pages import Register
from whisperer.profiles.population import FORWARDED, OTHER_NAME
from whisperer.shard.arrival.announcements import announce
from whisperer.shard.arrival.turns import last_of, number, turns
from whisperer.shard.decision import triggers
from whisperer.shard.effects import Effect
from whisperer.shard.people import identity
from whisperer.shard.people.forwarding import drop_late, forward, go_astray
from whisperer.shard.records import Forward
from whisperer.shard.state.shard import ShardState
from whisperer.shard.state.tenant import Tenant

_TRAITS = int(Flag.TRAITS)


def arrive(shard: ShardState, payloads: Payloads, position: int) -> Iterator[Effect]:
    """Apply a block, with its payloads, that was journaled at ``position``."""
    block = payloads.block
    tenant = shard.tenant(block.tenant)
    columns = columns_of(block)
    shard.steps.passed("decode")
    sequence = number(tenant.sequence, columns.partition)
    fresh = shard.dedup.admit(
        tenant.id, columns.partition, columns.message_hash, shard.now, by_tenant=shard.dedups_by_tenant
    )
    n_fresh = int(np.count_nonzero(fresh))
    tenant.counters["events_accepted"] += n_fresh
    tenant.counters["events_duplicate"] += len(block) - n_fresh
    shard.steps.passed("dedup")
    reference = timeline.pack_reference(position, np.arange(len(block)))
    counted = fresh.copy()
    yield from _bring(shard, tenant, payloads, columns, np.flatnonzero(fresh), sequence, shard.id, reference, counted)
    if not counted.all():
        shard.repeats[position] = counted


def passed_on(shard: ShardState, tenant: Tenant, letter: Forward, *, led: bool) -> Iterator[Effect]:
    """Apply events that another partition forwarded, or that the arbiter of aliases ``led`` here."""
    payloads = Payloads(decode_block(letter.block))
    block = payloads.block
    columns = columns_of(block)
    sequence, reference = number(tenant.sequence, columns.partition), np.array(letter.references, np.int64)
    came = None if led or not shard.is_bounded else letter
    all_of = np.arange(len(block))
    counted = np.ones(len(block), np.bool_)  # they are exported where they were journaled first
    yield from _bring(shard, tenant, payloads, columns, all_of, sequence, letter.origin, reference, counted, came)


def _bring(
    shard: ShardState,
    tenant: Tenant,
    payloads: Payloads,
    columns: Columns,
    chosen: NDArray[np.int64],
    sequence: NDArray[np.int64],
    origin: int,
    reference: NDArray[np.int64],
    counted: NDArray[np.bool_],
    letter: Forward | None = None,
) -> Iterator[Effect]:
    """Apply the ``chosen`` events of a block to their users; those from before an erasure lose their ``counted`` flag.

    ``letter``: the one they arrived in, if a merged key's home sent it.
    """
    block, people, steps = payloads.block, tenant.people, shard.steps
    came = chosen
    chosen, rows = _meet(tenant, block, columns, chosen)
    if tenant.floors:
        chosen, rows = drop_late(tenant, block, chosen, rows)
    if len(chosen) < len(came):
        counted[np.setdiff1d(came, chosen, assume_unique=True)] = False
    if people.targets:
        moved = people.table["status"][rows] == FORWARDED
        if moved.any():
            if letter is None:
                yield from forward(tenant, block, chosen[moved], rows[moved], origin, reference)
            else:
                yield from go_astray(tenant, block, chosen[moved], rows[moved], letter)
            chosen, rows = chosen[~moved], rows[~moved]
    steps.passed("users")
    if not chosen.size:
        return
    tenant.touch(rows)
    names, zones = people.names.codes(block.names), people.zones.codes(block.zones)
    locales = people.locales.codes(block.locales)
    events_names = columns.name[chosen]
    watched = tenant.loop.campaigns.watched
    is_watched = np.fromiter((name in watched for name in block.names), np.bool_, len(block.names))
    if not shard.is_bounded:
        is_watched &= names != 0  # a name without a code triggered nothing then
    else:
        no_code = (names == 0) & np.fromiter((name != OTHER_NAME for name in block.names), np.bool_, len(block.names))
        n_unnamed = int(np.count_nonzero(no_code[events_names]))
        if n_unnamed:
            tenant.counters["events_unnamed"] += n_unnamed
    concerns = is_watched[events_names]
    announced: list[tuple[int, Effect]] = []
    is_bounded = shard.is_bounded
    stops = np.ones(len(rows), np.bool_) if tenant.segments.live else concerns
    in_turns, is_crowded = turns(rows, stops, tenant.segments.looks if is_bounded else len(rows))
    for turn in in_turns:
        at, row = chosen[turn], rows[turn]
        full = people.observe(
            block.events(), at, row, names, zones, locales, sequence, origin, reference, wraps=not is_bounded
        )
        if full:
            tenant.counters["dropped.revenue_full"] += full
        steps.passed("columns")
        stated = np.flatnonzero(columns.flags[at] & _TRAITS)
        if stated.size:
            _write_traits(shard, tenant, payloads, columns, sequence, at[stated], row[stated])
            steps.passed("traits")
        changes = tenant.segments.evaluate(people, row[last_of(row)] if is_crowded else row, shard.now)
        steps.passed("segments")
        hits = np.flatnonzero(concerns[turn])
        if not changes and not hits.size:
            continue
        touched = np.concatenate([row[hits], *(change.rows for change in changes)])
        causes = _Causes(row, at, sequence)
        row_to_event = dict(zip(touched.tolist(), causes.events(touched).tolist(), strict=True))
        triggers.goals(tenant, block, at[hits], row[hits])
        if is_crowded:
            hits = _one_a_user(tenant, hits, row)
        for changed, effect in announce(tenant, changes, shard.now, causes.sequence):
            announced.append((row_to_event[changed], effect))
        for called, effect in triggers.events(tenant, payloads, at[hits], row[hits], shard.now):
            announced.append((row_to_event[called], effect))
        steps.passed("campaigns")
    yield from (effect for _, effect in sorted(announced, key=_event_of_pair))
    linked = np.flatnonzero(columns.flags[chosen] & int(Flag.LINK))
    if linked.size:
        for event, row in zip(chosen[linked].tolist(), rows[linked].tolist(), strict=True):
            link = link_of(block, event)
            if link is not None:
                yield from identity.note_link(tenant, row, link, shard.now, shard.record_version)
        steps.passed("links")


def _one_a_user(tenant: Tenant, hits: NDArray[np.int64], rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return each user's last event among those in a turn that may call campaigns; the others are only counted."""
    calls = hits[last_of(rows[hits])]
    if len(calls) < len(hits):
        tenant.counters["dropped.calls_crowded"] += len(hits) - len(calls)
    return calls


def _meet(
    tenant: Tenant, block: EventBlock, columns: Columns, chosen: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return (places, rows) of the chosen events; users never seen before get rows in order of appearance.

    An erased user comes back only with an event newer than the erasure: older events are left out.
    """
    people, hashes = tenant.people, block.events()["key_hash"][chosen]
    starts, lengths, text = spans(block, "key")
    starts, lengths = starts[chosen], lengths[chosen]
    if not tenant.tombstones:
        return chosen, people.meet(hashes, starts, lengths, text, columns.partition[chosen])
    keep = np.ones(len(chosen), np.bool_)
    back: dict[UserKey, int] = {}
    for place in np.flatnonzero(people.keys.rows_of(hashes, starts, lengths, text) < 0).tolist():
        event = int(chosen[place])
        key = key_of(block, event)
        erased_at = tenant.erased_at(key)
        if erased_at is None or key in back:
            continue
        if columns.timestamp[event] <= erased_at:
            tenant.counters["dropped.user_erased"] += 1
            keep[place] = False
        else:
            back[key] = erased_at
    chosen = chosen[keep]
    rows = people.meet(hashes[keep], starts[keep], lengths[keep], text, columns.partition[chosen])
    for key, erased_at in back.items():
        tenant.floors[tenant.row_for(key)] = erased_at
    return chosen, rows


def _write_traits(
    shard: ShardState,
    tenant: Tenant,
    payloads: Payloads,
    columns: Columns,
    sequence: NDArray[np.int64],
    at: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> None:
    """Write the traits that events state, once per user."""
    writes: dict[int, list[tuple[str, Register]]] = {}
    times, numbers, kinds = columns.timestamp[at].tolist(), sequence[at].tolist(), columns.kind[at].tolist()
    for event, row, time, place, kind in zip(at.tolist(), rows.tolist(), times, numbers, kinds, strict=True):
        stated = traits_of(payloads[event], kind)
        writes.setdefault(row, []).extend([(name, (time, place, bytes(value))) for name, value in stated.items()])
    is_bounded = shard.is_bounded
    rule = traits.STATED if is_bounded else traits.UNBOUNDED
    for row, stated_of_row in writes.items():
        tenant.traits_written(row, tenant.people.write_traits(row, stated_of_row, rule), count=is_bounded)


class _Causes:
    """Find the last event of each row in a turn: the one that caused the row's changes."""

    def __init__(self, rows: NDArray[np.int64], events: NDArray[np.int64], sequence: NDArray[np.int64]) -> None:
        order = np.argsort(rows, kind="stable")
        self._rows, self._events, self._sequence = rows[order], events[order], sequence

    def events(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._events[np.searchsorted(self._rows, rows, "right") - 1]

    def sequence(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        return self._sequence[self.events(rows)]


def _event_of_pair(pair: tuple[int, Effect]) -> int:
    return pair[0]
