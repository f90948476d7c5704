"""Pass encoded blocks as the arguments of one Ray call: their sizes, and their bytes in pieces that travel well."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

INLINE_BYTES = 96_000
"""Ray carries an argument below 100 KB inside the call; a larger one goes through the object store."""
INLINE_CALL_BYTES = 700_000
"""Up to here the pieces of a call are cheaper inside it than in the object store (measured, docs/decisions.md)."""


def to_pieces(blocks: Sequence[bytes]) -> tuple[list[int], list[bytes]]:
    """Return the blocks' sizes, and their bytes in pieces: one for a large call; otherwise each fits into the call."""
    whole = blocks[0] if len(blocks) == 1 else b"".join(blocks)
    sizes = [len(block) for block in blocks]
    if len(whole) > INLINE_CALL_BYTES or len(whole) <= INLINE_BYTES:
        return sizes, [whole]
    return sizes, [whole[at : at + INLINE_BYTES] for at in range(0, len(whole), INLINE_BYTES)]


def to_blocks(sizes: Sequence[int], whole: bytes | memoryview) -> list[bytes]:
    """Split consecutive blocks of these sizes."""
    if len(sizes) == 1 and isinstance(whole, bytes):
        return [whole]
    return [bytes(whole[end - size : end]) for size, end in zip(sizes, accumulate(sizes), strict=True)]
