"""Map a population's user keys to rows and back, without a Python string per user.

A key is found by its 64-bit hash (:func:`whisperer.ids.key_hash`, which the gateway sends along) and then compared byte
by byte, so that two keys with the same hash are two users. Rows are assigned in order of appearance and never reused; a
vacated key's bytes are overwritten, and the same key is new when it comes back.

Memory: 16 bytes per row, the key's text, and 6 to 9 bytes for the cells (:mod:`.cells`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from whisperer.events.kernels.intrinsics import kernel
from whisperer.events.kernels.xxh3 import hash64
from whisperer.ids import UserKey, key_hash
from whisperer.profiles.cells import (
    BITS,
    COUNT,
    OLD_BITS,
    OLD_SIZE,
    SIZE,
    Cells,
    first_cell,
    insert,
    is_carried,
    mixed,
    tag_of,
)
from whisperer.profiles.growth import blank, lengthen, roomy
from whisperer.profiles.slabs import int64

_VACANT = np.uint64(1 << 63)
_AT = np.uint64((1 << 63) - 1)

_decode_key = cast("Callable[[memoryview, str, str], UserKey]", str)  # typed here: a call of UserKey per key costs

Texts = tuple[NDArray[np.uint64], NDArray[np.int64], NDArray[np.int64], NDArray[np.uint8]]


@kernel
def _is(heads: Any, stored: Any, row: int, h: Any, start: int, length: int, text: Any) -> Any:
    """Check that a row is not vacant and has this key."""
    if heads[row, 0] != h or heads[row, 1] & _VACANT:
        return False
    at = int64(heads[row, 1])
    if int64(heads[row + 1, 1] & _AT) - at != length:
        return False
    for j in range(length):  # noqa: SIM110
        if stored[at + j] != text[start + j]:
            return False
    return True


@kernel
def _row_of(cells: Any, heads: Any, stored: Any, mix: Any, h: Any, start: int, length: int, text: Any) -> Any:
    tags, slots, _, old_tags, old_slots, _, shape, _ = cells
    bits, size = shape[BITS], shape[SIZE]
    if not is_carried(mix, shape):
        tags, slots, bits, size = old_tags, old_slots, shape[OLD_BITS], shape[OLD_SIZE]
    base, place = first_cell(mix, bits, size)
    tag = tag_of(mix)
    while True:
        found = tags[base + place]
        if found == 0:
            return -1
        if found == tag and _is(heads, stored, slots[base + place], h, start, length, text):
            return int64(slots[base + place])
        place += 1
        if place == size:
            place = 0


@kernel
def _touch(cells: Any, heads: Any, stored: Any, hashes: Any, mixes: Any) -> None:
    """Request the memory of all look-ups, level by level, before waiting for any of it."""
    tags, slots, _, old_tags, old_slots, _, shape, salt = cells
    likely = np.empty(len(hashes), np.int64)
    unused = 0
    wanted = hashes.reshape(-1, 1)
    for i in range(len(hashes)):
        h = mixes[i] = mixed(wanted, i, salt)
        if is_carried(h, shape):
            base, place = first_cell(h, shape[BITS], shape[SIZE])
            unused += tags[base + place] + slots[base + place]
        else:
            base, place = first_cell(h, shape[OLD_BITS], shape[OLD_SIZE])
            unused += old_tags[base + place] + old_slots[base + place]
    for i in range(len(hashes)):
        h = mixes[i]
        tag = tag_of(h)
        likely[i] = 0
        if is_carried(h, shape):
            base, place = first_cell(h, shape[BITS], shape[SIZE])
            while place < shape[SIZE] and tags[base + place] != 0:
                if tags[base + place] == tag:
                    likely[i] = slots[base + place]
                    break
                place += 1
        unused += int64(heads[likely[i], 1] & _ONE)
    for i in range(len(hashes)):
        unused += stored[int64(heads[likely[i], 1] & _AT)]
    shape[-1] = unused


_ONE = np.uint64(1)


@kernel
def _rows_of(cells: Any, heads: Any, stored: Any, hashes: Any, starts: Any, lengths: Any, text: Any, rows: Any) -> None:
    mixes = np.empty(len(hashes), np.uint64)
    _touch(cells, heads, stored, hashes, mixes)
    for i in range(len(hashes)):
        rows[i] = _row_of(cells, heads, stored, mixes[i], hashes[i], starts[i], lengths[i], text)


@kernel
def _meet(
    cells: Any,
    heads: Any,
    stored: Any,
    hashes: Any,
    starts: Any,
    lengths: Any,
    text: Any,
    rows: Any,
    new: Any,
    done: int,
) -> Any:
    """Find or add keys; return the number done, fewer than all if a sub-table is full."""
    shape = cells[6]
    mixes = np.empty(len(hashes), np.uint64)
    _touch(cells, heads, stored, hashes, mixes)
    for i in range(done, len(hashes)):
        start, length = starts[i], lengths[i]
        row = _row_of(cells, heads, stored, mixes[i], hashes[i], start, length, text)
        if row < 0:
            row = shape[COUNT]
            if not insert(cells, mixes[i], row):
                return i
            at = int64(heads[row, 1])
            for j in range(length):
                stored[at + j] = text[start + j]
            heads[row, 0] = hashes[i]
            heads[row + 1, 1] = np.uint64(at + length)
            shape[COUNT] = row + 1
            new[i] = True
        rows[i] = row
    return len(hashes)


@kernel
def _hash_all(heads: Any, stored: Any, n: int, seed: Any) -> None:
    for row in range(n):
        at = int64(heads[row, 1] & _AT)
        heads[row, 0] = hash64(stored, at, int64(heads[row + 1, 1] & _AT) - at, seed)


class Keys:
    """Map keys to rows; ``seed`` is the tenant's, :func:`whisperer.ids.tenant_seed`."""

    __slots__ = ("_cells", "_heads", "_seed", "_text")

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._cells = Cells()
        self._heads: NDArray[np.uint64] = blank(roomy(0), np.uint64, 2)
        """Hash and start of each row's key; the row after the last holds the end of the text."""
        self._text: NDArray[np.uint8] = blank(roomy(0), np.uint8)

    def __len__(self) -> int:
        """Return the number of rows, vacant ones included."""
        return int(self._cells.shape[COUNT])

    @property
    def nbytes(self) -> int:
        """Bytes of keys and cells in use."""
        return self._heads[: len(self)].nbytes + self._end + self._cells.nbytes

    # -- batches --------------------------------------------------------------------------------------------------

    def rows_of(self, hashes: Any, starts: Any, lengths: Any, text: bytes | NDArray[np.uint8]) -> NDArray[np.int64]:
        """Return the rows of keys given as slices of ``text``, int64, shape (n,); -1 for an unknown key."""
        rows = np.empty(len(hashes), np.int64)
        _rows_of(self._cells.arrays(), self._heads, self._text, *_texts(hashes, starts, lengths, text), rows)
        return rows

    def meet(
        self, hashes: Any, starts: Any, lengths: Any, text: bytes | NDArray[np.uint8]
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return the rows of keys, adding unknown ones in order of appearance, and which entries were a key's first."""
        n = len(hashes)
        rows, is_new = np.empty(n, np.int64), np.zeros(n, np.bool_)
        texts = _texts(hashes, starts, lengths, text)
        self._make_room(n, int(texts[2].sum()))
        self._cells.make_room(self._heads[:, :1], n)
        done = _meet(self._cells.arrays(), self._heads, self._text, *texts, rows, is_new, 0)
        while done < n:
            self._cells.grow_now(self._heads[:, :1])
            done = _meet(self._cells.arrays(), self._heads, self._text, *texts, rows, is_new, done)
        return rows, is_new

    def find(self, keys: Sequence[UserKey]) -> NDArray[np.int64]:
        """Return :meth:`rows_of` of keys given as strings."""
        return self.rows_of(*self.slices(keys))

    # -- one key --------------------------------------------------------------------------------------------------

    def get(self, key: UserKey) -> int | None:
        """Return the row of a key; None if it is unknown."""
        row = int(self.find([key])[0])
        return None if row < 0 else row

    def __contains__(self, key: UserKey) -> bool:
        return self.get(key) is not None

    def text(self, row: int) -> UserKey | None:
        """Return a row's key; None if the row is vacant."""
        at, end = int(self._heads[row, 1]), int(self._heads[row + 1, 1] & _AT)
        if at >> 63:
            return None
        return UserKey(self._text[at:end].tobytes().decode("utf-8", "surrogatepass"))

    def texts(self, rows: NDArray[np.int64]) -> list[UserKey]:
        """Return the keys of rows, none of which may be vacant."""
        at = (self._heads[rows, 1]).astype(np.int64).tolist()
        end = (self._heads[rows + 1, 1] & _AT).astype(np.int64).tolist()
        view = self._text.data
        return [_decode_key(view[start:stop], "utf-8", "surrogatepass") for start, stop in zip(at, end, strict=True)]

    def arrays(self) -> tuple[NDArray[np.uint64], NDArray[np.uint8]]:
        """Return heads and text as the kernels of :mod:`.key_order` take them; ask again after a key is added."""
        return self._heads, self._text

    def vacate(self, row: int) -> None:
        """Erase a row's key; its bytes are overwritten at once."""
        at, end = int(self._heads[row, 1] & _AT), int(self._heads[row + 1, 1] & _AT)
        self._text[at:end] = 0
        self._heads[row, 1] |= _VACANT

    def slices(self, keys: Sequence[UserKey]) -> Texts:
        """Return keys in the form that :meth:`rows_of` takes."""
        encoded = [key.encode("utf-8", "surrogatepass") for key in keys]
        lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
        hashes = np.fromiter((key_hash(key, self._seed) for key in keys), np.uint64, len(keys))
        return hashes, np.cumsum(lengths) - lengths, lengths, np.frombuffer(b"".join(encoded), np.uint8)

    # -- all of them ----------------------------------------------------------------------------------------------

    def vacant(self) -> NDArray[np.int64]:
        """Return the vacant rows."""
        return np.flatnonzero(self._heads[: len(self), 1] & _VACANT)

    def dump(self) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        """Return (text, offsets), as in Arrow's large strings; a vacant row's text is all zero bytes."""
        offsets = (self._heads[: len(self) + 1, 1] & _AT).astype(np.int64)
        return self._text[: self._end].copy(), offsets

    def load(self, text: NDArray[np.uint8], offsets: NDArray[np.int64], vacant: Any = ()) -> None:
        """Restore exactly what :meth:`dump` returned, with the ``vacant`` rows that there were."""
        n = len(offsets) - 1
        start, end = int(offsets[0]), int(offsets[-1])
        self._heads, self._text = blank(roomy(n + 1), np.uint64, 2), blank(roomy(end - start), np.uint8)
        self._text[: end - start] = text[start:end]
        self._heads[: n + 1, 1] = offsets - start
        _hash_all(self._heads, self._text, n, np.uint64(self._seed))
        self._cells.rebuild(self._heads[:, :1], n)
        for row in vacant:
            self.vacate(row)

    @property
    def _end(self) -> int:
        return int(self._heads[len(self), 1] & _AT)

    def _make_room(self, n_rows: int, n_bytes: int) -> None:
        if len(self) + n_rows + 1 > len(self._heads):
            lengthen(self, "_heads", roomy(len(self) + n_rows + 1))
        if self._end + n_bytes + 1 > len(self._text):
            lengthen(self, "_text", roomy(self._end + n_bytes + 1))


def _texts(hashes: Any, starts: Any, lengths: Any, text: Any) -> Texts:
    """Convert each to one type, whatever the caller had, so that kernels are compiled only once."""
    buffer = np.frombuffer(text, np.uint8)
    buffer.flags.writeable = False
    return np.array(hashes, np.uint64), np.array(starts, np.int64), np.array(lengths, np.int64), buffer
