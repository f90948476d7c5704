"""Users in order: the first of many are those that a sort of all of them puts first."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from whisperer.ids import UserKey
from whisperer.profiles.key_order import LAST, First, beginning, in_order
from whisperer.profiles.keys import Keys

user_keys = st.tuples(st.sampled_from("ua"), st.text("ab\x00é", max_size=4)).map(lambda one: UserKey(":".join(one)))
numbers = st.sampled_from([-5, 0, 1, 2, LAST])


def known(keys: list[UserKey]) -> Keys:
    found = Keys(7)
    found.meet(*found.slices(keys))
    return found


@given(
    st.lists(st.tuples(user_keys, numbers), max_size=40, unique_by=lambda one: one[0]),
    st.integers(1, 8), st.none() | st.tuples(numbers, user_keys), st.booleans(), st.integers(1, 9),
)  # fmt: skip
def test_the_first_are_those_that_a_sort_puts_first(
    users: list[tuple[UserKey, int]], most: int, after: tuple[int, UserKey] | None, descends: bool, step: int
) -> None:
    keys = known([key for key, _ in users])
    order = np.array([number for _, number in users], np.int64)
    first = First(most, after, ids_descend=descends)
    for start in range(0, len(users), step):
        rows = np.arange(start, min(start + step, len(users)))
        rows = rows[first.can_enter(order[rows])]
        first.offer(keys, rows, order[rows])

    def place(number: int, key: UserKey) -> tuple[int, list[int], int]:
        sign = -1 if descends else 1
        return number, [*(sign * (byte + 1) for byte in key[2:].encode()), 0], sign * ord(key[0])

    rest = [(number, key) for key, number in users if after is None or place(number, key) > place(*after)]
    expected = sorted(rest, key=lambda one: place(*one))
    assert [found for _, found in first.places(keys)] == expected[:most]
    assert first.is_more == (len(expected) > most)
    merged = in_order([("", number, key) for key, number in users], -1 if descends else 1)
    assert [one[1:] for one in merged] == sorted(((n, k) for k, n in users), key=lambda one: place(*one))


@given(st.lists(user_keys, max_size=20, unique=True), user_keys)
def test_beginnings_are_those_of_the_texts(held: list[UserKey], sought: UserKey) -> None:
    found = beginning(known(held), np.arange(len(held)), sought)
    assert found.tolist() == [key.startswith(sought) for key in held]
