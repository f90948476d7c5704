"""The arbiter's aliases: no circle, short paths, bounded trees."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from whisperer.shard.state.forest import MAX_TREE, MOVES_AT_ONCE, Forest

ASKS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), max_size=40)


@given(asks=ASKS, looks=st.lists(st.integers(0, 12), max_size=20))
def test_look_ups_change_no_root_and_shorten_paths(asks: list[tuple[int, int]], looks: list[int]) -> None:
    forest, plain = Forest(), Forest()
    for previous, user in ((str(p), str(u)) for p, u in asks):
        root = forest.root(user)
        assert root == plain.root(user)
        if previous in forest.parents or root == previous:
            continue
        forest.join(previous, root, root, 0)
        plain.join(previous, user, root, 0)
    for key in map(str, looks):
        root, moves = forest.find(key)
        assert root == plain.root(key)
        assert all(end == root and was != root for _, was, end in moves)
        assert key == root or forest.parents[key] == root
    sizes = dict(forest.sizes)
    forest.count()
    assert forest.sizes == sizes
    assert all(forest.root(key) == plain.root(key) for key in plain.parents)


def test_a_long_chain_is_walked_once() -> None:
    forest = Forest()
    for i in range(MAX_TREE):
        forest.join(f"k{i}", f"k{i + 1}", f"k{i + 1}", 0)
    n_moves = sum(len(forest.find(f"k{i}")[1]) for i in range(MAX_TREE))
    assert n_moves == MAX_TREE - 1
    assert len(Forest(dict(forest.parents)).find("k0")[1]) <= MOVES_AT_ONCE
    assert forest.find(f"k{MAX_TREE // 2}") == (f"k{MAX_TREE}", [])


def test_a_tree_is_full_at_some_point_and_has_room_again_once_its_user_is_erased() -> None:
    forest = Forest()
    for i in range(MAX_TREE):
        assert forest.has_room(f"k{i}", "root")
        forest.join(f"k{i}", "root", "root", 5)
    assert not forest.has_room("more", "root")
    assert not forest.has_room("root", "elsewhere")
    forest.forget("k0", 4)
    assert not forest.has_room("more", "root"), "asked for after the erasure"
    forest.forget("k0", 5)
    assert forest.has_room("more", "root")
    for key in [*forest.parents, "root"]:
        forest.forget(key, 5)
    assert forest == Forest()
