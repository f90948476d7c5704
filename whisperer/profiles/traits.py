"""Store what was stated about a user: a map of last-writer-wins registers, bounded in names and bytes.

A write carries (event time, sequence in its partition). The larger pair wins; on a tie, the larger JSON text. Values
are kept as the client wrote them. A null removes the trait's value but keeps its register; otherwise an older value
merged later would come back.

The kind of write sets the rule for what a profile may hold:

- :data:`STATED`, what an event says. A new name is refused once the profile holds `MAX_NAMES` names or would pass
  `MAX_BYTES`; existing names can still be updated, up to twice that size. Names and values have a maximum length too.
- :data:`JOINED`, what a merge brings. Two full profiles fit into one: up to twice `MAX_NAMES` and `MAX_BYTES` nothing
  is lost, and any order of merges ends in the same state. Beyond that, what was stated last is kept.
- :data:`UNBOUNDED`, for records from before there was a bound: the first `MAX_NAMES` names, of any size.
- :data:`AS_IT_IS`, for a user who moves.

An older profile that is larger than the rule allows is cut, like a merge's, when it is next written to.

References: Shapiro et al., "A comprehensive study of convergent and commutative replicated data types", 2011, 3.2.1.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from whisperer.profiles.pages import (
    Book,
    Register,
    Stored,
    encode_page,
    find,
    fits_a_page,
    page_of,
    registers_of,
    size_of,
)

MAX_NAMES = 1_000
MAX_BYTES = 64 << 10
"""Bytes of one user's names and values, including about 20 bytes of overhead each."""
MAX_NAME = 200
"""Characters of a name."""
MAX_VALUE = 16 << 10
"""Bytes of a value's JSON."""

FULL, TOO_LONG = "traits_full", "trait_too_long"
"""Why a trait is refused."""

_NULL = b"null"


@dataclass(frozen=True, slots=True)
class TraitBounds:
    """Bound a profile: ``names``, ``n_bytes`` for new names; ``most_*`` for all; ``name``, ``value`` in length."""

    names: int
    n_bytes: int
    most_names: int
    most_bytes: int
    name: int
    value: int


_ANY = 1 << 62
STATED = TraitBounds(MAX_NAMES, MAX_BYTES, 2 * MAX_NAMES, 2 * MAX_BYTES, MAX_NAME, MAX_VALUE)
JOINED = TraitBounds(_ANY, _ANY, 2 * MAX_NAMES, 2 * MAX_BYTES, _ANY, _ANY)
UNBOUNDED = TraitBounds(MAX_NAMES, _ANY, _ANY, _ANY, _ANY, _ANY)
AS_IT_IS = TraitBounds(_ANY, _ANY, _ANY, _ANY, _ANY, _ANY)


@dataclass(slots=True)
class Written:
    """Hold the result of a write: the new profile, the traits whose value changed, and refusals by reason."""

    stored: Stored
    changed: set[str]
    refused: dict[str, int] = field(default_factory=dict)

    def refuse(self, reason: str) -> None:
        """Count a refused trait."""
        self.refused[reason] = self.refused.get(reason, 0) + 1


def write(stored: Stored, writes: Sequence[tuple[str, Register]], rule: TraitBounds) -> Written:
    """Apply writes to a profile, in order; the cost depends on the writes, not on the size of the profile."""
    if fits_a_page(stored, writes):
        return _write_page(stored, writes, rule)
    book, done = Book(stored), Written(stored, set())
    _cut(book, rule, done)
    for name, register in writes:
        held = book.get(name)
        if held is not None and register <= held:
            continue
        reason = _refusal(book, rule, name, register, held)
        if reason is None:
            book.put(name, register)
            if held is None or register[2] != held[2]:
                done.changed.add(name)
        else:
            done.refuse(reason)
    if rule is JOINED:
        _cut(book, rule, done)
    done.stored = book.stored()
    return done


def _write_page(stored: bytes | None, writes: Sequence[tuple[str, Register]], rule: TraitBounds) -> Written:
    """Do the same if it all fits one page, as for most users: then only a name's length can be out of bounds."""
    page, done = page_of(stored), Written(stored, set())
    is_written = False
    for name, register in writes:
        held = page.get(name)
        if held is not None and register <= held:
            continue
        if len(name) > rule.name:
            done.refuse(TOO_LONG)
            continue
        page[name] = register
        is_written = True
        if held is None or register[2] != held[2]:
            done.changed.add(name)
    if is_written:
        done.stored = encode_page(page)
    return done


def _refusal(book: Book, rule: TraitBounds, name: str, register: Register, held: Register | None) -> str | None:
    if len(name) > rule.name or len(register[2]) > rule.value:
        return TOO_LONG
    if rule is JOINED:
        return None
    if held is None:
        full = book.n_names >= rule.names or book.n_bytes + size_of(name, register) > rule.n_bytes
        return FULL if full else None
    grows_by = size_of(name, register) - size_of(name, held)
    return FULL if grows_by > 0 and book.n_bytes + grows_by > rule.most_bytes else None


def _cut(book: Book, rule: TraitBounds, done: Written) -> None:
    """Keep what was stated last, up to the rule's overall bounds."""
    if book.n_bytes <= rule.most_bytes and book.n_names <= rule.most_names:
        return
    room = rule.most_bytes
    kept: dict[str, Register] = {}
    newest_first = sorted(book.registers().items(), key=lambda item: (-item[1][0], item[0]))
    for name, register in newest_first[: rule.most_names]:
        room -= size_of(name, register)
        if room < 0:
            break
        kept[name] = register
    for name, register in newest_first[len(kept) :]:
        done.refuse(FULL)
        if register[2] != _NULL:
            done.changed.add(name)
    book.replace(kept)


class Values(Mapping[str, bytes]):
    """Map each trait that is not removed to its JSON as the client wrote it; a look-up reads no more than it needs."""

    def __init__(self, stored: Stored) -> None:
        self._stored = stored

    def __getitem__(self, name: str) -> bytes:
        register = find(self._stored, name)
        if register is None or register[2] == _NULL:
            raise KeyError(name)
        return register[2]

    def __iter__(self) -> Iterator[str]:
        return (name for name, (_, _, text) in registers_of(self._stored).items() if text != _NULL)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def all(self) -> dict[str, bytes]:
        """Return them all as a dict."""
        return {name: text for name, (_, _, text) in registers_of(self._stored).items() if text != _NULL}


def raw_values(stored: Stored) -> dict[str, msgspec.Raw]:
    """Return each trait's JSON as the client wrote it, without removed ones."""
    return {name: msgspec.Raw(text) for name, text in Values(stored).all().items()}


def value_of(stored: Stored, name: str) -> Mapping[str, Any]:
    """Return one trait, decoded, for a predicate that reads no other; empty if it is not stated."""
    text = Values(stored).get(name)
    return {} if text is None else {name: _value(text)}


def values_of(stored: Stored) -> Mapping[str, Any]:
    """Return all traits, decoded, for predicates."""
    return {name: _value(text) for name, text in Values(stored).all().items()}


def _value(text: bytes) -> Any:
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError):
        return None  # a number beyond float64: stored and returned unchanged, equal to nothing in a predicate
