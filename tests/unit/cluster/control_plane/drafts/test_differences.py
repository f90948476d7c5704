"""Differences of JSON documents: doing them gives the other document, and there is none where nothing differs."""

from __future__ import annotations

import copy
import json
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from cluster.control_plane.drafts.differences import MAX_CHANGES, MAX_LINES, Change, changes, line_by_line

NAMES = st.text("ab~/é", max_size=3)
TEXTS = st.text("xy\n", max_size=6)
DOCUMENTS = st.recursive(
    st.none() | st.booleans() | st.integers(0, 2) | st.just(1.0) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=8,
)


def done(document: Any, found: list[Change]) -> Any:
    """The document after the changes, one after the other."""
    whole = {"": copy.deepcopy(document)}
    for change in found:
        *way, last = ["", *change.pointer.split("/")[1:]]
        place: Any = whole
        for step in way:
            place = place[int(step)] if isinstance(place, list) else place[plain(step)]
        key = int(last) if isinstance(place, list) else plain(last)
        if change.op == "removed":
            assert place[key] == change.before
            del place[key]
        elif change.op == "added" and isinstance(place, list):
            assert key == len(place)
            place.append(change.after)
        else:
            place[key] = change.after
    return whole.get("", msgspec.UNSET)


def plain(step: str) -> str:
    return step.replace("~1", "/").replace("~0", "~")


def as_text(document: Any) -> str:
    return json.dumps(document, sort_keys=True)


@given(DOCUMENTS, DOCUMENTS)
def test_doing_the_changes_gives_the_other_document(before: Any, after: Any) -> None:
    found, is_truncated = changes(before, after)
    assert not is_truncated
    assert as_text(done(before, found)) == as_text(after)
    assert (found == []) == (as_text(before) == as_text(after))


@given(DOCUMENTS)
def test_nothing_at_all_is_added_and_removed_as_a_whole(document: Any) -> None:
    assert changes(msgspec.UNSET, document) == ([Change(pointer="", op="added", after=document)], False)
    assert changes(document, msgspec.UNSET) == ([Change(pointer="", op="removed", before=document)], False)


def test_texts_of_several_lines_are_compared_line_by_line() -> None:
    [change] = changes({"text": "Hi\nthere\n"}, {"text": "Hi\nyou\n"})[0]
    assert change.lines == ["@@ -1,2 +1,2 @@", " Hi", "-there", "+you"]
    [change] = changes({"text": "Hi"}, {"text": "Ho"})[0]
    assert change.lines is msgspec.UNSET


def test_what_would_take_long_is_left_out() -> None:
    assert line_by_line("a\n" * MAX_LINES, "b") is not None
    assert line_by_line("a\n" * (MAX_LINES + 1), "b") is None
    found, is_truncated = changes(list(range(MAX_CHANGES + 1)), [-1] * (MAX_CHANGES + 1))
    assert (len(found), is_truncated) == (MAX_CHANGES, True)
