"""Grow arrays without copying them, so that growth is never a pause.

Above a megabyte, an array is a mapping of its own with room for twice its rows. Room costs only address space: memory
is allocated page by page as rows are written. When the room is used up, the operating system lengthens the mapping,
which moves its page table and not its bytes (0.2 ms for a gigabyte). Huge pages are requested, because random access to
millions of rows is otherwise limited by address translation.
"""

from __future__ import annotations

import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

_MAPPED_FROM = 1 << 20
_PAGE = 2 << 20
_FEWEST = 64


def roomy(needed: int) -> int:
    """Return a capacity for ``needed`` rows, with as much room again."""
    return max(_FEWEST, 2 * needed)


def blank(length: int, dtype: Any, width: int = 0) -> NDArray[Any]:
    """Return zeros of shape (length,) or (length, width) that :func:`lengthened` can lengthen."""
    shape = (length, width) if width else (length,)
    dtype = np.dtype(dtype)
    n_bytes = length * dtype.itemsize * max(1, width)
    if n_bytes < _MAPPED_FROM:
        return np.zeros(shape, dtype)
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | getattr(mmap, "MAP_NORESERVE", 0)
    mapping = mmap.mmap(-1, _whole_pages(n_bytes), flags=flags)
    if hasattr(mmap, "MADV_HUGEPAGE"):
        mapping.madvise(mmap.MADV_HUGEPAGE)
    return _over(mapping, shape, dtype)


def lengthen(owner: object, name: str, length: int) -> None:
    """Lengthen an array that only ``owner`` holds, in its attribute ``name``."""
    held = [getattr(owner, name)]
    setattr(owner, name, None)
    setattr(owner, name, lengthened(held.pop(), length))


def lengthened(array: NDArray[Any], length: int) -> NDArray[Any]:
    """Return the array with ``length`` rows, the new ones zero.

    The caller drops its own reference: ``a = lengthened(d.pop(x), n)``. If somebody still holds a view of the array,
    the view stays valid and the array is copied.
    """
    shape, dtype = array.shape, array.dtype
    mapping = _mapping_of(array)
    if mapping is not None:
        del array
        wanted = (length, *shape[1:])
        n_bytes = _whole_pages(length * dtype.itemsize * int(np.prod(shape[1:], dtype=np.int64)))
        try:
            if n_bytes > len(mapping):
                mapping.resize(n_bytes)
            return _over(mapping, wanted, dtype)
        except (BufferError, SystemError):  # a view is held; or no such system call on this platform
            array = _over(mapping, shape, dtype)
    grown = blank(length, dtype, shape[1] if len(shape) > 1 else 0)
    grown[: len(array)] = array
    return grown


def _over(mapping: mmap.mmap, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Return an array that keeps the mapping from moving, as do all its views; with ``buffer=`` they would not."""
    count = int(np.prod(shape, dtype=np.int64))
    return np.frombuffer(mapping, dtype, count).reshape(shape)


def _mapping_of(array: NDArray[Any]) -> mmap.mmap | None:
    base: Any = array.base
    while isinstance(base, np.ndarray):
        base = base.base
    found = base.obj if isinstance(base, memoryview) else base
    return found if isinstance(found, mmap.mmap) else None


def _whole_pages(n_bytes: int) -> int:
    return -(-n_bytes // _PAGE) * _PAGE
