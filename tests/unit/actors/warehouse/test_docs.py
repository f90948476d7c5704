"""The page about storage is true where it speaks of the warehouse: columns, and questions that run."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb
import pytest

from actors.warehouse import DATASETS, Warehouse
from tests.unit.actors.warehouse.conftest import NEW_YEAR_2026, decision, delivery, logged, outcome, refused, reward

PAGE = (Path(__file__).parents[4] / "docs" / "storage.md").read_text()
SETUP, *_ = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
QUESTIONS = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def connection(tmp_path: Path) -> duckdb.DuckDBPyConnection:
    """The page's own connection, over a warehouse in which something happened."""
    warehouse = Warehouse(tmp_path)
    rows = [
        *(decision("u:1", "dec_1"), delivery("u:1", "dec_1", status="retry"), delivery("u:1", "dec_1", attempt=1)),
        *(outcome("u:1", "dec_1"), outcome("u:1", "dec_1"), outcome("u:1", "dec_1", kind="converted")),
        *(reward("u:1", "dec_1", micros=0), reward("u:1", "dec_1", revision=1, micros=2_000_000)),
        *(decision("u:2", "dec_2", features=[("recency_days", 4.0)]), reward("u:2", "dec_2", micros=500_000)),
        *(
            delivery("u:2", "dec_2", status="refused", provider="", reason="suppressed"),
            refused("u:3", "dec_3", "capped"),
        ),
        *(refused("u:4", "dec_4", "capped"), decision("u:5", "dec_5", group="holdout"), reward("u:5", "dec_5")),
    ]
    warehouse.export(0, 0, 10, [logged(0, *rows)])
    names: dict[str, Any] = {"warehouse": warehouse}
    exec(SETUP, names)
    connection: duckdb.DuckDBPyConnection = names["connection"]
    return connection


def test_every_question_on_the_page_has_the_answer_it_should(connection: duckdb.DuckDBPyConnection) -> None:
    answers = [connection.sql(question).fetchall() for question in QUESTIONS]
    arms, p = ["no_send", "email"], [0.25, 0.75]
    assert answers == [
        [("policy", "email", 1, 2.0)],
        [("capped", 2), ("suppressed", 1)],
        [("dec_1", None, arms, p, "email", 0.75, 2_000_000), ("dec_2", 4.0, arms, p, "email", 0.75, 500_000)],
        [("email", "sink", 1, 1, 1)],
    ]


def test_the_views_work_for_a_tenant_without_any_rows(tmp_path: Path) -> None:
    names: dict[str, Any] = {"warehouse": Warehouse(tmp_path)}
    exec(SETUP, names)
    assert [names["connection"].sql(question).fetchall() for question in QUESTIONS] == [[]] * len(QUESTIONS)


@pytest.mark.parametrize("name", DATASETS)
def test_the_table_of_columns_is_the_schema(name: str) -> None:
    section = re.split(r"\n##", PAGE.split(f"\n### {name}\n")[1])[0]
    stated = [
        (column, "null" in kind)
        for columns, kind in re.findall(r"^\| ([a-z_, ]+) \| ([^|]+) \|", section, re.MULTILINE)
        if columns != "column"
        for column in columns.split(", ")
    ]
    assert stated == [(field.name, field.nullable) for field in DATASETS[name].schema]


def test_an_answer_found_by_the_page_is_found_by_look_up_too(tmp_path: Path) -> None:
    warehouse = Warehouse(tmp_path)
    warehouse.export(0, 0, 10, [logged(0, decision("u:1", at=NEW_YEAR_2026))])
    names: dict[str, Any] = {"warehouse": warehouse, "decision_id": "dec_1"}
    (call,) = re.findall(r"`(warehouse\.lookup_decision\(.*?\))`", PAGE)
    found = eval(call, names)
    assert found["decision"]["user_key"] == "u:1"
