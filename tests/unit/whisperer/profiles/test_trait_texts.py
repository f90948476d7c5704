"""Traits as comparable texts: the kernel reads what the definition says, whatever clients wrote and however it is kept."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from hypothesis import example, given
from hypothesis import strategies as st

from whisperer.profiles import trait_texts
from whisperer.profiles.pages import PAGE_BYTES, Pages, Stored, find
from whisperer.profiles.trait_columns import MAX_COLUMNS, TraitColumns
from whisperer.profiles.trait_texts import beginning_with, equal_to, matching, read, text_of
from whisperer.profiles.traits import STATED, write

NAMES = ["plan", "e", "é" * 40, "n" * 200, ""]

json_values = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(allow_nan=False, allow_infinity=False),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=20), st.sampled_from(["pro", 'a"b\\', "x" * 900, "é" * 500]),
    st.lists(st.integers(), max_size=2), st.dictionaries(st.text("ab"), st.integers(), max_size=2),
)  # fmt: skip
written = st.one_of(
    json_values.map(lambda value: json.dumps(value).encode()),
    json_values.map(lambda value: json.dumps(value, ensure_ascii=False).encode()),
    st.sampled_from(
        [b"42", b"42.0", b"4.2e1", b"-0", b"0", b"-0.0", b"1e400", b'"\\u0070ro"', b"123456789012345678901"]
    ),
)
profiles = st.dictionaries(st.sampled_from(NAMES), written, max_size=5)


def stored(profile: dict[str, bytes], filler: int = 0) -> Stored:
    more = {f"filler{n}": b'"' + b"y" * 400 + b'"' for n in range(filler)}
    return write(
        None, [(name, (1, 300 * n, text)) for n, (name, text) in enumerate((profile | more).items())], STATED
    ).stored


def texts(found: trait_texts.Texts) -> list[bytes | None]:
    data, at, length = found
    return [None if n < 0 else data[a : a + n].tobytes() for a, n in zip(at.tolist(), length.tolist(), strict=True)]


def defined(one: Stored, name: str) -> bytes | None:
    register = find(one, name)
    return None if register is None else text_of(register[2])


@given(
    st.lists(st.tuples(profiles, st.sampled_from([0, 0, 0, 2 * PAGE_BYTES // 400])), max_size=8), st.sampled_from(NAMES)
)
@example([({"plan": b'"x"'}, 0), ({}, 0), ({"plan": b"null"}, 0), ({"plan": b'"y"'}, 11)], "plan")
def test_the_kernel_reads_what_the_definition_says(people: list[tuple[dict[str, bytes], int]], name: str) -> None:
    held = [stored(*one) for one in people]
    assert texts(read(held, range(len(held)), name)) == [defined(one, name) for one in held]


def test_the_profiles_of_several_pages_are_read_too() -> None:
    assert isinstance(stored({}, 2 * PAGE_BYTES // 400), Pages)


@given(
    st.lists(written, min_size=1, max_size=20),
    st.text(max_size=4) | st.sampled_from(["42", "42.0", "true", "pro", "x"]),
)
def test_equal_and_beginning_are_those_of_the_values(values: list[bytes], sought: str) -> None:
    held = [stored({"plan": value}) for value in values]
    found = read(held, range(len(held)), "plan")
    equal = np.logical_or.reduce([matching(found, text, is_prefix=False) for text in equal_to(sought)])
    begins = matching(found, beginning_with(sought), is_prefix=True)
    for value, is_equal, is_beginning in zip(map(decoded, values), equal.tolist(), begins.tolist(), strict=True):
        if isinstance(value, str):
            assert is_equal == (value == sought), (value, sought)
            assert is_beginning == value.startswith(sought)
            continue
        assert not is_beginning
        scalar = decoded(sought.encode())
        alike = (
            isinstance(value, int | float)
            and isinstance(scalar, int | float)
            and isinstance(value, bool) == isinstance(scalar, bool)
        )
        assert is_equal == (alike and value == scalar), (value, sought)


def decoded(text: bytes) -> Any:
    try:
        found = json.loads(text, parse_constant=lambda _: None)
    except ValueError:
        return None
    return None if isinstance(found, float) and abs(found) == float("inf") else found


@given(st.lists(st.tuples(st.integers(0, 9), written), max_size=60), st.data())
def test_a_column_never_shows_what_was_written_before(writes: list[tuple[int, bytes]], data: st.DataObject) -> None:
    held: list[Stored] = [None] * 10
    columns = TraitColumns()
    names = ["plan", "e", "a", "b", "c", "d"]
    for n, (row, value) in enumerate(writes):
        name = data.draw(st.sampled_from(names))
        done = write(held[row], [(name, (n, 0, value))], STATED)
        held[row] = done.stored
        columns.changed(row, done.changed)
        if n % 3 == 0:
            asked = data.draw(st.sampled_from(names))
            rows = np.array(sorted(data.draw(st.sets(st.integers(0, 9), max_size=10))), np.int64)
            columns.use(asked, 10)
            assert texts(columns.texts(held, asked, rows)) == [defined(held[r], asked) for r in rows.tolist()]
            assert len(columns.unread(asked, rows)) == 0
        if n % 7 == 6:
            held[row] = None
            columns.cleared(row)
    assert len(columns._columns) <= MAX_COLUMNS
