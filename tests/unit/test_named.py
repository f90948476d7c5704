"""Words of a fixed set travel as text: a process of the previous release reads them."""

from __future__ import annotations

import pickle
import pickletools

import msgspec
import pytest

from actors.calls.shards import CallStatus
from actors.shard.letterbox import LetterFate
from whisperer.delivery.dispatch import Verdict
from whisperer.feedback.outcome import OutcomeKind
from whisperer.journeys.engagement import DecisionStatus
from whisperer.vocabulary.groups import Group
from whisperer.vocabulary.named import Named

WORDS = [word for kind in (CallStatus, LetterFate, Verdict, OutcomeKind, DecisionStatus, Group) for word in kind]


@pytest.mark.parametrize("word", WORDS, ids=lambda word: f"{type(word).__name__}.{word.name}")
def test_a_word_is_pickled_and_encoded_as_its_text(word: Named) -> None:
    pickled = pickle.dumps([word])
    names = {str(argument) for _, argument, _ in pickletools.genops(pickled) if argument is not None}
    assert not names & {type(word).__name__, type(word).__module__}
    assert pickle.loads(pickled) == [word.value]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(word)) == word.value
    assert f"{word}" == word.value
    assert hash(word) == hash(word.value)
