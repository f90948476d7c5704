"""Store a shard's whole state as Arrow tables and a small map: written next to the journal, read at recovery.

Versioned: :func:`load` reads every version up to its own (golden files in the tests).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from whisperer.errors import UNREADABLE, JournalDamagedError
from whisperer.feedback.outcome import Reward
from whisperer.ids import Partition, TenantId, UserKey
from whisperer.journeys.engagement import decode as decode_engagement
from whisperer.journeys.engagement import encode as encode_engagement
from whisperer.profiles import pages
from whisperer.profiles.columns import Table
from whisperer.profiles.history import EVER
from whisperer.profiles.names import Uses, counted
from whisperer.profiles.population import AWAY, NameSweep
from whisperer.shard import accounts
from whisperer.shard.accounts import StoredAccount
from whisperer.shard.machine import Shard
from whisperer.shard.records import CampaignConfig, Experiment, Letter, ScoreModelChosen, SegmentConfig
from whisperer.shard.state.forest import Forest
from whisperer.shard.state.log import decode_log, encode_log
from whisperer.shard.state.loop import Loop, Wish
from whisperer.shard.state.membership import Live
from whisperer.shard.state.rewards import RewardLog
from whisperer.shard.state.schedules import Schedules
from whisperer.shard.state.shard import Place
from whisperer.shard.state.tenant import Owner, Tenant, chain_of

SNAPSHOT_VERSION = 5
"""1: profiles and segments. 2: campaigns, engagements, accounts, rewards. 3: partitions on their way, sums of removed
shards. 4: scores. 5: bounds on names, traits, aliases; letters in a chain."""

ROWS_AT_ONCE = 16_384
"""Users whose entries are stored together in a table of entries."""


class LoopMeta(msgspec.Struct):
    """Hold everything of :class:`~whisperer.shard.state.loop.Loop` except engagements, which have their own table."""

    campaigns: list[CampaignConfig]
    versions: list[CampaignConfig]
    experiment: Experiment
    accounts: list[StoredAccount]
    rewards_first: int
    rewards: list[Reward]
    schedules: Schedules
    retained: list[tuple[bytes, Partition, str, int, str]]
    wishes: list[tuple[bytes, Partition, list[Wish]]] = []


class TenantMeta(msgspec.Struct):
    """Hold everything of a tenant that is in no table."""

    id: TenantId
    config_version: int
    segments: list[tuple[SegmentConfig, int, int]]
    sequence: list[int]
    sent: list[int]
    cursors: list[tuple[Partition, Partition, int]]
    letters: list[Letter] = msgspec.field(name="outbox")
    owners: list[tuple[UserKey, UserKey, bool]]
    parents: dict[UserKey, UserKey]
    tombstones: list[tuple[bytes, Partition, int]]
    floors: list[tuple[int, int]]
    counters: dict[str, int]
    links: list[tuple[int, list[tuple[UserKey, bool]]]]
    targets: list[tuple[int, UserKey]]
    names: list[str]
    zones: list[str]
    locales: list[str]
    vacant: list[int]
    erasing: dict[UserKey, int] = {}
    loop: LoopMeta | None = None
    score_model: ScoreModelChosen | None = None
    scored_by: str = ""
    scored_at: int = 0
    name_uses: Uses | None = None
    """None in snapshots before version 5: then counted from the columns."""
    locale_uses: Uses | None = None
    sweep: NameSweep = msgspec.field(default_factory=NameSweep)
    chain: list[tuple[Partition, Partition, int]] | None = None
    """None in snapshots of an older release."""
    tree_sizes: dict[UserKey, int] | None = None
    aliases_asked: dict[UserKey, int] = {}


class ShardMeta(msgspec.Struct):
    """Hold everything of a shard that is in no table."""

    version: int
    shard_id: int
    now: int
    position: int
    absent: list[Place]
    moved: list[tuple[TenantId, Partition, int]]
    repeats: list[tuple[int, int, bytes]]
    dedup: dict[str, Any]
    tenants: list[TenantMeta]
    log: bytes = b""
    arriving: list[tuple[TenantId, Partition, int, int]] = []
    sweeping: list[Place] = []
    kept: dict[TenantId, list[Partition]] | None = None
    counted: list[tuple[int, TenantId]] = []


_encode_meta = msgspec.msgpack.Encoder().encode
_decode_meta = msgspec.msgpack.Decoder(ShardMeta).decode


def dump(shard: Shard) -> tuple[bytes, dict[str, pa.Table]]:
    """Return (meta, tables) of the state as it is now; they do not change when the shard goes on."""
    return facts(shard), dict(tables(shard))


def tables(shard: Shard, *, copy: bool = True) -> Iterator[tuple[str, pa.Table]]:
    """Yield (name, table), each made when it is asked for.

    With ``copy`` False they show the columns themselves, for a reader while nothing changes the shard: a forked child.
    """
    for number, tenant in enumerate(shard.tenants.values()):
        people = tenant.people
        columns = {name: _arrow(people.table[name][: people.table.n], copy) for name in people.table.names}
        text, offsets = people.keys.dump()
        columns["key"] = pa.LargeStringArray.from_buffers(people.table.n, pa.py_buffer(offsets), pa.py_buffer(text))
        columns["traits"] = pa.array(map(pages.joined, people.traits), pa.large_binary())
        yield f"users-{number}", pa.table(columns)
        yield f"history-{number}", _by_rows(people.history.dump, people.table.n)
        yield f"timeline-{number}", _by_rows(people.timeline.dump, people.table.n)
        if tenant.loop.engagements or tenant.loop.asleep:
            yield f"engagements-{number}", _engagements(tenant.loop)
    _, ids = shard.dedup.dump()
    for number, keys in enumerate(ids):
        yield f"dedup-{number}", pa.table({"a": keys[:, 0].copy(), "b": keys[:, 1].copy()})


def facts(shard: Shard) -> bytes:
    """Return everything that is in no table, encoded, for :func:`load`."""
    meta = ShardMeta(
        version=SNAPSHOT_VERSION,
        shard_id=shard.id,
        now=shard.now,
        position=shard.position,
        absent=sorted(shard.absent),
        moved=[(tenant, partition, version) for (tenant, partition), version in shard.moved.items()],
        repeats=[(at, len(mask), np.packbits(mask).tobytes()) for at, mask in shard.repeats.items()],
        dedup=shard.dedup.dump()[0],
        tenants=[_tenant_meta(tenant) for tenant in shard.tenants.values()],
        log=encode_log(shard.log),
        arriving=[(*place, *progress) for place, progress in shard.arriving.items()],
        sweeping=sorted(shard.sweeping),
        kept=None if shard.kept is None else {tenant: sorted(held) for tenant, held in shard.kept.items()},
        counted=sorted(shard.counted),
    )
    return _encode_meta(meta)


def load(meta: bytes, tables: dict[str, pa.Table], dedup_max_ids: int) -> Shard:
    """Rebuild the shard that :func:`dump` stored.

    Raises
    ------
    JournalDamagedError
        The snapshot has a newer version, or is not a snapshot.
    """
    try:
        stored = _decode_meta(meta)
    except UNREADABLE as error:
        raise JournalDamagedError(f"a snapshot cannot be read: {error}") from error
    if stored.version > SNAPSHOT_VERSION:
        raise JournalDamagedError(
            f"the snapshot has version {stored.version}, this release reads up to {SNAPSHOT_VERSION}: "
            "start a newer release on this data"
        )
    shard = Shard(stored.shard_id, dedup_max_ids)
    shard.now, shard.position = stored.now, stored.position
    shard.absent = {(tenant, partition) for tenant, partition in stored.absent}
    shard.moved = {(tenant, partition): version for tenant, partition, version in stored.moved}
    shard.arriving = {(t, partition): (version, n_parts) for t, partition, version, n_parts in stored.arriving}
    shard.kept = None if stored.kept is None else {tenant: set(held) for tenant, held in stored.kept.items()}
    shard.counted = set(stored.counted)
    shard.sweeping = {(t, partition) for t, partition in stored.sweeping}
    shard.repeats = {
        at: np.unpackbits(np.frombuffer(bits, np.uint8), count=n).astype(np.bool_) for at, n, bits in stored.repeats
    }
    ids = []
    for number in range(shard.dedup.n_arrays(stored.dedup)):
        table = tables[f"dedup-{number}"]
        ids.append(np.stack([_numpy(table, "a"), _numpy(table, "b")], axis=1))
    shard.dedup.load(stored.dedup, ids)
    shard.log = decode_log(stored.log)
    for number, tenant_meta in enumerate(stored.tenants):
        parts = (tables[f"{part}-{number}"] for part in ("users", "history", "timeline"))
        tenant = shard.tenants[tenant_meta.id] = _tenant(shard, tenant_meta, *parts)
        _fill_loop(tenant.loop, tenant_meta.loop, tables.get(f"engagements-{number}"))
        tenant.pin_names()
    return shard


def _tenant_meta(tenant: Tenant) -> TenantMeta:
    people = tenant.people
    return TenantMeta(
        id=tenant.id,
        config_version=tenant.config_version,
        segments=[(s.config, s.backfilled, s.backfill_end) for s in tenant.segments.live.values()],
        sequence=tenant.sequence.tolist(),
        sent=tenant.sent.tolist(),
        cursors=[(target, source, at) for (target, source), at in tenant.cursors.items()],
        letters=list(tenant.letters.values()),
        owners=[(key, owner.user, owner.shared) for key, owner in tenant.owners.items()],
        parents=tenant.forest.parents,
        tombstones=[(digest, partition, at) for digest, (partition, at) in tenant.tombstones.items()],
        floors=list(tenant.floors.items()),
        counters=dict(tenant.counters),
        links=[(row, list(links.items())) for row, links in people.links.items()],
        targets=list(people.targets.items()),
        names=people.names.texts,
        zones=people.zones.texts,
        locales=people.locales.texts,
        vacant=people.keys.vacant().tolist(),
        erasing=tenant.erasing,
        loop=_loop_meta(tenant.loop),
        score_model=tenant.score_model,
        scored_by=tenant.scored_by,
        scored_at=tenant.scored_at,
        name_uses=people.names.dump(),
        locale_uses=people.locales.dump(),
        sweep=people.sweep,
        chain=[(source, target, at) for (source, target), at in tenant.chain.items()],
        tree_sizes=tenant.forest.sizes,
        aliases_asked=tenant.forest.asked,
    )


def _loop_meta(loop: Loop) -> LoopMeta:
    return LoopMeta(
        campaigns=loop.campaigns.configs,
        versions=list(loop.campaigns.versions.values()),
        experiment=loop.experiment,
        accounts=[accounts.store(name, account) for name, account in loop.accounts.items()],
        rewards_first=loop.rewards.first,
        rewards=loop.rewards.all(),
        schedules=loop.schedules,
        retained=[(digest, *rest) for digest, rest in loop.retained.items()],
        wishes=[(digest, *rest) for digest, rest in loop.wishes.items()],
    )


def _engagements(loop: Loop) -> pa.Table:
    every = {**loop.engagements, **loop.asleep}
    encoded = [encode_engagement(held) for held in every.values()]
    return pa.table({"row": pa.array(list(every), pa.int32()), "engagement": pa.array(encoded, pa.large_binary())})


def _fill_loop(loop: Loop, meta: LoopMeta | None, engagements: pa.Table | None) -> None:
    if meta is None:
        return
    loop.campaigns.versions = {(config.name, config.version): config for config in meta.versions}
    loop.campaigns.publish(meta.campaigns)
    loop.experiment = meta.experiment
    loop.accounts = {stored.campaign: accounts.restore(stored) for stored in meta.accounts}
    loop.rewards = RewardLog(meta.rewards_first, meta.rewards)
    loop.schedules = meta.schedules
    loop.wishes = {digest: (partition, wishes) for digest, partition, wishes in meta.wishes}
    loop.retained = {digest: (*rest,) for digest, *rest in meta.retained}  # type: ignore[misc]
    if engagements is not None:
        rows, encoded = engagements["row"].to_pylist(), engagements["engagement"].to_pylist()
        status = loop.people.table["status"]
        for row, text in zip(rows, encoded, strict=True):
            (loop.asleep if status[row] & AWAY else loop.engagements)[row] = decode_engagement(text)
    loop.rebuild()


def _tenant(shard: Shard, meta: TenantMeta, users: pa.Table, history: pa.Table, timeline: pa.Table) -> Tenant:
    tenant = Tenant.new(meta.id, shard.rows)
    people = tenant.people
    people.zones.load(meta.zones, Uses())
    people.names.load(meta.names, meta.name_uses or _counted(history, len(meta.names)))
    locales = _numpy(users, "locale")
    people.locales.load(meta.locales, meta.locale_uses or counted(locales, 1, len(meta.locales)))
    people.sweep = meta.sweep
    people.keys.load(*_text(users, "key"), meta.vacant)
    people.traits = users["traits"].to_pylist()
    ends = _text(users, "traits")[1]
    for row in np.flatnonzero(np.diff(ends) > pages.PAGE_BYTES).tolist():
        people.traits[row] = pages.divided(people.traits[row])  # type: ignore[arg-type]
    people.traits_bytes = int(ends[-1] - ends[0])
    tenant.config_version = meta.config_version
    tenant.segments.publish(people, [config for config, _, _ in meta.segments])
    for config, done, end in meta.segments:
        live: Live = tenant.segments.live[config.name]
        live.backfilled, live.backfill_end = done, end
    _fill(people.table, users)
    people.history.load({name: _numpy(history, name) for name in history.column_names})
    people.timeline.load({name: _numpy(timeline, name) for name in timeline.column_names})
    people.links = {row: dict(links) for row, links in meta.links}
    people.targets = dict(meta.targets)
    tenant.sequence[:] = meta.sequence
    tenant.sent[:] = meta.sent
    tenant.cursors = {(target, source): at for target, source, at in meta.cursors}
    tenant.letters = {(letter.source, letter.sequence): letter for letter in meta.letters}
    if meta.chain is None:
        tenant.chain = chain_of(meta.letters)
    else:
        tenant.chain = {(source, target): at for source, target, at in meta.chain}
    tenant.owners = {key: Owner(user, shared) for key, user, shared in meta.owners}
    tenant.forest = Forest(meta.parents, meta.tree_sizes or {}, meta.aliases_asked)
    if meta.tree_sizes is None:
        tenant.forest.count()
    tenant.tombstones = {digest: (partition, at) for digest, partition, at in meta.tombstones}
    tenant.floors = dict(meta.floors)
    tenant.erasing = dict(meta.erasing)
    tenant.score_model, tenant.scored_by, tenant.scored_at = meta.score_model, meta.scored_by, meta.scored_at
    tenant.counters = Counter(meta.counters)
    return tenant


def _counted(history: pa.Table, n_names: int) -> Uses:
    name, day = _numpy(history, "key") >> 16 & 0xFFFF, _numpy(history, "key") & 0xFFFF
    ever = day == EVER
    return counted(name[ever], _numpy(history, "count")[ever], n_names)


def _fill(table: Table, stored: pa.Table) -> None:
    table.extend(stored.num_rows)
    for name in stored.column_names:
        if name in table:
            table.load(name, _numpy(stored, name))


def _arrow(values: NDArray[Any], copy: bool) -> pa.Array:
    flat = values.reshape(-1).copy() if copy else values.reshape(-1)
    return pa.FixedSizeListArray.from_arrays(pa.array(flat), values.shape[1]) if values.ndim == 2 else pa.array(flat)


def _numpy(table: pa.Table, name: str) -> NDArray[Any]:
    column = table[name].combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    if pa.types.is_fixed_size_list(column.type):
        return np.asarray(column.flatten()).reshape(-1, column.type.list_size)
    return np.asarray(column.to_numpy(zero_copy_only=False))


def _text(table: pa.Table, name: str) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return (bytes, offsets) of a column of large strings or binaries."""
    column = table[name].combine_chunks()
    if isinstance(column, pa.ChunkedArray):
        column = pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)
    _, offsets, data = column.buffers()
    ends = np.frombuffer(offsets or bytes(8), np.int64)[column.offset : column.offset + len(column) + 1]
    return np.frombuffer(data or b"", np.uint8), ends


def _by_rows(dump: Callable[[range], dict[str, NDArray[Any]]], n_rows: int) -> pa.Table:
    """Dump entries in groups of rows, so that a user's new entry shifts only its group and the rest stays the same."""
    firsts = range(0, max(1, n_rows), ROWS_AT_ONCE)
    return pa.concat_tables(_table(dump(range(first, min(first + ROWS_AT_ONCE, n_rows)))) for first in firsts)


def _table(columns: dict[str, NDArray[Any]]) -> pa.Table:
    return pa.table({name: pa.array(values.reshape(len(values))) for name, values in columns.items()})
