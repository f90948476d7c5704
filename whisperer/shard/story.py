"""Tell what happened to a user, from the records of a journal: what one wants to see of an invariant that broke."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator

from whisperer.errors import InvariantError
from whisperer.events.block import key_of, keys_of
from whisperer.ids import TenantId, UserKey
from whisperer.shard.records import Astray, Events, Forward, Led, LettersArrived, Record

MOST_LINES = 30
MOST_CHARACTERS = 300


def story(records: Iterable[tuple[int, Record]], tenant: TenantId, key: UserKey) -> list[str]:
    """Return the last :data:`MOST_LINES` lines on a user's records, oldest first, one line per record.

    ``records`` are (journal position, record) pairs, as recovery reads them.
    """
    lines: deque[str] = deque(maxlen=MOST_LINES)
    for position, record in records:
        for what in _said(record, tenant, key):
            lines.append(f"{position} at {record.now}: {what}"[:MOST_CHARACTERS])
    return list(lines)


def with_story(error: InvariantError, records: Iterable[tuple[int, Record]]) -> InvariantError:
    """Add the story of the user whom an error names, if it names one, to its notes; return the error."""
    if error.user:
        for line in story(records, TenantId(error.tenant), UserKey(error.user)):
            error.add_note(line)
    return error


def _said(record: Record, tenant: TenantId, key: UserKey) -> Iterator[str]:
    body = record.body
    match body:
        case Events():
            block = body.read().block
            if block.tenant == tenant:
                names = [
                    block.names[int(row["name"])] for n, row in enumerate(block.events()) if key_of(block, n) == key
                ]
                if names:
                    yield f"{len(names)} events: {', '.join(map(repr, names[-5:]))}"
        case LettersArrived(letters):
            for letter in letters:
                held = letter.body.letter if isinstance(letter.body, (Astray, Led)) else letter.body
                concerns = key in _keys(held) if isinstance(held, Forward) else key in repr(letter.body)
                if letter.tenant == tenant and concerns:
                    shown = type(held).__name__ if isinstance(held, Forward) else repr(letter.body)
                    yield f"letter {letter.sequence} from partition {letter.source} to {letter.target}: {shown}"
        case _ if getattr(body, "tenant", tenant) == tenant:
            said = repr(body)
            if key in said:
                yield said


def _keys(letter: Forward) -> set[UserKey]:
    return {key for pair in letter.keys for key in pair} | set(keys_of(Events(letter.block).read().block))
