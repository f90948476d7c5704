"""Takes memory that a fork made shared back, before the work stumbles over it page by page.

After a fork the first write to each page costs a trap and a copy, about 5 us on a virtual machine: a busy shard would
pay that for every page it uses, in the very second in which it should not be slower. :func:`own` asks the kernel for the
same copies in bulk (``MADV_POPULATE_WRITE``), at half the price, in a thread that does not hold the interpreter while it
waits. Only speed depends on it: where the kernel does not know it, pages are copied as they are written to.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from collections.abc import Iterable

SLICE_BYTES = 256 << 10
"""Asked for at once: others that change the process's mappings wait no longer than that takes."""
SMALLEST_BYTES = 1 << 20
"""Less is not worth a call."""

_MADV_POPULATE_WRITE = 23  # Linux 5.14
_libc = ctypes.CDLL(None)
_libc_madvise = getattr(_libc, "madvise", None)


def own(regions: Iterable[tuple[int, int]]) -> int:
    """Make the pages of (address, length) regions this process's own; how many bytes were asked for.

    A region that was freed meanwhile does no harm. Stops at the first refusal of the kernel.
    """
    if sys.platform != "linux" or _libc_madvise is None:
        return 0
    n_bytes = 0
    for address, length in regions:
        at = address // mmap.PAGESIZE * mmap.PAGESIZE
        end = (address + length) // mmap.PAGESIZE * mmap.PAGESIZE
        if length < SMALLEST_BYTES:
            continue
        while at < end:
            size = min(SLICE_BYTES, end - at)
            if _libc_madvise(ctypes.c_void_p(at), ctypes.c_size_t(size), _MADV_POPULATE_WRITE):
                return n_bytes
            at += size
            n_bytes += size
    return n_bytes
