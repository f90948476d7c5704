"""Logged decisions as rows to learn from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from actors.warehouse import Warehouse
from tests.unit.actors.warehouse.conftest import NEW_YEAR_2026, decision, erased, logged, refused, reward
from training.rows.decisions import HASH_KEY, decision_rows, matrix
from whisperer.shard.decision.features import FEATURE_HASH, SPECS

AT = NEW_YEAR_2026


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    made = Warehouse(tmp_path, pseudonym_key=b"k")
    rows = [
        decision("u:a", "dec_a", AT),
        reward("u:a", "dec_a", AT + 5, 0, 1_000_000),
        reward("u:a", "dec_a", AT + 9, 1, 2_500_000),
        decision("u:b", "dec_b", AT + 1, arm="no_send", propensity=0.25, campaign="other"),
        reward("u:b", "dec_b", AT + 9, 1, 0),
        decision("u:c", "dec_c", AT + 2),  # its window is open
        reward("u:c", "dec_c", AT + 5, 0, 7),
        decision("u:d", "dec_d", AT + 3),  # nothing is known of it
        refused("u:e", "dec_e", "no_consent"),
    ]
    made.export(0, 0, 10, [logged(3, *rows)])
    return made


def test_the_last_reward_is_joined_by_decision_and_open_windows_wait(warehouse: Warehouse) -> None:
    found = decision_rows(warehouse, "acme")
    assert found["decision_id"].to_pylist() == ["dec_a", "dec_b"]
    assert found["reward_micros"].to_pylist() == [2_500_000, 0]
    assert found["propensity"].to_pylist() == [0.75, 0.25]
    assert found["arms"][0].as_py() == ["no_send", "email"]
    assert found.schema.metadata[HASH_KEY].decode() == FEATURE_HASH


def test_open_ones_come_when_asked_for_with_what_is_known(warehouse: Warehouse) -> None:
    found = decision_rows(warehouse, "acme", immature=True)
    assert found["decision_id"].to_pylist() == ["dec_a", "dec_b", "dec_c", "dec_d"]
    assert found["reward_micros"].to_pylist() == [2_500_000, 0, 7, 0]
    assert found["mature"].to_pylist() == [True, True, False, False]


def test_a_campaign_and_a_time_narrow_it_and_tenants_never_mix(warehouse: Warehouse) -> None:
    assert decision_rows(warehouse, "acme", campaign="other")["decision_id"].to_pylist() == ["dec_b"]
    assert decision_rows(warehouse, "acme", until=AT + 1)["decision_id"].to_pylist() == ["dec_a"]
    assert decision_rows(warehouse, "acme2").num_rows == 0


def test_features_are_columns_in_the_registrys_order_and_nan_where_not_logged(warehouse: Warehouse) -> None:
    found = decision_rows(warehouse, "acme")
    assert found.column_names[-len(SPECS) :] == list(SPECS)
    x = matrix(found, ["events_7d", "recency_days", "score.churn"])
    assert x[:, 0].tolist() == [3.0, 3.0]
    assert np.isnan(x[:, 1:]).all()
    with pytest.raises(KeyError):
        matrix(found, ["no such"])


def test_an_erased_user_teaches_nothing_more(warehouse: Warehouse) -> None:
    warehouse.erase("acme", erased("u:a"))
    assert decision_rows(warehouse, "acme")["decision_id"].to_pylist() == ["dec_b"]
