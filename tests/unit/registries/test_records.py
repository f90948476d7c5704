"""Every kind of record and of letter: its tag and fields stay what they were, it survives the wire, it has a handler,
replay of it is deterministic, and the digest that replay is judged by notices it.

A new kind in `whisperer.shard.records` is tested here as it stands; it has to be in the newest golden journal (or in
`record_cases.journal`), and `python -m tests.unit.registries.record_cases` records its shape.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.unit.registries.record_cases import LETTERS, RECORDS, TENANT, example, journal, record, released, shapes
from whisperer.errors import JournalDamagedError
from whisperer.shard import inspection, snapshot
from whisperer.shard.effects import Effect
from whisperer.shard.machine import DEFAULT_MAX_IDS, HANDLERS, Shard
from whisperer.shard.machine import LETTERS as LETTER_HANDLERS
from whisperer.shard.records import RECORD_VERSION, Letter, LettersArrived, Record, decode_record, encode_record
from whisperer.shard.state.loop import Loop
from whisperer.shard.state.shard import ShardState
from whisperer.shard.state.tenant import Tenant

SHARD = Path(__file__).parents[3] / "whisperer" / "shard"
GOLDEN = Path(__file__).parents[2] / "golden" / "shard"
NOW = 1_900_000_000_000

every_record = pytest.mark.parametrize("kind", RECORDS, ids=lambda kind: kind.__name__)
every_letter = pytest.mark.parametrize("kind", LETTERS, ids=lambda kind: kind.__name__)
every_kind = pytest.mark.parametrize("kind", [*RECORDS, *LETTERS], ids=lambda kind: kind.__name__)


def wrapped(kind: type[Any], body: Any = None) -> Record:
    """A record of this kind, or one that brings a letter of this kind."""
    body = example(kind) if body is None else body
    if kind in RECORDS:
        return record(body)
    return record(LettersArrived([Letter(TENANT, 1, 2, 1, body)]))


def unwrapped(found: Record) -> Any:
    return found.body.letters[0].body if isinstance(found.body, LettersArrived) else found.body


# -- the wire ---------------------------------------------------------------------------------------------------------


def test_kinds_and_handlers_are_the_same() -> None:
    assert set(RECORDS) == HANDLERS.keys()
    assert set(LETTERS) == LETTER_HANDLERS.keys()


@pytest.mark.parametrize("kinds", [RECORDS, LETTERS], ids=["records", "letters"])
def test_tags_count_up_and_none_is_used_twice(kinds: tuple[type[Any], ...]) -> None:
    assert sorted(kind.__struct_config__.tag for kind in kinds) == list(range(1, len(kinds) + 1))


@every_kind
def test_it_is_written_as_an_array_under_the_tag_and_fields_it_was_released_with(kind: type[Any]) -> None:
    config = kind.__struct_config__
    assert config.array_like
    assert config.frozen
    group = "records" if kind in RECORDS else "letters"
    now = shapes()[group][kind.__name__]
    then = released()[group].get(kind.__name__)
    assert then is not None, "record it: python -m tests.unit.registries.record_cases"
    assert now["tag"] == then["tag"], "journals on disk have the old tag"
    assert now["fields"][: len(then["fields"])] == then["fields"], "fields are only ever added at the end"
    assert now == then, "record it: python -m tests.unit.registries.record_cases"


def test_nothing_that_was_released_is_gone() -> None:
    for group, kinds in released().items():
        assert kinds.keys() <= shapes()[group].keys()


@every_kind
def test_it_is_the_same_after_a_journal(kind: type[Any]) -> None:
    written = encode_record(wrapped(kind))
    found = decode_record(written)
    if kind in RECORDS:
        assert type(found.body) is kind
        assert msgspec.structs.astuple(found.body) == msgspec.structs.astuple(example(kind))
    assert encode_record(found) == written


@every_kind
def test_a_damaged_one_is_recognised_and_nothing_else_is_raised(kind: type[Any]) -> None:
    written = encode_record(wrapped(kind))
    for length in range(len(written)):
        with pytest.raises(JournalDamagedError):
            decode_record(written[:length])
    for place in range(0, len(written), max(1, len(written) // 40)):
        broken = bytearray(written)
        broken[place] ^= 0xFF
        with suppress(JournalDamagedError):  # a flipped text is as good as another: checksums notice that
            decode_record(bytes(broken))


@every_kind
def test_fields_of_later_releases_may_be_missing(kind: type[Any]) -> None:
    """Fields with a default came later: a record without them is one of an earlier release."""
    config = msgspec.structs.fields(kind)
    n_needed = sum(field.required for field in config)
    assert all(field.required for field in config[:n_needed]), "a field without a default after one that has one"
    whole = msgspec.msgpack.decode(encode_record(wrapped(kind)))
    for missing in range(len(config) - n_needed + 1):
        shorter = msgspec.msgpack.decode(msgspec.msgpack.encode(whole))
        body = shorter[3] if kind in RECORDS else shorter[3][1][0][4]
        del body[len(body) - missing :]
        found = unwrapped(decode_record(msgspec.msgpack.encode(shorter)))
        for field in config[len(config) - missing :]:
            if field.default is not msgspec.NODEFAULT:
                assert getattr(found, field.name) == field.default


@every_kind
def test_what_it_is_for_is_said(kind: type[Any]) -> None:
    said = (kind.__doc__ or "").strip().partition("\n")[0]
    assert said[0].isupper()
    assert len(said) > 20


# -- replay -----------------------------------------------------------------------------------------------------------


@cache
def records() -> list[Record]:
    return journal()


def replayed(without: type[Any] | None = None, at_once: bool = True) -> tuple[Shard, list[Effect]]:
    shard = Shard(0)
    pairs = [(place, one) for place, one in enumerate(records()) if type(one.body) is not without]
    if at_once:
        return shard, shard.apply(pairs)
    effects: list[Effect] = []
    for pair in pairs:
        effects += shard.apply([pair])
    return shard, effects


@cache
def whole() -> tuple[str, bytes]:
    return end_of(*replayed())


def end_of(shard: Shard, effects: list[Effect]) -> tuple[str, bytes]:
    """The state's digest, and the effects as bytes: features may be NaN, which equals nothing."""
    return inspection.digest(shard), msgspec.msgpack.encode(effects)


def test_there_are_golden_files_of_the_newest_version() -> None:
    for name in (f"journal-v{RECORD_VERSION}", f"snapshot-v{RECORD_VERSION}"):
        assert (GOLDEN / f"{name}.msgpack").exists()


def test_replay_gives_the_same_state_and_effects_however_it_is_batched() -> None:
    assert end_of(*replayed(at_once=False)) == whole()


@every_record
def test_the_journal_has_one_of_it(kind: type[Any]) -> None:
    assert any(type(one.body) is kind for one in records()), "add it to the story of tests/contracts/test_shard_formats"


@every_record
def test_the_digest_notices_if_it_is_not_applied(kind: type[Any]) -> None:
    shard, _ = replayed(without=kind)
    assert inspection.digest(shard) != whole()[0], "what it changes is not in inspection.digest"


@every_record
def test_a_snapshot_right_after_it_continues_to_the_same_end(kind: type[Any]) -> None:
    shard, effects = Shard(0), []
    last = max(place for place, one in enumerate(records()) if type(one.body) is kind)
    effects += shard.apply(list(enumerate(records()))[: last + 1])
    copy = snapshot.load(*snapshot.dump(shard), DEFAULT_MAX_IDS)
    assert inspection.digest(copy) == inspection.digest(shard)
    effects += copy.apply(list(enumerate(records()))[last + 1 :])
    assert end_of(copy, effects) == whole()


@every_letter
def test_a_letter_is_applied_once_and_the_same_in_every_replay(kind: type[Any]) -> None:
    ends = []
    for times in (1, 1, 3):
        shard, _ = replayed()
        tenant = shard.tenant(TENANT)
        target = next(place for place in range(64) if shard.is_at_home(TENANT, place))
        source = 63
        sequence = tenant.cursors.get((target, source), 0) + 1
        letter = Letter(TENANT, source, target, sequence, example(kind), tenant.cursors.get((target, source), 0))
        effects: list[Effect] = []
        for n in range(times):
            effects += shard.apply([(shard.position + 1, record(LettersArrived([letter]), NOW))])
            if n == 0:
                first = inspection.digest(shard)
        assert tenant.cursors[target, source] == sequence
        ends.append((first, *end_of(shard, effects)))
    assert ends[0] == ends[1] == ends[2]


# -- the digest -------------------------------------------------------------------------------------------------------

DERIVED = {
    "id": "given at the start",
    "seed": "follows from the id",
    "record_version": "of the record being applied",
    "position": "a number of the journal, not of the state",
    "steps": "a clock",
    "rows": "empty between records",
    "watch": "of a copy under way, never stored",
    "tenants": "what the digest is made of",
    "tenant": "the loop's, an id",
    "people": "in the tenant's",
    "places": "follows from the engagements",
    "n_under": "follows from the engagements",
    "timers": "follows from the engagements",
    "next_firing": "follows from the schedules",
    "bares_addresses": "of the record being applied",
}
"""Fields that replay need not reproduce, or that follow from others."""


@pytest.mark.parametrize("name", [field.name for field in fields(Tenant)])
def test_every_field_of_a_tenant_is_in_the_digest(name: str) -> None:
    source = (SHARD / "inspection.py").read_text()
    made = source.partition("def digest(")[2].partition("def check(")[0]
    assert name in DERIVED or f"t.{name}" in made or f"tenant.{name}" in made


@pytest.mark.parametrize("name", [field.name for field in fields(Loop)])
def test_every_field_of_a_loop_is_in_the_digest(name: str) -> None:
    source = (SHARD / "inspection.py").read_text()
    made = source.partition("def _loop(")[2].partition("\ndef ")[0]
    assert name in DERIVED or f"loop.{name}" in made


@pytest.mark.parametrize("name", vars(ShardState(0)))
def test_every_field_of_a_shard_is_in_the_digest(name: str) -> None:
    source = (SHARD / "inspection.py").read_text()
    made = source.partition("def digest(")[2].partition("\ndef ")[0]
    assert name in DERIVED or f"shard.{name}" in made
