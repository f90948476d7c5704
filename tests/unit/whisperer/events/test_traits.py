"""Reading the stored payload: traits, and JSON whose numbers are out of range."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.whisperer.events.ingesting import ingest
from whisperer.events.payload import decode_json
from whisperer.events.traits import traits_of
from whisperer.events.types import EventType

IDENTIFY = EventType.IDENTIFY
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def read(payload: bytes, kind: int = IDENTIFY) -> dict:
    return {name: msgspec.json.decode(value) for name, value in traits_of(payload, kind).items()}


def test_traits_overlay_those_of_the_context() -> None:
    payload = b'{"traits":{"a":1,"b":null},"context":{"traits":{"a":2,"c":[3]}}}'
    assert read(payload) == {"a": 1, "b": None, "c": [3]}


@pytest.mark.parametrize(
    "payload",
    [
        b"{}",
        b'{"traits":null}',
        b'{"traits":{}}',
        b'{"context":null}',
        b'{"context":{}}',
        b'{"context":{"traits":null}}',
    ],
)
def test_there_may_be_none(payload: bytes) -> None:
    assert read(payload) == {}


@pytest.mark.parametrize("kind", [kind for kind in EventType if kind is not IDENTIFY])
def test_only_identify_states_a_users_traits(kind: EventType) -> None:
    assert traits_of(b'{"traits":{"a":1},"context":{"traits":{"b":1}},"groupId":"g"}', kind) == {}


def test_values_keep_their_text() -> None:
    assert bytes(traits_of(b'{"traits":{"n": 1.50 , "o":{ "p" : 1E2 }}}', IDENTIFY)["n"]) == b"1.50"


@pytest.mark.parametrize("number", ["1e999", "-1e999", "9" * 5_000, "1" + "0" * 400 + ".5"])
def test_a_number_out_of_range_becomes_its_own_text(number: str) -> None:
    payload = f'{{"userId":"u","traits":{{"n":{number},"deep":[{{"n":{number}}},1.5],"ok":1}}}}'.encode()
    event = ingest(payload, "identify").only
    assert event.payload == payload
    assert read(payload) == {"n": number, "deep": [{"n": number}, 1.5], "ok": 1}
    assert decode_json(payload)["traits"]["n"] == number


def test_repeated_keys_of_other_types_do_not_matter() -> None:
    payload = b'{"userId":"u","traits":5,"traits":{"a":1},"context":[],"context":{"traits":"x","traits":{"b":2}}}'
    assert ingest(payload, "identify").status == 200
    assert read(payload) == {"a": 1, "b": 2}


@given(
    st.dictionaries(st.text(), json_values, max_size=5),
    st.dictionaries(st.text(), json_values, max_size=5),
    st.booleans(),
)
def test_traits_come_back_as_they_were_sent(own: dict, of_context: dict, as_ascii: bool) -> None:
    sent = {"userId": "u", "traits": own, "context": {"traits": of_context}}
    payload = json.dumps(sent, ensure_ascii=as_ascii).encode()
    event = ingest(payload, "identify").only
    assert {
        name: json.loads(bytes(raw)) for name, raw in traits_of(event.payload, event.kind).items()
    } == of_context | own


@given(st.dictionaries(st.sampled_from(["traits", "context", "properties", "userId"]), json_values))
def test_whatever_was_admitted_can_be_read(members: dict) -> None:
    got = ingest({"anonymousId": "x"} | members, "identify")
    for event in got.events:
        traits_of(event.payload, event.kind)
        assert decode_json(event.payload) == json.loads(event.payload)
