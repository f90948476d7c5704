"""Give kernels what numba does not offer: unaligned loads, 128-bit products, tests of 32 bytes in one step.

Nothing here checks bounds: a caller reads within its buffer, or within the ``PADDING`` zero bytes that end it.
Positions are int64, words uint64 in little-endian order; the two are never mixed, as numba would make a float of them.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import xxhash
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

PADDING = 64
MASKS = np.array([(1 << 8 * n) - 1 for n in range(9)], np.uint64)
"""Masks that keep the first n bytes of a word."""

_F = TypeVar("_F", bound=Callable[..., Any])
_I8, _I32, _I64 = ir.IntType(8), ir.IntType(32), ir.IntType(64)
_LANES = 32
_VECTOR = ir.VectorType(_I8, _LANES)
_TWO_WORDS = types.UniTuple(types.uint64, 2)  # type: ignore[no-untyped-call]


def word_of(text: str) -> np.uint64:
    """Return up to eight bytes of ASCII as :func:`word_at` reads them, followed by zeros."""
    return np.uint64(int.from_bytes(text.encode(), "little"))


def kernel(function: _F) -> _F:
    """Compile a function on first use, or load it from disk; it runs without the interpreter's lock.

    numba trusts a kernel on disk as long as the kernel's own file keeps its time and size. But the functions it calls
    and the constants it holds come from other files, and in a wheel all times may be equal; so this compares the
    content of the sources in the kernel's stage and in this one.
    """
    compiled: Any = njit(cache=True, nogil=True)(function)
    compiled._cache._cache_file._source_stamp = _sources(_stage(Path(function.__code__.co_filename)))
    return cast(_F, compiled)


_CORE = Path(__file__).parents[2]


def _stage(file: Path) -> Path:
    """Return the folder of the stage that a file is in, or the file's own folder outside of the core."""
    return _CORE / file.relative_to(_CORE).parts[0] if file.is_relative_to(_CORE) else file.parent


@lru_cache
def _sources(folder: Path) -> str:
    digest = xxhash.xxh3_128()
    for file in sorted({*folder.rglob("*.py"), *(_CORE / "events").rglob("*.py"), _CORE / "ids.py"}):
        digest.update(file.read_bytes())
    return digest.hexdigest()


def _inline(generator: Callable[..., Any]) -> Callable[..., Any]:
    """Make a function for kernels from one that generates its LLVM instructions."""
    return cast(Callable[..., Any], intrinsic(generator))


def _pointer(context: Any, builder: Any, array_type: Any, array: Any, at: Any) -> Any:
    data = context.make_array(array_type)(context, builder, array).data
    return builder.gep(builder.bitcast(data, _I8.as_pointer()), [at])


def _load(builder: Any, pointer: Any, kind: Any) -> Any:
    loaded = builder.load(builder.bitcast(pointer, kind.as_pointer()))
    loaded.align = 1
    return loaded


@_inline
def byte_at(typing: Any, buffer: Any, at: Any) -> Any:
    """Return the byte at a position, as int64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *args)
        return builder.zext(_load(builder, pointer, _I8), _I64)

    return types.int64(buffer, types.int64), generate


@_inline
def word_at(typing: Any, buffer: Any, at: Any) -> Any:
    """Return the eight bytes that start at a position, as uint64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return _load(builder, _pointer(context, builder, signature.args[0], *args), _I64)

    return types.uint64(buffer, types.int64), generate


@_inline
def half_word_at(typing: Any, buffer: Any, at: Any) -> Any:
    """Return the four bytes that start at a position, as uint64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        pointer = _pointer(context, builder, signature.args[0], *args)
        return builder.zext(_load(builder, pointer, _I32), _I64)

    return types.uint64(buffer, types.int64), generate


@_inline
def string_stops(typing: Any, buffer: Any, at: Any) -> Any:
    """Find which of 32 bytes end a run of plain text in a JSON string, as bits of a uint64: quotes, backslashes,
    control characters and non-ASCII bytes."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        def all_lanes(byte: int) -> Any:
            return ir.Constant(_VECTOR, [byte] * _LANES)

        lanes = _load(builder, _pointer(context, builder, signature.args[0], *args), _VECTOR)
        stops = builder.icmp_signed("<", lanes, all_lanes(0x20))  # bytes beyond ASCII are negative
        for mark in b'"\\':
            stops = builder.or_(stops, builder.icmp_unsigned("==", lanes, all_lanes(mark)))
        return builder.zext(builder.bitcast(stops, ir.IntType(_LANES)), _I64)

    return types.uint64(buffer, types.int64), generate


@_inline
def lowest_bit(typing: Any, word: Any) -> Any:
    """Return the place of the lowest set bit of a nonzero word, as int64."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.cttz(args[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), generate


@_inline
def swapped(typing: Any, word: Any) -> Any:
    """Reverse the eight bytes of a word."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.bswap(args[0])

    return types.uint64(types.uint64), generate


@_inline
def product(typing: Any, one: Any, other: Any) -> Any:
    """Return the (low, high) words of the product of two words."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = ir.IntType(128)
        whole = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        low = builder.trunc(whole, _I64)
        high = builder.trunc(builder.lshr(whole, ir.Constant(wide, 64)), _I64)
        return cgutils.pack_array(builder, [low, high])  # type: ignore[no-untyped-call]

    return _TWO_WORDS(types.uint64, types.uint64), generate


@_inline
def copy_bytes(typing: Any, target: Any, to: Any, source: Any, start: Any, length: Any) -> Any:
    """Copy ``length`` bytes of ``source`` to ``target``; the two must not overlap."""

    def generate(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        destination = _pointer(context, builder, signature.args[0], args[0], args[1])
        origin = _pointer(context, builder, signature.args[2], args[2], args[3])
        cgutils.raw_memcpy(builder, destination, origin, args[4], 1, align=1)  # type: ignore[no-untyped-call]
        return context.get_dummy_value()

    return types.void(target, types.int64, source, types.int64, types.int64), generate
