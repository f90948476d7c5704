"""One definition of each feature, the same for a user alone and among others, and a hash that knows it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from whisperer.profiles import bgnbd, daily, features
from whisperer.profiles.features import FEATURES, REPLAYED, feature_hash
from whisperer.profiles.record import users
from whisperer.profiles.scores import HORIZON_DAYS, BgNbdScores
from whisperer.vocabulary.units import DAY_MS

ACTIVE = st.lists(st.tuples(st.integers(0, 3), st.integers(20_000, 20_200)), min_size=1, max_size=60)


def four_users(days: list[tuple[int, int]]) -> features.Table:
    table = users()
    table.extend(4)
    rows, on = (np.array(column, np.int64) for column in zip(*days, strict=True))
    daily.add(table, rows, on, np.ones(len(rows), np.int64))
    for row, day in days:
        at = day * DAY_MS
        held = int(table["first_seen"][row])
        table["first_seen"][row] = at if held < 0 else min(held, at)
        table["last_seen"][row] = max(int(table["last_seen"][row]), at)
        table["n_events"][row] += 1
    return table


@settings(deadline=None)
@given(days=ACTIVE, later=st.integers(0, 400))
def test_a_user_alone_has_the_features_of_the_user_among_others_to_the_bit(
    days: list[tuple[int, int]], later: int
) -> None:
    table, names = four_users(days), tuple(FEATURES)
    now = (max(day for _, day in days) + later) * DAY_MS + 5
    together = features.matrix(names, table, np.arange(4), now)
    for row in range(4):
        alone = features.matrix(names, table, np.array([row]), now)
        assert alone.tobytes() == together[row].tobytes()
    one_by_one = np.stack([features.compute(name, table, np.arange(4), now) for name in names], axis=1)
    assert one_by_one.tobytes() == together.tobytes()


@settings(deadline=None)
@given(days=ACTIVE, later=st.integers(0, 400))
def test_a_history_of_purchases_is_that_of_the_active_days_in_the_ring(days: list[tuple[int, int]], later: int) -> None:
    table = four_users(days)
    today = max(day for _, day in days) + later
    names = ("repeat_days", "repeat_span_weeks", "since_first_weeks", "p_alive", "expected_days_30d")
    found = features.matrix(names, table, np.arange(4), today * DAY_MS)
    for row in range(4):
        mine = {day for r, day in days if r == row}
        ring = sorted(day for day in mine if day > max(mine) - 90)
        if not ring:
            assert np.isnan(found[row]).all()
            continue
        history = len(ring) - 1, (ring[-1] - ring[0]) / 7, (today - ring[0]) / 7
        assert tuple(found[row, :3]) == history
        assert found[row, 3] == bgnbd.p_alive(bgnbd.CDNOW, *history)[0]
        assert found[row, 4] == bgnbd.expected_purchases(bgnbd.CDNOW, 30 / 7, *history)[0]


def test_silence_raises_churn_and_lowers_engagement() -> None:
    table = four_users([(0, day) for day in range(20_000, 20_060, 4)])
    model, found = BgNbdScores(), []
    for silent in (0, 14, 60, 300):
        x = features.matrix(model.features, table, np.array([0, 1]), (20_060 + silent) * DAY_MS)
        churn, engagement = model.score(x)
        assert np.isnan([churn[1], engagement[1]]).all()
        found.append((churn[0], engagement[0]))
    churns, engagements = zip(*found, strict=True)
    assert list(churns) == sorted(churns)
    assert list(engagements) == sorted(engagements, reverse=True)
    assert 0 <= churns[0] < churns[-1] <= 1
    assert HORIZON_DAYS == 30


def test_a_hash_knows_names_units_versions_and_order() -> None:
    specs = [FEATURES[name] for name in REPLAYED]
    hashes = {
        feature_hash(specs),
        feature_hash(specs[::-1]),
        feature_hash(specs[:-1]),
        feature_hash([replace(specs[0], version=2), *specs[1:]]),
        feature_hash([replace(specs[0], unit="hours"), *specs[1:]]),
    }
    assert len(hashes) == 5
    assert feature_hash([replace(specs[0], description="in other words"), *specs[1:]]) in hashes


def test_scores_are_no_part_of_what_models_are_trained_on() -> None:
    assert not [name for name in REPLAYED if name.startswith("score.")]
    assert len(REPLAYED) == len(FEATURES) - 2
