"""What a user looked like at a moment of the past is the same, live and replayed from the warehouse, to the bit."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.warehouse import ExportRecord, Warehouse
from tests.support.public_files import ONLINE_RETAIL
from tests.support.shard_world import DAY, T0, TENANT, World, event
from tests.support.stand import SHARED
from training.rows.blocks import stored_events
from training.rows.decisions import HASH_KEY
from training.rows.replay import Question, Replay, churn_rows, rows_of
from whisperer.events.decoding import decode_block
from whisperer.profiles import features
from whisperer.profiles.features import FEATURES, REPLAYED, feature_hash
from whisperer.profiles.population import LIVE
from whisperer.shard.records import Events, decode_record

USERS = st.sampled_from(["ann", "bob", "cyd", "dan"])
DEVICES = st.sampled_from(["a1", "a2"])


@st.composite
def happenings(draw: st.DrawFn) -> tuple[dict[str, Any], int]:
    """An event, some of them late, and the ms until the next one."""
    user = draw(st.one_of(st.none(), USERS))
    previous = draw(st.one_of(st.none(), USERS)) if user else None
    late = draw(st.sampled_from([0, 0, 1, 40 * DAY, 100 * DAY]))
    fields = {
        "anonymous": draw(st.one_of(st.none(), DEVICES) if not previous else st.none()) if user else draw(DEVICES),
        "type": "alias" if previous else draw(st.sampled_from(["track", "track", "identify"])),
        "previous": previous,
        "name": draw(st.sampled_from(["Bought", "Looked"])),
        "revenue": draw(st.sampled_from([0, 12.5, -3])),
        "active": draw(st.sampled_from([True, True, False])),
        "id": f"m{draw(st.integers(0, 60))}",
    }
    return {"user": user, "late": late, **fields}, draw(st.integers(1, 20 * DAY))


def live(world: World, cutoff: int) -> dict[str, bytes]:
    """The features of every user of a live installation, as they are now."""
    found = {}
    for shard in world.shards:
        people = shard.tenant(TENANT).people
        table = people.table
        rows = np.flatnonzero((table["status"][: table.n] == LIVE) & (table["n_events"][: table.n] > 0))
        values = features.matrix(REPLAYED, table, rows, cutoff)
        found |= dict(zip(people.keys.texts(rows), map(np.ndarray.tobytes, values), strict=True))
    return found


def exported(world: World, folder: Path) -> Warehouse:
    warehouse = Warehouse(folder)
    for number, (shard, journal) in enumerate(zip(world.shards, world.journals, strict=True)):
        records = []
        for position, data in enumerate(journal):
            body = decode_record(data).body
            if isinstance(body, Events):
                block = decode_block(body.block)
                counted = shard.repeats.get(position, np.ones(len(block), np.bool_))
                records.append(ExportRecord(position, block, counted))
        if journal:
            warehouse.export(number, 0, len(journal), records)
    return warehouse


def as_bytes(table: Any) -> dict[str, bytes]:
    values = np.stack([table[name].to_numpy() for name in REPLAYED], axis=1)
    return dict(zip(table["user_key"].to_pylist(), map(np.ndarray.tobytes, values), strict=True))


@settings(max_examples=15, deadline=None)
@given(stream=st.lists(happenings(), min_size=1, max_size=25), every=st.integers(2, 9))
def test_live_and_replayed_features_are_the_same_to_the_bit(
    stream: list[tuple[dict[str, Any], int]], every: int
) -> None:
    world = World()
    seen: dict[int, dict[str, bytes]] = {}
    for number, (fields, wait) in enumerate(stream):
        if number % every == 0:
            seen[world.now] = live(world, world.now)
        stated = {name: value for name, value in fields.items() if name not in ("late", "user")}
        at = world.now - fields["late"]
        world.send(event(fields["user"], at=at, received=world.now, **stated))
        world.deliver()
        world.now += wait
    end = world.now + DAY
    with tempfile.TemporaryDirectory() as folder:
        warehouse = exported(world, Path(folder))
        question = Question(sorted(seen), window_days=1)
        tables = list(churn_rows(warehouse, TENANT, question, until=end))
    assert [table["cutoff"][0].as_py() for table in tables if table.num_rows] == sorted(
        table["cutoff"][0].as_py() for table in tables if table.num_rows
    )
    replayed = dict(zip(sorted(seen), map(as_bytes, tables), strict=True))
    assert replayed == seen


def test_what_a_shared_device_did_between_two_claims_stays_with_whom_it_went_to(tmp_path: Path) -> None:
    world = World()
    for user, anonymous in ((None, "tv"), ("ann", "tv"), (None, "tv"), ("bob", "tv"), (None, "tv"), (None, "tv")):
        world.send(event(user, anonymous=anonymous, at=world.now, received=world.now))
        world.deliver()
        world.now += 1
    cutoff = world.now
    (table,) = churn_rows(exported(world, tmp_path), TENANT, Question([cutoff], 1), until=cutoff + DAY)
    counts = dict(zip(table["user_key"].to_pylist(), table["events_total"].to_pylist(), strict=True))
    assert counts == {"u:ann": 3, "u:bob": 1, "a:tv": 2}
    assert as_bytes(table) == live(world, cutoff)


def three_months() -> World:
    """Ann comes every ten days; bob once; a device that becomes bob's comes back, and so bob does."""
    world = World()
    for day in range(0, 91, 10):
        world.now = T0 + day * DAY
        world.send(event("ann", name="Bought", at=world.now, received=world.now))
        if day == 0:
            world.send(event("bob", at=world.now, received=world.now))
        if day == 40:
            world.send(event(anonymous="phone", at=world.now, received=world.now))
        if day == 50:
            world.send(event("bob", anonymous="phone", active=False, at=world.now, received=world.now))
        world.deliver()
    return world


def test_a_label_says_who_came_back_within_the_window_under_whatever_name(tmp_path: Path) -> None:
    world = three_months()
    question = Question([T0 + 35 * DAY, T0 + 45 * DAY, T0 + 85 * DAY], window_days=20)
    first, second = churn_rows(exported(world, tmp_path), TENANT, question)  # the third window is not over
    came_back = dict(zip(first["user_key"].to_pylist(), first["came_back"].to_pylist(), strict=True))
    assert came_back == {"u:ann": True, "u:bob": True}  # his phone did, within the window it became his
    came_back = dict(zip(second["user_key"].to_pylist(), second["came_back"].to_pylist(), strict=True))
    assert came_back == {"u:ann": True, "u:bob": False, "a:phone": False}  # being said to be his is not coming back
    active_days = dict(zip(second["user_key"].to_pylist(), second["active_days"].to_pylist(), strict=True))
    assert active_days == {"u:ann": 2, "u:bob": 1, "a:phone": 1}
    assert second.schema.metadata[HASH_KEY].decode() == feature_hash(FEATURES[name] for name in REPLAYED)


def test_a_goal_and_a_last_seen_narrow_the_question(tmp_path: Path) -> None:
    world = three_months()
    question = Question([T0 + 45 * DAY], 20, goal="Bought", seen_within_days=30, names=("revenue", "recency_days"))
    (table,) = churn_rows(exported(world, tmp_path), TENANT, question)
    assert table.column_names == ["user_key", "cutoff", "came_back", "active_days", "revenue", "recency_days"]
    assert dict(zip(table["user_key"].to_pylist(), table["came_back"].to_pylist(), strict=True)) == {
        "u:ann": True,
        "a:phone": False,
    }


def test_nothing_after_the_cutoff_reaches_a_feature(tmp_path: Path) -> None:
    world = three_months()
    cutoff, question = T0 + 45 * DAY, Question([T0 + 45 * DAY], 20)
    events = list(stored_events(exported(world, tmp_path), TENANT, "received_at"))
    before = [batch.filter(np.asarray(batch["arrived"]) < cutoff) for batch in events]
    (whole,) = rows_of(events, TENANT, question)
    (cut,) = rows_of(before, TENANT, question, until=cutoff + 20 * DAY)
    assert as_bytes(whole) == as_bytes(cut)
    assert whole["came_back"].to_pylist() != cut["came_back"].to_pylist()


def test_an_order_that_is_none_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="received_at"):
        stored_events(Warehouse(tmp_path), TENANT, "lsn")


def test_online_retail_replayed_is_online_retail_lived(tmp_path: Path) -> None:
    files = [SHARED / "data" / path for path, _ in ONLINE_RETAIL.files]
    if not all(file.exists() for file in files):
        pytest.skip("the Online Retail files are not here")
    query = ONLINE_RETAIL.events.format(*files)
    found = duckdb.sql(
        f'select * from ({query}) where hash("user") % 150 = 0 order by at_ms, "user", micros'
    ).fetchall()
    world, number = World(), 0
    cutoffs = [found[0][2] + days * DAY for days in (100, 300, 500)]
    seen = []
    for cutoff in [*cutoffs, found[-1][2] + 1]:
        start = number
        while number < len(found) and found[number][2] < cutoff:
            number += 1
        for at in range(start, number, 500):
            batch = found[at : min(at + 500, number)]
            world.now = batch[-1][2]
            world.send(*(event(user, name=name, at=ms, revenue=micros / 1e6) for user, name, ms, micros in batch))
        seen.append(live(world, cutoff))
    tables = list(churn_rows(exported(world, tmp_path), TENANT, Question(cutoffs, 90), order="timestamp"))
    assert [as_bytes(table) for table in tables] == seen[:3]
    shares = [np.mean(table["came_back"].to_numpy(zero_copy_only=False)) for table in tables]
    assert all(0.1 < share < 0.9 for share in shares)


def test_a_replay_settles_what_partitions_owe_each_other(tmp_path: Path) -> None:
    world = three_months()
    replay = Replay(TENANT)
    for batch in stored_events(exported(world, tmp_path), TENANT, "received_at"):
        replay.bring(batch)
    assert not replay.shard.letters()
    assert replay.tenant.people.targets[replay.tenant.people.keys.get("a:phone") or 0] == "u:bob"
