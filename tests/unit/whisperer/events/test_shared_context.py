"""A batch's own context and integrations in each of its events."""

from __future__ import annotations

import json

from tests.unit.whisperer.events.ingesting import ingest, track
from whisperer.events.types import Flag


def merged(event: dict, **shared: object) -> dict:
    got = ingest({"batch": [event]} | shared, "batch")
    assert got.body == {"success": True}
    return json.loads(got.only.payload)


def test_the_event_wins_key_by_key() -> None:
    event = track(context={"ip": "1.1.1.1", "library": {"name": "own"}}, integrations={"All": False})
    got = merged(
        event,
        context={"ip": "8.8.8.8", "timezone": "UTC", "library": {"version": "1"}},
        integrations={"All": True, "Mail": True},
    )
    assert got == event | {
        "context": {"ip": "1.1.1.1", "timezone": "UTC", "library": {"name": "own"}},
        "integrations": {"All": False, "Mail": True},
    }


def test_an_event_without_takes_the_batchs() -> None:
    for event in (track(), track(context=None, integrations=None), track(context={}, integrations={})):
        got = merged(event, context={"a": 1}, integrations={"b": 2})
        assert got == event | {"context": {"a": 1}, "integrations": {"b": 2}}


def test_nothing_to_merge_leaves_every_byte() -> None:
    event = b'{ "type":"page", "userId":"u" , "context" : { } }'
    for shared in (b"", b',"context":{}', b',"context":null,"integrations":{}'):
        got = ingest(b'{"batch":[' + event + b"]" + shared + b"}", "batch")
        assert got.only.payload == event


def test_values_keep_their_bytes() -> None:
    event = (
        b'{"type":"track","event":"E","userId":"\\u0075","properties":{ "n": 1.50, "n": 1E2 },"context":{"a": [ 1 ]}}'
    )
    got = ingest(b'{"batch":[' + event + b'],"context":{"b": 2.50}}', "batch")
    assert got.only.payload == event.replace(b'{"a": ', b'{"b":2.50,"a":')


def test_what_is_merged_counts_like_the_events_own() -> None:
    got = ingest(
        {
            "batch": [
                track(),
                {"type": "identify", "userId": "u2"},
                track(userId="u3", context={"timezone": "Asia/Tokyo"}),
            ],
            "context": {"timezone": "UTC", "locale": "de-AT", "active": False, "traits": {"plan": "pro"}},
        },
        "batch",
    )
    by_key = {one.key: one for one in got.events}
    assert [(by_key[f"u:u{i}"].zone, by_key[f"u:u{i}"].locale) for i in (1, 2, 3)] == [
        ("UTC", "de-AT"),
        ("UTC", "de-AT"),
        ("Asia/Tokyo", "de-AT"),
    ]
    assert by_key["u:u1"].flags == Flag.INACTIVE
    assert by_key["u:u2"].flags == Flag.INACTIVE | Flag.TRAITS


def test_an_event_of_the_wrong_shape_is_rejected_not_merged() -> None:
    got = ingest(
        {"batch": [5, track(context=5), track(integrations="none")], "context": {"a": 1}, "integrations": {"b": 1}},
        "batch",
    )
    assert got.rejected == [(0, "invalid_type"), (1, "invalid_type")]
    assert json.loads(got.only.payload)["integrations"] == "none"


def test_an_event_made_too_large_by_it_is_rejected() -> None:
    small, large = track(messageId="s"), track(messageId="l", properties={"pad": "x" * 20_000})
    got = ingest({"batch": [small, large], "context": {"pad": "y" * 20_000}}, "batch")
    assert got.rejected == [(1, "event_too_large")]
    assert got.only.message_id == "s"


def test_a_small_body_cannot_grow_without_bound() -> None:
    got = ingest({"batch": [track()] * 1_000, "context": {"pad": "y" * 20_000}}, "batch")
    assert (got.status, got.code) == (413, "body_too_large")
