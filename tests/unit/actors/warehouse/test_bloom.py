"""Filters of decision ids: none that is there is passed over, nearly all that are not there are."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from actors.warehouse import Warehouse
from actors.warehouse.bloom import MOST_IDS, bloom_of, may_hold
from tests.unit.actors.warehouse.conftest import NEW_YEAR_2026, decision, delivery, logged


@given(st.sets(st.text(max_size=30), min_size=1, max_size=60))
def test_whatever_was_put_in_may_be_there(ids: set[str]) -> None:
    bloom = bloom_of(ids)
    assert all(may_hold(bloom, id) for id in ids)
    assert len(bloom) == -(-10 * len(ids) // 8)


def test_one_in_fifty_at_most_is_looked_for_in_vain() -> None:
    bloom = bloom_of(f"dec_{n}" for n in range(1_000))
    assert sum(may_hold(bloom, f"dec_{n}") for n in range(1_000, 11_000)) < 200


def test_no_filter_is_no_answer() -> None:
    assert bloom_of([]) == bloom_of(map(str, range(MOST_IDS + 1))) == b""
    assert may_hold(b"", "dec_1")


def test_a_decision_is_looked_for_in_the_files_that_may_have_it(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path, pseudonym_key=b"k")
    for n in range(30):
        rows = [
            decision(f"u:{n}", f"dec_{n}", NEW_YEAR_2026 + n, "acme"),
            delivery(f"u:{n}", f"dec_{n}", NEW_YEAR_2026),
        ]
        warehouse.export(0, n, n + 1, [logged(n, *rows)])
    for path in (tmp_path / "tenant=acme").rglob("*.parquet"):
        if f"{7:020d}" not in path.name:
            path.unlink()  # whoever opens one of these fails
    assert warehouse.lookup_decision("acme", "dec_nowhere") is None
    found = warehouse.lookup_decision("acme", "dec_7")
    assert found is not None
    assert len(found["deliveries"]) == 1
