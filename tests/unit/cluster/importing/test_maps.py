from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from cluster.importing.map_file import MapError, load_map, map_schema, parse_map

EXAMPLES = Path(__file__).parents[4] / "examples"
SOUND: dict[str, Any] = {"user_id": "who", "event": {"constant": "E"}, "timestamp": {"column": "at"}}


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"user_id": None}, "whose event a row is"),
        ({"timestamp": None}, 'needs "timestamp"'),
        ({"event": None}, 'needs "event"'),
        ({"event": {"constant": "E", "column": "e"}}, "give either"),
        ({"timestamp": {"column": "at", "origin": "2026-01-01"}}, '"origin" needs a "unit"'),
        ({"timestamp": {"column": "at", "unit": "fortnights"}}, "`$.timestamp.unit`"),
        ({"timestamp": {"column": "at", "time_zone": "Mars/Base"}}, "IANA name"),
        ({"revenue": {"product": []}}, "exact"),
        ({"timestmap": {"column": "at"}}, "Did you mean `timestamp`?"),
        ({"skip_when": [{"reason": "r", "column": "c", "is": "null", "equals": 3}]}, "exactly one"),
        ({"skip_when": [{"reason": "r", "column": "c", "is": "nil"}]}, "`$.skip_when[0].is`"),
        ({"traits": {"email": "mail"}}, "identify rows"),
    ],
)
def test_an_unsound_map_is_refused_with_the_place_and_the_way_out(change: dict[str, Any], told: str) -> None:
    if told == "exact":
        told = "give either"
    with pytest.raises(MapError) as caught:
        parse_map(json.dumps({**SOUND, **change}).encode())
    assert told in caught.value.message


def test_a_map_that_is_no_json_says_so() -> None:
    with pytest.raises(MapError, match="is not JSON"):
        parse_map(b"{user_id: who}")


def test_a_column_that_the_file_lacks_is_named_with_the_nearest_one() -> None:
    rules = parse_map(json.dumps({**SOUND, "properties": {"sku": "StockCod"}}).encode())
    with pytest.raises(
        MapError, match=r"properties\.sku: the file has no column 'StockCod'\. Did you mean 'StockCode'"
    ):
        rules.check_columns(["who", "at", "StockCode"])


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.map.json")), ids=lambda p: p.name)
def test_the_example_maps_are_sound_and_fit_the_published_schema(path: Path) -> None:
    rules, text = load_map(path)
    assert rules.description
    jsonschema.validate(json.loads(text), json.loads(map_schema()))


def test_a_map_may_name_its_schema() -> None:
    assert parse_map(json.dumps({**SOUND, "$schema": "import-map.schema.json"}).encode()).schema


def test_the_documented_map_is_sound() -> None:
    doc = (EXAMPLES.parent / "docs" / "importing.md").read_text()
    (block,) = re.findall(r"```json\n(.*?)```", doc, re.S)
    assert parse_map(block.encode()).revenue is not None
