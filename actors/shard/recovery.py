"""Recover a shard: newest usable snapshot, then the journal's tail.

Effects are not carried out again here; what must still happen (messages, erasures) is in the recovered state.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pyarrow as pa

from actors.journal import Rules, open_journal
from actors.snapshots.store import SnapshotStore
from whisperer.errors import FencedError, JournalDamagedError, JournalError, UnavailableError
from whisperer.ports import Journal
from whisperer.settings import Settings
from whisperer.shard import snapshot
from whisperer.shard.machine import Shard
from whisperer.shard.records import decode_record
from whisperer.shard.state.dedup import WINDOW_MS

_META = "meta"
TAKEOVER_TIMEOUT_S = 5.0
AGAIN_AFTER_S = 1.0

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class Prepared:
    """A snapshot in memory: the state after every record before ``start``."""

    shard: Shard
    start: int


def prepare(settings: Settings, store: SnapshotStore) -> Prepared | None:
    """Load the newest usable snapshot; None where there is none."""
    found = store.latest()
    if found is None:
        return None
    meta = found.tables.pop(_META)["meta"][0].as_py()
    return Prepared(snapshot.load(meta, found.tables, settings.dedup.max_ids), found.lsn)


@dataclass(slots=True)
class Recovered:
    """A recovered shard, and what its recovery took."""

    shard: Shard
    journal: Journal
    n_replayed: int
    seconds: float


def recover_when_possible(
    shard_id: int,
    settings: Settings,
    store: SnapshotStore,
    sleep: Callable[[float], None] = time.sleep,
    prepared: Prepared | None = None,
) -> Recovered:
    """Call :func:`recover` again for as long as its surroundings fail: a full disk, a server that is away.

    An actor whose constructor raises is gone for good, even once the disk has room again. So it raises only what no
    waiting mends: JournalDamagedError, a journal of another version.
    """
    while True:
        try:
            return recover(shard_id, settings, store, prepared)
        except (OSError, UnavailableError, JournalError) as error:
            if isinstance(error, JournalError) and error.code not in (JournalError.code, FencedError.code):
                raise
            _log.warning("shard %d cannot recover yet, trying again in %g s: %s", shard_id, AGAIN_AFTER_S, error)
            prepared = None  # it may have been replayed in part
            sleep(AGAIN_AFTER_S)


def recover(shard_id: int, settings: Settings, store: SnapshotStore, prepared: Prepared | None = None) -> Recovered:
    """Open the journal under a new epoch, ending a stuck holder first, and rebuild the state.

    ``prepared`` is what :func:`prepare` returned earlier; it is used if the journal still reaches back to it.

    Raises
    ------
    FencedError
        A newer incarnation holds the journal.
    JournalDamagedError
        Damage before the last acknowledged record: nothing is guessed, an operator must decide.
    UnavailableError
        The journal's server does not answer, or has too few replicas: another try may succeed.
    """
    began = time.perf_counter()
    section = settings.journal
    journal = open_journal(
        section.url,
        shard_id,
        segment_bytes=section.segment_bytes,
        takeover_timeout_s=TAKEOVER_TIMEOUT_S,
        rules=Rules.of(section),
    )
    try:
        shard, n_replayed = _rebuild(shard_id, journal, settings, store, prepared)
    except BaseException:
        journal.close()  # its fence must not outlive this attempt
        raise
    seconds = time.perf_counter() - began
    _log.info("shard %d: epoch %d, %d records replayed in %.2f s", shard_id, journal.epoch, n_replayed, seconds)
    return Recovered(shard, journal, n_replayed, seconds)


def _rebuild(
    shard_id: int, journal: Journal, settings: Settings, store: SnapshotStore, prepared: Prepared | None
) -> tuple[Shard, int]:
    """Return the state as of the journal's end, and how many records were replayed for it."""
    if prepared is None or prepared.start < journal.oldest:
        prepared = prepare(settings, store)
    if prepared is None and journal.oldest > 0:
        raise JournalDamagedError(
            f"shard {shard_id}: the journal begins at {journal.oldest} and no snapshot is usable: put one back from a "
            f"backup of {settings.snapshots.uri}"
        )
    if prepared is None:
        prepared = Prepared(Shard(shard_id, settings.dedup.max_ids), journal.oldest)
    shard, start = prepared.shard, prepared.start
    shard.dedup.window_ms = int(settings.dedup.window_h * 3_600_000) or WINDOW_MS
    n_replayed = 0
    for position, data in journal.replay(start):
        shard.apply([(position, decode_record(data))])
        n_replayed += 1
    return shard, n_replayed


def parts(shard: Shard, *, copy: bool = False) -> Iterator[tuple[str, pa.Table]]:
    """Yield everything a snapshot holds, table by table; see :func:`whisperer.shard.snapshot.tables` on ``copy``."""
    yield from snapshot.tables(shard, copy=copy)
    yield _META, pa.table({"meta": pa.array([snapshot.facts(shard)], pa.large_binary())})


def capture(shard: Shard) -> dict[str, pa.Table]:
    """Return everything a snapshot holds, as of now, whatever the shard does next."""
    return dict(parts(shard, copy=True))
