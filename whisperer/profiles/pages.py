"""Store one user's registers: as one encoded map or, once that is large, as several, each for a range of names.

A look-up or write decodes only the page that holds the name, so it costs the same in a profile of ten traits and in one
of a thousand. Pages are immutable: a write replaces those it touched. What a profile holds, and in which order it is
listed, does not depend on how it came to be divided.

Leaves to others what may be written (:mod:`whisperer.profiles.traits`).
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import NamedTuple, TypeAlias, TypeGuard

import msgspec

Register: TypeAlias = tuple[int, int, bytes]
"""(event time in ms, sequence, JSON text)"""

PAGE_BYTES = 2 << 10
"""A page of several names that is larger is divided."""
_ORDER_BYTES = 32
"""Bytes that a register takes besides its name and text, at most."""

encode_page = _encode = msgspec.msgpack.Encoder(order="deterministic").encode
_decode = msgspec.msgpack.Decoder(dict[str, tuple[int, int, bytes]]).decode


class Pages(NamedTuple):
    """Hold encoded maps in the order of their names; ``firsts`` are the lowest names that belong to each."""

    firsts: tuple[str, ...]
    maps: tuple[bytes, ...]
    n_names: int
    n_bytes: int


Stored: TypeAlias = bytes | Pages | None


def fits_a_page(stored: Stored, writes: Sequence[tuple[str, Register]]) -> TypeGuard[bytes | None]:
    """Check that one page has room for what is stored and all of these writes, whatever they replace."""
    if isinstance(stored, Pages):
        return False
    room = PAGE_BYTES - (0 if stored is None else len(stored))
    for name, register in writes:
        room -= 4 * len(name) + len(register[2]) + _ORDER_BYTES
    return room >= 0


def page_of(stored: bytes | None) -> dict[str, Register]:
    """Return the registers that are stored as one page."""
    return {} if stored is None else _decode(stored)


def find(stored: Stored, name: str) -> Register | None:
    """Return the register of a name; None if there is none."""
    if stored is None:
        return None
    if isinstance(stored, Pages):
        stored = stored.maps[_place(stored.firsts, name)]
    return _decode(stored).get(name)


def registers_of(stored: Stored) -> dict[str, Register]:
    """Return all registers, in order of their names."""
    if stored is None:
        return {}
    if isinstance(stored, bytes):
        return _decode(stored)
    found: dict[str, Register] = {}
    for page in stored.maps:
        found |= _decode(page)
    return found


def n_bytes_of(stored: Stored) -> int:
    """Return the number of bytes stored, without the heads of the encoded maps."""
    if isinstance(stored, Pages):
        return stored.n_bytes
    return 0 if stored is None else len(stored) - _head(stored)


def n_names_of(stored: Stored) -> int:
    """Return the number of names stored."""
    if isinstance(stored, Pages):
        return stored.n_names
    return 0 if stored is None else _count(stored)


def length_of(stored: Stored) -> int:
    """Return the length of what :func:`joined` returns."""
    if isinstance(stored, Pages):
        return stored.n_bytes + len(_head_of(stored.n_names))
    return 0 if stored is None else len(stored)


def size_of(name: str, register: Register) -> int:
    """Return the bytes that a register takes in its page."""
    return len(_encode(name)) + len(_encode(register))


def joined(stored: Stored) -> bytes | None:
    """Join what is stored into one encoded map of any size, as :func:`divided` takes it."""
    if not isinstance(stored, Pages):
        return stored
    return _head_of(stored.n_names) + b"".join(page[_head(page) :] for page in stored.maps)


def divided(encoded: bytes) -> Stored:
    """Divide an encoded map into pages as they are stored here."""
    if len(encoded) <= PAGE_BYTES:
        return encoded
    book = Book(None)
    book.replace(_decode(encoded))
    return book.stored()


class Book:
    """Hold one user's registers while they are written: pages are decoded once and encoded again at the end."""

    def __init__(self, stored: Stored) -> None:
        self._firsts = list(stored.firsts) if isinstance(stored, Pages) else [""]
        self._maps: list[bytes] = list(_maps(stored)) or [_EMPTY]
        self._open: dict[int, dict[str, Register]] = {}
        self._changed: set[int] = set()
        self._before = stored
        self.n_names, self.n_bytes = n_names_of(stored), n_bytes_of(stored)

    def get(self, name: str) -> Register | None:
        """Return the register of a name; None if there is none."""
        return self._page(name)[1].get(name)

    def put(self, name: str, register: Register) -> None:
        """Set the register of a name."""
        place, page = self._page(name)
        held = page.get(name)
        if held is None:
            self.n_names += 1
        else:
            self.n_bytes -= size_of(name, held)
        self.n_bytes += size_of(name, register)
        page[name] = register
        self._changed.add(place)

    def registers(self) -> dict[str, Register]:
        """Return all registers by name."""
        found: dict[str, Register] = {}
        for place, page in enumerate(self._maps):
            found |= self._open.get(place) or _decode(page)
        return found

    def replace(self, registers: dict[str, Register]) -> None:
        """Hold exactly these registers."""
        self._firsts, self._maps, self._open = [""], [_EMPTY], {0: registers}
        self._changed = {0}
        self.n_names = len(registers)
        self.n_bytes = sum(size_of(name, register) for name, register in registers.items())

    def stored(self) -> Stored:
        """Return what to store: the value this book was made of, if nothing changed."""
        if not self._changed:
            return self._before
        for place in sorted(self._changed, reverse=True):
            self._maps[place] = _encode(self._open[place])
            if len(self._maps[place]) > PAGE_BYTES:
                self._divide(place)
        if not self.n_names:
            return None
        if len(self._maps) == 1:
            return self._maps[0]
        return Pages(tuple(self._firsts), tuple(self._maps), self.n_names, self.n_bytes)

    def _page(self, name: str) -> tuple[int, dict[str, Register]]:
        place = _place(self._firsts, name)
        page = self._open.get(place)
        if page is None:
            page = self._open[place] = _decode(self._maps[place])
        return place, page

    def _divide(self, place: int) -> None:
        """Divide a page into several, each about half full."""
        firsts: list[str] = []
        maps: list[dict[str, Register]] = []
        room = 0
        for name, register in sorted(self._open[place].items()):
            size = size_of(name, register)
            if not maps or size > room:
                firsts.append(name)
                maps.append({})
                room = PAGE_BYTES // 2
            maps[-1][name] = register
            room -= size
        firsts[0] = self._firsts[place]
        self._firsts[place : place + 1] = firsts
        self._maps[place : place + 1] = [_encode(page) for page in maps]


_EMPTY = _encode({})


def _place(firsts: list[str] | tuple[str, ...], name: str) -> int:
    return bisect_right(firsts, name) - 1


def _maps(stored: Stored) -> tuple[bytes, ...]:
    if stored is None:
        return ()
    return stored.maps if isinstance(stored, Pages) else (stored,)


def _head_of(n: int) -> bytes:
    """Return the first bytes of an encoded map of ``n`` names (MessagePack: fixmap, map 16, map 32)."""
    if n < 16:
        return bytes([0x80 | n])
    return b"\xde" + n.to_bytes(2) if n < 1 << 16 else b"\xdf" + n.to_bytes(4)


def _head(page: bytes) -> int:
    """Return the number of bytes before the first name of an encoded map."""
    return {0xDE: 3, 0xDF: 5}.get(page[0], 1)


def _count(page: bytes) -> int:
    head = _head(page)
    return page[0] & 0x0F if head == 1 else int.from_bytes(page[1:head])
