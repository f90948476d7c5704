"""Uploads: what is right is read as it stands, what is wrong is named with its line, and nothing is half read."""

from __future__ import annotations

import csv
import io
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from whisperer.content.catalogue.fields import (
    MAX_FIELDS,
    MAX_ITEM_BYTES,
    CatalogueError,
    ItemsError,
    checked_fields,
    checked_item,
)
from whisperer.content.catalogue.upload import read_items

FIELDS = {"name": "string", "price": "number", "new": "boolean", "since": "time", "url": "url", "tags": "list"}
JSON, CSV = "application/json", "text/csv"
TEXT = st.text(st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1, max_size=20)
ITEM = st.fixed_dictionaries(
    {},
    optional={
        "name": TEXT,
        "price": st.one_of(st.integers(-(10**9), 10**9), st.floats(-1e6, 1e6)),
        "new": st.booleans(),
        "tags": st.lists(st.sampled_from(["a", "b c", "ü"]), min_size=1, max_size=4),
    },
)


def read(text: str, media_type: str = JSON, most: int = 100) -> dict[str, Any]:
    return {id: json.loads(body) for id, body in read_items(FIELDS, text.encode(), media_type, most).items()}


def problems(text: str, media_type: str = JSON, most: int = 100) -> list[tuple[str, str]]:
    with pytest.raises(ItemsError) as caught:
        read(text, media_type, most)
    return [(one["pointer"], one["code"]) for one in caught.value.errors]


@settings(max_examples=150, deadline=None)
@given(items=st.lists(ITEM, max_size=6))
def test_the_same_items_are_read_of_csv_of_an_array_and_of_lines(items: list[dict[str, Any]]) -> None:
    held = [{"id": f"p-{n}", **one} for n, one in enumerate(items)]
    table = io.StringIO()
    writer = csv.writer(table)
    writer.writerow(["id", *FIELDS])
    for one in held:
        cells = {
            name: json.dumps(value) if isinstance(value, (bool, int, float)) else value for name, value in one.items()
        }
        writer.writerow(
            [cells.get("id"), *("|".join(cells.get(f, "")) if f == "tags" else cells.get(f, "") for f in FIELDS)]
        )
    wanted = {one["id"]: one for one in held}
    assert read(json.dumps(held, indent=1)) == wanted
    assert read("\n".join(map(json.dumps, held))) == wanted
    assert read(table.getvalue(), CSV) == wanted


def test_a_wrong_item_is_named_with_the_line_on_which_it_begins() -> None:
    array = '[\n{"id": "a"},\n\n{"id": "b",\n "price": "x"},\n{"id": "a"}]'
    assert problems(array) == [("/4", "invalid_item"), ("/6", "repeated_id")]
    assert problems('{"id": "a"}\n\nnonsense\n{"price": 1}') == [("/3", "invalid_item"), ("/4", "invalid_item")]
    table = 'id,name,price\na,"two\nlines",1\nb,x\nc,x,1.5.2\n'
    assert problems(table, CSV) == [("/4", "invalid_item"), ("/5", "invalid_item")]
    assert problems("id,colour\na,red\n", CSV) == [("/1", "invalid_item")]
    assert problems("name\na\n", CSV) == [("/1", "invalid_item")]
    assert problems('id,name\na,"b\n', CSV)[0][1] == "invalid_item"


def test_an_upload_that_is_too_long_or_no_text_is_refused() -> None:
    assert problems("\n".join(f'{{"id": "{n}"}}' for n in range(5)), most=3) == [("/4", "too_many")]
    with pytest.raises(ItemsError):
        read_items(FIELDS, b"\xff\xfe", JSON, 5)
    assert problems("[" * 100_000) == [("/1", "invalid_item")]
    assert len(problems("\n".join(["{}"] * 500))) == 100


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", 3),
        ("name", "x" * 2_001),
        ("name", "\ud800"),
        ("price", "3"),
        ("price", True),
        ("price", float("inf")),
        ("price", 2**60),
        ("new", "true"),
        ("since", "yesterday"),
        ("since", "0001-01-01"),
        ("url", "javascript:alert(1)"),
        ("url", "https://user@a.example/"),
        ("url", "https://a.example/a b"),
        ("tags", "a"),
        ("tags", ["a", 1]),
        ("tags", ["a"] * 51),
        ("colour", "red"),
    ],
)
def test_a_value_of_another_kind_is_refused(field: str, value: Any) -> None:
    assert isinstance(checked_item(FIELDS, {field: value}), str)


def test_values_are_kept_as_written_and_times_in_utc() -> None:
    given_ = {"id": "x", "name": " a\n", "price": 3, "since": "2026-03-01T10:00:00+02:00", "url": None}
    assert checked_item(FIELDS, given_) == {"name": " a\n", "price": 3, "since": "2026-03-01T08:00:00Z"}


@pytest.mark.parametrize("id", ["", " a", "a/b", "x" * 129, "a\nb", True, 1.5, None, [], 2**53])
def test_an_id_is_short_and_printable(id: Any) -> None:
    assert problems(json.dumps([{"id": id}]))[0][1] == "invalid_item"


def test_a_whole_number_is_an_id() -> None:
    assert read('[{"id": 17}]') == {"17": {"id": "17"}}


def test_an_item_has_a_size() -> None:
    big = {"id": "a", "tags": ["x" * 200] * (MAX_ITEM_BYTES // 200 + 1)}
    assert problems(json.dumps([big])) == [("/1", "invalid_item")]


@pytest.mark.parametrize(
    "fields",
    [
        *({}, [], None, {"id": "string"}, {"Name": "string"}, {"a b": "string"}, {"a": "text"}, {"limit": "number"}),
        *({"a": 1}, {f"f{n}": "string" for n in range(MAX_FIELDS + 1)}),
    ],
)
def test_fields_have_names_that_templates_can_write_and_known_kinds(fields: Any) -> None:
    with pytest.raises(CatalogueError):
        checked_fields(fields)
