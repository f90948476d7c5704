"""Depth and Unicode, held against slow and plain definitions."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from whisperer.events.nesting import MAX_NESTING, depth, nests_too_deep
from whisperer.events.unicode_check import is_utf8, mark_lone_surrogates

tricky_text = st.text(alphabet='ab"\\[]{}\n,:é', max_size=8)
json_values = st.recursive(
    st.none() | st.integers() | tricky_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(tricky_text, inner, max_size=3),
    max_leaves=12,
)


def depth_of(value: object) -> int:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inner is None else 1 + max(map(depth_of, inner), default=0)


@given(json_values, st.integers(0, 80), st.booleans())
def test_depth_is_that_of_the_value(value: object, levels: int, as_ascii: bool) -> None:
    for _ in range(levels):
        value = [value, "]}"] if levels % 2 else {"[": value}
    text = json.dumps(value, ensure_ascii=as_ascii).encode()
    assert depth(text) == depth_of(value)
    assert nests_too_deep(text, len(text), is_batch=False) == (depth_of(value) > MAX_NESTING)
    assert nests_too_deep(text, len(text), is_batch=True) == (depth_of(value) > MAX_NESTING + 2)


def batch_of(events: list[object], **around: object) -> tuple[bytes, int]:
    """A batch's text and the length that bounds its parts, as parse works it out."""
    texts = [json.dumps(event) for event in events]
    head, tail = json.dumps(around.get("before")), json.dumps(around.get("after"))
    body = f'{{"before":{head},"batch":[{",".join(texts)}],"after":{tail}}}'
    return body.encode(), max(len(body) - sum(map(len, texts)), *map(len, texts))


def nest(levels: int, filler: str = "") -> object:
    value: object = filler
    for _ in range(levels):
        value = {filler: value}
    return value


@pytest.mark.parametrize("filler", ["", "x" * 50, "}" * 9, '"}\\'])
def test_one_deep_event_is_found_among_many_and_brackets_in_strings_hide_nothing(filler: str) -> None:
    flat: list[object] = [nest(9)] * 200
    body, longest = batch_of([*flat, nest(64, filler), *flat])
    assert not nests_too_deep(body, longest, is_batch=True)
    body, longest = batch_of([*flat, nest(65, filler), *flat])
    assert nests_too_deep(body, longest, is_batch=True)


@pytest.mark.parametrize("place", ["before", "after"])
def test_depth_around_the_events_is_found_too(place: str) -> None:
    body, longest = batch_of([nest(3)] * 300, **{place: nest(66, "pad" * 10)})
    assert nests_too_deep(body, longest, is_batch=True)
    body, longest = batch_of([nest(3)] * 300, **{place: nest(63, "pad" * 10)})
    assert not nests_too_deep(body, longest, is_batch=True)


escape_soup = st.lists(
    st.sampled_from([r"\ud83c", r"\uD83C", r"\udf89", r"\uDF89", r"\\", r"\n", r"\"", "ud83c", r"\u0041", "é", "x", r"\ud7ff", r"\ue000"]),
    max_size=10,
).map("".join)  # fmt: skip


@given(escape_soup)
@example(r"\\ud83c")
@example(r"\\\ud83c")
@example(r"\ud83c\\udf89")
@example(r"\ud83c\udf89\udf89")
def test_lone_surrogates_are_found_exactly_where_python_finds_them(soup: str) -> None:
    body = f'{{"k":"{soup}"}}'.encode()
    lone = sum(0xD800 <= ord(character) < 0xE000 for character in json.loads(body)["k"])
    marked = mark_lone_surrogates(body)
    if not lone:
        assert marked is None
        assert msgspec.json.decode(body) == json.loads(body)
        return
    with pytest.raises(msgspec.DecodeError):  # what parse relies on: msgspec refuses, also in what it skips
        msgspec.json.decode(body, type=dict[str, msgspec.Raw])
    assert marked is not None
    repaired, mark = marked
    assert len(repaired) == len(body)
    assert repaired.count(mark) == lone
    assert msgspec.json.decode(repaired)["k"].count(json.loads(b'"' + mark + b'"')) == lone


def test_a_mark_is_never_one_that_the_client_wrote() -> None:
    taken = "".join(rf"\uFD{low:02X}" for low in range(0xD0, 0xEF))
    body = rf'{{"a":"{taken}","b":"\ud800"}}'.encode()
    marked = mark_lone_surrogates(body)
    assert marked is not None
    assert marked[1] == rb"\ufdef"
    full = body.replace(b'"b"', rb'"\ufdef"')
    assert mark_lone_surrogates(full) == (full, b"")


@given(st.binary(max_size=40))
def test_utf8_is_what_python_says(body: bytes) -> None:
    try:
        body.decode()
    except UnicodeDecodeError:
        assert not is_utf8(body)
    else:
        assert is_utf8(body)
