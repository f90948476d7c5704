"""Prepare the kernels of profiles, compiled or loaded from disk, before the first event needs them."""

from __future__ import annotations

import numpy as np

from whisperer.events.block import EVENT
from whisperer.ids import anonymous_key, known_key
from whisperer.profiles import daily, features
from whisperer.profiles.hash_index import HashIndex
from whisperer.profiles.population import Population


def warm() -> None:
    """Call every kernel once, on users made for that."""
    people = Population()
    rows = people.add([known_key("a"), known_key("b")], np.zeros(2, np.uint16))
    one = np.ones(2, np.int64)
    codes, place = np.array([people.names.code("a")]), np.zeros(1, np.int64)
    events = np.frombuffer(bytes(2 * EVENT.itemsize), EVENT)
    for _ in range(2):  # once for each width of the daily ring
        people.observe(events, rows, rows, codes, place, place, one, 0, one)
        features.matrix(tuple(features.FEATURES), people.table, rows, 0)
        daily.add(people.table, rows, one, one)
        daily.widen(people.table)
    people.history.add(rows, one, one, one)
    people.history.count(rows, 1, None)
    people.timeline.append(rows, 0, 0, 1, 1)
    people.history.fold(range(2), people.names.retired, 1)
    people.timeline.fold(range(2), people.names.retired)
    people.history.load(people.history.dump())
    people.timeline.load(people.timeline.dump())
    people.keys.rows_of(*people.keys.slices([known_key("c")]))
    people.keys.load(*people.keys.dump())
    people.vacate(0)
    _warm_indexes(people)


def _warm_indexes(people: Population) -> None:
    many = np.arange(400, dtype=np.uint64)  # enough to grow
    index = HashIndex(2)
    for _ in range(2):
        index.upsert(np.stack([many, many], axis=1))
        index.find(np.stack([many, many], axis=1))
        many += np.uint64(400)
    people.add([known_key(str(n)) for n in range(400)], np.zeros(400, np.uint16))
    people.add([anonymous_key(str(n)) for n in range(400)], np.zeros(400, np.uint16))
