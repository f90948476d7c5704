"""The table of bad input, cell by cell: alone, and in a batch beside a good event."""

from __future__ import annotations

import json

import pytest

from tests.unit.whisperer.events.ingesting import ingest, track
from whisperer.events.decompress import MAX_BODY_BYTES
from whisperer.events.limits import MAX_EVENT_BYTES
from whisperer.events.parse import MAX_EVENTS
from whisperer.events.refusals import STATUS, Code

GOOD = track(userId="good", messageId="good")


def in_batch(*events: bytes) -> bytes:
    return b'{"batch": [' + b", ".join((json.dumps(GOOD).encode(), *events)) + b"]}"


def nested(levels: int) -> bytes:
    """An event that nests this deep, itself and its properties counted."""
    inner = levels - 2
    return b'{"type":"track","event":"E","userId":"u","properties":{"p":' + b"[" * inner + b"]" * inner + b"}}"


WHOLE = {
    "truncated": b'{"type":"track","event":"E","userId":"u"',
    "no value": b'{"type":"track","event":}',
    "trailing comma": b'{"type":"track","event":"E","userId":"u",}',
    "bad escape": rb'{"type":"track","event":"\x41","userId":"u"}',
    "short escape": rb'{"type":"track","event":"E","userId":"u","p":"\u12"}',
    "control character": b'{"type":"track","event":"E","userId":"u","p":"\x01"}',
    "NaN": b'{"type":"track","event":"E","userId":"u","properties":{"n":NaN}}',
    "Infinity": b'{"type":"track","event":"E","userId":"u","properties":{"n":-Infinity}}',
    "leading zero": b'{"type":"track","event":"E","userId":"u","properties":{"n":01}}',
    "invalid UTF-8 in what is skipped": b'{"type":"track","event":"E","userId":"u","properties":{"n":"\xff"}}',
    "invalid UTF-8 in a key": b'{"type":"track","event":"E","userId":"u","\xc3\x28":1}',
    "UTF-8 of a surrogate": b'{"type":"track","event":"E","userId":"u","p":"\xed\xa0\xbc"}',
    "nesting of 65": nested(65),
    "nesting of 100,000": nested(100_000),
    "nesting never closed": b'{"type":"track","event":"E","userId":"u","properties":' + b'{"a":[' * 50_000,
    "single quotes": b"{'type':'track'}",
    "wrong bracket": b'{"type":"track","event":"E","userId":"u","properties":{"a":[1}}',
}


@pytest.mark.parametrize("event", WHOLE.values(), ids=WHOLE)
def test_a_malformed_event_is_400_and_takes_its_batch_with_it(event: bytes) -> None:
    for got in (ingest(event), ingest(in_batch(event), "batch"), ingest(in_batch(event), "import")):
        assert (got.status, got.code) == (400, "malformed_json")


@pytest.mark.parametrize(
    "body", [b"", b" ", b"{} {}", b'{"batch":[]} x', b"\xef\xbb\xbf{}", b"[1,", b"[}", b'"a', b"nul"]
)
@pytest.mark.parametrize("route", ["track", "batch"])
def test_a_body_that_is_not_one_json_value_is_malformed(body: bytes, route: str) -> None:
    got = ingest(body, route)
    assert (got.status, got.code) == (400, "malformed_json")


@pytest.mark.parametrize(
    "body", [b"null", b"5", b'"text"', b"[]", b"[{}]", b" true ", b'[{"type":"track","event":"E"}]']
)
@pytest.mark.parametrize("route", ["track", "batch", "import", "identify"])
def test_well_formed_json_that_is_no_object_is_of_the_wrong_type(body: bytes, route: str) -> None:
    got = ingest(body, route)
    assert (got.status, got.code) == (400, "invalid_type")


def test_nesting_of_64_is_accepted_alone_and_in_a_batch() -> None:
    assert ingest(nested(64)).status == 200
    assert ingest(in_batch(nested(64)), "batch").body == {"success": True}


@pytest.mark.parametrize(
    "lone", [r"\ud83c", r"\udf89", r"\uD83C tail", r"\ud83c\ud83c\udf89", r"\\\ud83c", r"\udf89\ud83c"]
)
@pytest.mark.parametrize("place", ["event", "userId", "messageId", "deep", "key"])
def test_a_lone_surrogate_costs_its_event_and_no_other(lone: str, place: str) -> None:
    if place == "key":
        event = json.dumps(track(properties={"@": 1}))
    elif place == "deep":
        event = json.dumps(track(properties={"a": [{"b": "@"}]}))
    else:
        event = json.dumps(track(**{place: "@"}))
    bad = event.replace("@", lone).encode()
    alone = ingest(bad)
    assert (alone.status, alone.code) == (400, "invalid_unicode")
    batched = ingest(in_batch(bad, json.dumps(track(messageId="after")).encode()), "batch")
    assert batched.status == 200
    assert batched.rejected == [(1, "invalid_unicode")]
    assert sorted(one.message_id for one in batched.events) == ["after", "good"]


def test_a_lone_surrogate_outside_every_event_refuses_the_batch() -> None:
    got = ingest(rb'{"batch":[{"type":"track","event":"E","userId":"u"}],"context":{"x":"\ud83c"}}', "batch")
    assert (got.status, got.code) == (400, "invalid_unicode")


def test_an_escaped_backslash_before_surrogate_digits_is_no_surrogate() -> None:
    innocent = json.dumps(track(messageId="innocent", properties={"path": "C:\\\\ud83c"})).encode()
    assert rb"\\ud83c" in innocent
    got = ingest(in_batch(innocent, rb'{"type":"page","userId":"\ud83c"}'), "batch")
    assert got.rejected == [(2, "invalid_unicode")]
    assert {one.message_id: one.payload for one in got.events}["innocent"] == innocent


def test_nesting_around_the_events_counts_too() -> None:
    deep = b'{"a long enough key to be spaced out":' * 66 + b"1" + b"}" * 66
    body = b'{"unknown":' + deep + b',"batch":[' + b",".join([b'{"type":"page","userId":"u"}'] * 90) + b"]}"
    assert ingest(body, "batch").code == "malformed_json"
    assert ingest(body.replace(deep, b"[]"), "batch").status == 200


def test_an_emoji_written_as_two_escapes_is_text_like_any_other() -> None:
    body = rb'{"event":"\ud83c\udf89 \\ud83c","userId":"\uD83C\uDF89"}'
    got = ingest(body)
    assert (got.only.name, got.only.key, got.only.payload) == ("🎉 \\ud83c", "u:🎉", body)


def test_of_repeated_keys_the_last_counts_whatever_the_others_are() -> None:
    got = ingest(
        b'{"userId":true,"userId":"u2","event":["x"],"event":"A","event":"B","properties":5,'
        b'"properties":{"revenue":{},"revenue":2},"context":[],"context":{"timezone":1,"timezone":"UTC"}}'
    )
    assert (got.only.key, got.only.name, got.only.revenue, got.only.zone) == ("u:u2", "B", 2_000_000, "UTC")
    assert got.notices == {}
    got = ingest(b'{"batch":5,"batch":[{"type":"track","event":"E","userId":"u"}],"sentAt":[],"sentAt":null}', "batch")
    assert got.body == {"success": True}
    assert got.only.key == "u:u"
    assert got.notices == {}


def padded(n_bytes: int) -> bytes:
    event = json.dumps(track(properties={"pad": ""})).encode()
    return event.replace(b'"pad": ""', b'"pad": "' + b"x" * (n_bytes - len(event)) + b'"')


def test_an_event_over_32_kb_is_413_alone_and_rejected_in_a_batch() -> None:
    assert len(padded(MAX_EVENT_BYTES)) == 32_768
    assert ingest(padded(MAX_EVENT_BYTES)).status == 200
    alone = ingest(padded(MAX_EVENT_BYTES + 1))
    assert (alone.status, alone.code) == (413, "event_too_large")
    batched = ingest(in_batch(padded(MAX_EVENT_BYTES + 1), padded(MAX_EVENT_BYTES)), "batch")
    assert batched.status == 200
    assert batched.body["rejected"][0]["code"] == "event_too_large"
    assert batched.body["rejected"][0]["messageId"] == "m1"
    assert [one.key for one in sorted(batched.events, key=lambda one: one.key)] == ["u:good", "u:u1"]


def test_a_body_over_500_kb_is_413() -> None:
    fits = b'{"batch":[]}'.ljust(MAX_BODY_BYTES)
    for route in ("track", "batch"):
        got = ingest(fits + b" ", route)
        assert (got.status, got.code) == (413, "body_too_large")
    assert ingest(fits, "batch").body == {"success": True}


def test_2501_events_are_400_and_2500_are_accepted() -> None:
    event = b'{"type":"page","userId":"u"}'
    got = ingest(b'{"batch":[' + b",".join([event] * (MAX_EVENTS + 1)) + b"]}", "batch")
    assert (got.status, got.code) == (400, "too_many_events")
    got = ingest(b'{"batch":[' + b",".join([event] * MAX_EVENTS) + b"]}", "batch")
    assert (got.body, len(got.events)) == ({"success": True}, 2_500)


BAD = {
    "no identity": (track(userId=...), "missing_identity", "/userId"),
    "null identity": (track(userId=None, anonymousId=None), "missing_identity", "/userId"),
    "empty identity": (track(userId="", anonymousId=""), "missing_identity", "/userId"),
    "no event": (track(event=...), "missing_event", "/event"),
    "null event": (track(event=None), "missing_event", "/event"),
    "empty event": (track(event=""), "missing_event", "/event"),
    "event of 201 characters": (track(event="\u00e9" * 201), "name_too_long", "/event"),
    "event a number": (track(event=5), "invalid_type", "/event"),
    "event an object": (track(event={"name": "E"}), "invalid_type", "/event"),
    "userId a boolean": (track(userId=True), "invalid_type", "/userId"),
    "userId an object": (track(userId={"id": 1}), "invalid_type", "/userId"),
    "userId an array": (track(userId=["u"]), "invalid_type", "/userId"),
    "anonymousId a boolean beside a good userId": (track(anonymousId=False), "invalid_type", "/anonymousId"),
    "properties a string": (track(properties="x"), "invalid_type", "/properties"),
    "properties an array": (track(properties=[1]), "invalid_type", "/properties"),
    "traits a number": (track(traits=7), "invalid_type", "/traits"),
    "context an array": (track(context=[]), "invalid_type", "/context"),
    "messageId a number": (track(messageId=12), "invalid_type", "/messageId"),
    "messageId of 100 characters": (track(messageId="m" * 100), "invalid_type", "/messageId"),
}


@pytest.mark.parametrize(("event", "code", "pointer"), BAD.values(), ids=BAD)
def test_an_event_that_lacks_something_is_400_alone_and_rejected_in_a_batch(
    event: dict, code: str, pointer: str
) -> None:
    alone = ingest(event)
    assert (alone.status, alone.code) == (400, code)
    assert alone.body["errors"][0]["pointer"] == pointer
    batched = ingest(in_batch(json.dumps(event).encode()), "batch")
    assert (batched.status, batched.rejected) == (200, [(1, code)])
    assert [one.key for one in batched.events] == ["u:good"]
    only_bad = ingest({"batch": [event, event]}, "batch")
    assert (only_bad.status, only_bad.code) == (400, "all_events_rejected")
    assert [one["code"] for one in only_bad.body["rejected"]] == [code, code]
    assert [one["pointer"] for one in only_bad.body["errors"]] == [f"/batch/0{pointer}", f"/batch/1{pointer}"]


@pytest.mark.parametrize("kind", [..., None, "", "Track", "login", 5, True, ["track"]])
def test_an_event_of_a_batch_must_name_one_of_the_six_types(kind: object) -> None:
    got = ingest({"batch": [GOOD, track(type=kind)]}, "batch")
    assert got.rejected == [(1, "invalid_type")]


@pytest.mark.parametrize("event", [5, "text", None, [], [track()], True])
def test_what_is_not_an_object_is_no_event(event: object) -> None:
    got = ingest({"batch": [GOOD, event]}, "batch")
    assert got.rejected == [(1, "invalid_type")]
    assert got.body["rejected"][0]["messageId"] is None


@pytest.mark.parametrize("batch", [None, 5, {}, "x"])
def test_a_batch_must_be_an_array(batch: object) -> None:
    assert ingest({"batch": batch}, "batch").code == "invalid_type"
    assert ingest({}, "batch").code == "invalid_type"


@pytest.mark.parametrize("member", ["context", "integrations"])
def test_what_a_batch_shares_must_be_an_object(member: str) -> None:
    got = ingest({"batch": [GOOD], member: 5}, "batch")
    assert (got.code, got.body["errors"][0]["pointer"]) == ("invalid_type", f"/{member}")
    assert ingest({"batch": [GOOD], member: None}, "batch").body == {"success": True}


def test_an_empty_batch_is_200_and_stores_nothing() -> None:
    got = ingest({"batch": [], "sentAt": "whatever"}, "batch")
    assert (got.status, got.body, got.events) == (200, {"success": True}, [])


def test_every_code_has_its_status() -> None:
    assert set(STATUS) == set(Code)
    of = {status: {code for code in Code if STATUS[code] == status} for status in set(STATUS.values())}
    assert of[401] == {Code.INVALID_KEY}
    assert of[413] == {Code.EVENT_TOO_LARGE, Code.BODY_TOO_LARGE}
    assert of[429] == {Code.RATE_LIMITED}
    assert of[503] == {Code.OVERLOADED}


def test_an_event_name_of_200_characters_is_accepted() -> None:
    assert ingest(track(event="\u00e9" * 200)).only.name == "\u00e9" * 200
