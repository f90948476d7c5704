"""Errors travel between processes whole; ids are what they say."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperer import errors, ids

ALL = [e for e in vars(errors).values() if isinstance(e, type) and issubclass(e, errors.WhispererError)]


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_an_error_survives_pickling_with_all_it_says(kind: type[errors.WhispererError]) -> None:
    error = kind("what to do", code="special", retry_after_s=2.5)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), copy.message, copy.code, copy.retry_after_s) == (kind, "what to do", "special", 2.5)
    assert str(copy) == "what to do"


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_the_tree_in_the_docstring_names_every_error(kind: type[errors.WhispererError]) -> None:
    assert kind.__name__ in (errors.__doc__ or "")


def test_only_overload_absence_and_slowness_are_worth_trying_again() -> None:
    assert {e.__name__ for e in ALL if e.retryable} == {
        "OverloadError",
        "TooManyError",
        "TooSlowError",
        "UnavailableError",
        "StaleMapError",
    }
    other = {e.__name__: e.status for e in ALL if e.retryable and e.status != 503}
    assert other == {"TooManyError": 429, "TooSlowError": 408}


@given(a=st.integers(0, 2**47), b=st.integers(0, 2**47))
def test_new_ids_sort_by_time(a: int, b: int) -> None:
    first, second = ids.new_id("tn", min(a, b)), ids.new_id("tn", max(a, b))
    assert (first <= second) or a == b


@given(key=st.text(max_size=40), tenant=st.text(max_size=10))
def test_every_key_has_a_partition(key: str, tenant: str) -> None:
    assert 0 <= ids.partition_of(ids.known_key(key), ids.tenant_seed(tenant)) < ids.N_PARTITIONS
    assert ids.bare_id(ids.anonymous_key(key)) == key
