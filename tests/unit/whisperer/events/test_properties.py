"""Whatever comes in, ingestion answers with values; what it keeps, it keeps as it came."""

from __future__ import annotations

import gzip
import json

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.whisperer.events.ingesting import SEED, SHARD_OF, ingest
from whisperer.events.payload import decode_json
from whisperer.events.routes import ROUTES
from whisperer.events.traits import traits_of
from whisperer.ids import key_hash, message_hash, partition_of

any_text = st.text() | st.sampled_from(
    ["", "\ud83c", "track", "alias", "2026-11-23T00:55:22Z", "u1", "\x00", "UTC", "de-AT", "12.50"]
)
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | any_text,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(any_text, inner, max_size=3),
    max_leaves=6,
)
MEMBERS = [
    "type",
    "event",
    "userId",
    "anonymousId",
    "previousId",
    "groupId",
    "messageId",
    "timestamp",
    "originalTimestamp",
    "sentAt",
    "properties",
    "traits",
    "context",
    "integrations",
    "writeKey",
]
context = st.dictionaries(st.sampled_from(["timezone", "locale", "active", "ip", "traits", "x"]), any_json, max_size=4)
any_event = st.dictionaries(st.sampled_from(MEMBERS) | any_text, any_json, max_size=8) | st.fixed_dictionaries(
    {"type": st.sampled_from(["track", "identify", "page", "alias", "group"]), "userId": any_text | st.integers()},
    optional={
        "event": any_text,
        "previousId": any_text,
        "anonymousId": any_text,
        "messageId": any_text,
        "timestamp": any_json,
        "sentAt": any_json,
        "context": context | any_json,
        "traits": any_json,
        "properties": st.dictionaries(st.sampled_from(["revenue", "x"]), any_json) | any_json,
    },
)
any_batch = st.fixed_dictionaries(
    {"batch": st.lists(any_event | any_json, max_size=5) | any_json},
    optional={"sentAt": any_json, "context": context | any_json, "integrations": any_json, "writeKey": any_json},
)


def check(body: bytes, route: str) -> None:
    got = ingest(body, route)
    assert got.status in (200, 400, 413)
    json.dumps(got.body).encode()
    for event in got.events:
        assert event.key_hash == key_hash(event.key, SEED)
        assert event.partition == partition_of(event.key, SEED)
        assert event.shard == SHARD_OF[event.partition]
        assert event.hash == message_hash(event.message_id)
        assert event.message_id
        assert event.name
        assert 0 <= event.timestamp <= event.received
        assert decode_json(event.payload) is not None
        traits_of(event.payload, event.kind)


@given(any_event | any_json, st.sampled_from(sorted(ROUTES)), st.booleans())
@settings(deadline=None)
def test_any_json_on_any_path_is_answered(value: object, route: str, as_ascii: bool) -> None:
    check(json.dumps(value, ensure_ascii=as_ascii).encode("utf-8", "surrogatepass"), route)


@given(any_batch, st.sampled_from(["batch", "import", "b"]))
@settings(deadline=None)
def test_any_batch_is_answered(value: object, route: str) -> None:
    check(json.dumps(value).encode(), route)


@given(st.binary(max_size=200), st.sampled_from(["track", "batch"]))
@settings(deadline=None)
def test_any_bytes_are_answered(body: bytes, route: str) -> None:
    check(body, route)


@given(any_batch, st.data())
@settings(deadline=None)
def test_any_damage_to_a_good_body_is_answered(value: object, data: st.DataObject) -> None:
    body = bytearray(json.dumps(value).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body) - 1))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        if not body:
            break
    check(bytes(body), data.draw(st.sampled_from(["batch", "track"])))


good_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.lists(st.dictionaries(st.text(), good_json, max_size=4), min_size=1, max_size=5),
    st.sampled_from([None, 0, 2]),
    st.booleans(),
    st.booleans(),
)
@settings(deadline=None)
def test_payloads_come_back_byte_for_byte(
    properties: list[dict], indent: int | None, as_ascii: bool, zipped: bool
) -> None:
    texts = [
        json.dumps(
            {"type": "track", "event": "E", "userId": f"u{i}", "properties": one}, indent=indent, ensure_ascii=as_ascii
        )
        for i, one in enumerate(properties)
    ]
    body = f'{{"batch": [{" ,".join(texts)}]}}'.encode()
    got = ingest(gzip.compress(body) if zipped else body, "batch")
    assert got.body == {"success": True}
    assert {one.key: one.payload.decode() for one in got.events} == {f"u:u{i}": text for i, text in enumerate(texts)}


@given(st.lists(any_event, max_size=6))
@settings(deadline=None)
def test_each_event_fares_in_a_batch_as_it_does_alone(events: list[dict]) -> None:
    bodies = [json.dumps({"batch": [event]}).encode() for event in events]
    alone = [ingest(body, "batch") for body in bodies]
    if any(one.code in ("malformed_json",) for one in alone):  # NaN and Infinity take the whole body
        return
    together = ingest(json.dumps({"batch": events}).encode(), "batch")
    expected = [one.events[0].key for one in alone if one.events]
    assert sorted(one.key for one in together.events) == sorted(expected)
