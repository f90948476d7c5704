"""Arrays grow in place, and never under somebody who looks."""

from __future__ import annotations

import numpy as np
import pytest

from whisperer.profiles.columns import Table
from whisperer.profiles.growth import _mapping_of, blank, lengthened


@pytest.mark.parametrize("length", [10, 400_000], ids=["small", "mapped"])
def test_a_view_stays_what_it_was_when_its_array_grows(length: int) -> None:
    held = [blank(length, np.int64)]
    held[0][:] = np.arange(length)
    view = held[0][: length // 2]
    grown = lengthened(held.pop(), 3 * length)
    grown[:length] = -1
    assert view.tolist() == list(range(length // 2))
    assert not grown[length:].any()


def test_a_mapped_array_that_nobody_holds_is_not_copied() -> None:
    held = [blank(400_000, np.int64, 2)]
    held[0][:, 1] = np.arange(400_000)
    mapping = _mapping_of(held[0])
    grown = lengthened(held.pop(), 4_000_000)
    assert mapping is not None
    assert _mapping_of(grown) is mapping
    assert grown.shape == (4_000_000, 2)
    assert (grown[:400_000, 1] == np.arange(400_000)).all()
    assert not grown[400_000:].any()


def test_rows_are_blank_whatever_was_there_and_hidden_columns_survive_a_reset() -> None:
    table = Table({"apart": (np.int8, -1), "wide": (np.uint16, 0, 3)}, {"seen": (np.int64, -1), "_at": (np.uint32, 0)})
    for _ in range(50):
        rows = table.extend(7)
        assert (table["apart"][rows] == -1).all()
        assert (table["seen"][rows] == -1).all()
        assert not table["wide"][rows].any()
        table["seen"][rows] = rows
        table["wide"][rows] = 7
        table["_at"][rows] = 5
    table.reset(3)
    assert (table["seen"][3], table["_at"][3], table["wide"][3].tolist()) == (-1, 5, [0, 0, 0])
    assert table["seen"][4:350].tolist() == list(range(4, 350))
    table.widen("wide", np.uint32)
    assert table["wide"][:5].tolist() == [[7, 7, 7], [7, 7, 7], [7, 7, 7], [0, 0, 0], [7, 7, 7]]
    assert set(table.names) == {"seen", "apart", "wide"}
