"""Every kind of record and of letter has what applies it."""

from __future__ import annotations

from typing import get_args, get_type_hints

from whisperer.shard.machine import HANDLERS, LETTERS
from whisperer.shard.records import Letter, RecordBody


def test_every_kind_of_record_has_a_handler() -> None:
    assert set(get_args(RecordBody)) == HANDLERS.keys()


def test_every_kind_of_letter_has_a_handler() -> None:
    assert set(get_args(get_type_hints(Letter)["body"])) == LETTERS.keys()
