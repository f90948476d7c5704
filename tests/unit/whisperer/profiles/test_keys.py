"""The index of user keys behaves as a dict and a list, and keeps nothing of a key that was vacated."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from whisperer.profiles.keys import Keys

KEYS = st.sampled_from([f"{kind}:{name}" for kind in "ua" for name in ("", "ann", "bob", "é", "👩‍👩‍👧", "x" * 300)])
STEPS = st.lists(st.one_of(st.lists(KEYS, max_size=20), KEYS.map(lambda key: (key,))), max_size=12)


@settings(deadline=None, max_examples=60)
@given(steps=STEPS, seed=st.integers(0, 2**64 - 1))
def test_a_key_has_one_row_until_it_is_vacated_and_a_new_one_after(steps: list[Any], seed: int) -> None:
    keys = Keys(seed)
    model: dict[str, int] = {}
    texts: list[str | None] = []
    for step in steps:
        if isinstance(step, tuple):
            row = model.pop(step[0], None)
            assert keys.get(step[0]) == row
            if row is not None:
                keys.vacate(row)
                texts[row] = None
            continue
        before = [model.get(key, -1) for key in step]
        assert keys.rows_of(*keys.slices(step)).tolist() == before
        rows, is_new = keys.meet(*keys.slices(step))
        for key, row, new in zip(step, rows.tolist(), is_new.tolist(), strict=True):
            assert new == (key not in model)
            if new:
                assert row == len(texts)
                texts.append(key)
            assert model.setdefault(key, row) == row
    copy = Keys(seed)
    copy.load(*keys.dump(), keys.vacant())
    for held in (keys, copy):
        assert [held.text(row) for row in range(len(held))] == texts
        assert all(held.get(key) == row for key, row in model.items())
        assert held.vacant().tolist() == [row for row, text in enumerate(texts) if text is None]


def test_two_keys_of_one_hash_are_two_users() -> None:
    keys = Keys(0)
    _, starts, lengths, text = keys.slices(["u:ann", "u:bob", "u:ann"])
    rows, is_new = keys.meet([7, 7, 7], starts, lengths, text)
    assert rows.tolist() == [0, 1, 0]
    assert is_new.tolist() == [True, True, False]


def test_nothing_of_a_vacated_key_is_kept() -> None:
    keys = Keys(0)
    keys.meet(*keys.slices(["u:ann", "u:secret", "u:bob"]))
    keys.vacate(1)
    assert b"secret" not in keys.dump()[0].tobytes()
    assert (keys.text(0), keys.text(1), keys.text(2)) == ("u:ann", None, "u:bob")
    assert "u:secret" not in keys


def test_many_keys_are_found_while_and_after_the_table_grows() -> None:
    keys = Keys(3)
    names = [f"u:{n}" for n in range(40_000)]
    for start in range(0, len(names), 400):
        assert keys.meet(*keys.slices(names[start : start + 400]))[1].all()
        seen = names[: start + 400 : 397]
        assert keys.rows_of(*keys.slices(seen)).tolist() == list(range(0, start + 400, 397))
    assert keys.rows_of(*keys.slices(["a:0", "u:40000"])).tolist() == [-1, -1]
    assert keys.nbytes / len(keys) < 16 + 7 + 9
