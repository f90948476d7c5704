"""The scanner is fast and nothing else: whatever comes in, the outcome is the exact way's, to the last byte."""

from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.unit.whisperer.events.ingesting import NOW, admitted, track
from tests.unit.whisperer.events.test_bounds import HOSTILE
from tests.unit.whisperer.events.test_contract_table import WHOLE
from tests.unit.whisperer.events.test_properties import any_batch, any_event, any_json, any_text
from whisperer.events.admit import admit
from whisperer.events.deal import _deal
from whisperer.events.kernels.scan_event import N_RESERVED, PLAIN, STATE
from whisperer.events.outcome import Admission
from whisperer.events.parse import Parsed, parse_body, parse_exactly
from whisperer.events.refusals import Refusal
from whisperer.events.routes import ROUTES, Route
from whisperer.events.scan import _scan, scan

BATCHES = ["batch", "import"]


def all_of(result: Admission | Refusal) -> object:
    if isinstance(result, Refusal):
        return result
    parts = [
        (shard, part.rows.tobytes(), part.text, part.payload, part.names, part.zones, part.locales, part.client_ip)
        for shard, part in result.parts.items()
    ]
    return result.is_batch, result.n_accepted, result.rejected, dict(result.notices), parts


def check(body: bytes, route: str) -> None:
    assert all_of(admitted(body, route)) == all_of(admitted(body, route, parse_exactly))
    fast, exact = parse_body(body, ROUTES[route]), parse_exactly(body, ROUTES[route])
    if isinstance(fast, Parsed) and isinstance(exact, Parsed):
        assert fast.write_key == exact.write_key
        assert [bytes(one) for one in fast.events] == [bytes(one) for one in exact.events]


def n_plain(body: bytes, route: str) -> int:
    parsed = parse_body(body, ROUTES[route])
    assert isinstance(parsed, Parsed)
    return int((parsed.rows[:, STATE] == PLAIN).sum())


# -- what SDKs send ---------------------------------------------------------------------------------------------------


def mostly(good: Any, odd: Any) -> Any:
    """Nine times in ten good: with an odd member in every event nothing would be plain."""
    return st.integers(0, 9).flatmap(lambda die: odd if die == 9 else good)


texts = st.sampled_from(["x", "Straße", "a/b", "🎉", 'say "hi"', "C:\\", "日本"]) | st.text(max_size=6)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
)
known_ids = st.sampled_from(["u1", "u2", "user-00000017", "Zoë", "3f0e2f5c-0e0f-4d9b-a1b0-6b4d4f7a9b11"]) | st.integers(
    0, 10**9
)
odd_ids = st.none() | st.integers() | st.floats() | any_text | any_json
good_stamps = (
    st.datetimes().map(lambda moment: moment.isoformat(timespec="milliseconds") + "Z")
    | st.datetimes(timezones=st.timezones()).map(lambda moment: moment.isoformat())
    | st.integers(NOW - 10**10, NOW + 10**8)
)
odd_stamps = (
    st.builds("{}-{:02d}-{:02d}T{:02d}:{:02d}:{:02d}{}{}".format, st.sampled_from(["2024", "2023", "1900", "2000", "0001", "1969", "20x6"]),
              st.integers(0, 13), st.integers(0, 32), st.integers(0, 25), st.integers(0, 61), st.integers(0, 61),
              st.sampled_from(["", ".", ",5"]) | st.integers(0, 10**9).map(".{}".format),
              st.sampled_from(["Z", "+01:00", "-23:59", "+24:00", "-12:60", "", "z", "+0100", "Z ", "+01:00:30"]))
    | st.integers(-(10**13), 10**16)
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | st.sampled_from(["2026-11-23 00:55:22Z", "2026-11-23", "", "now", None, {}, True])
)  # fmt: skip
stamps = mostly(good_stamps, odd_stamps)
good_amounts = st.integers(-(10**9), 10**9) | st.integers(-(10**8), 10**8).map(lambda cents: cents / 100)
odd_amounts = (
    st.integers(-(10**20), 10**20)
    | st.floats()
    | st.sampled_from(["12.50", "1e3", "", None, True, [], 0.07, 1.005, 999_999_999.999_999, -0.0, 1e15, 4.35])
)
contexts = st.fixed_dictionaries(
    {},
    optional={
        "timezone": mostly(
            st.sampled_from(["Europe/Vienna", "UTC", "Mars/Olympus"]), st.sampled_from(["", "Zürich", None, 5, []])
        ),
        "locale": mostly(st.sampled_from(["de-AT", "de_AT", "en-us", "klingon"]), st.sampled_from(["", None, [], 1])),
        "active": mostly(st.booleans(), st.sampled_from([None, "false", 0, {}])),
        "traits": mostly(st.dictionaries(texts, values, max_size=2), st.sampled_from([None, [], "x"])),
        "library": st.just({"name": "analytics.js", "version": "2.11.1"}),
    },
)
sdk_events = st.fixed_dictionaries(
    {
        "type": mostly(st.sampled_from(["track", "track", "identify", "page", "screen", "group", "alias"]), any_json),
        "messageId": mostly(st.uuids().map(str) | known_ids.map(str), odd_ids | st.text(min_size=95, max_size=102)),
        "userId": mostly(known_ids, odd_ids),
        "event": mostly(st.sampled_from(["Signed Up", "Straße", "$page"]) | texts, st.sampled_from(["", None, 5, []])),
    },
    optional={
        "anonymousId": mostly(known_ids, odd_ids),
        "previousId": mostly(known_ids, odd_ids),
        "groupId": mostly(known_ids, odd_ids),
        "timestamp": stamps,
        "originalTimestamp": stamps,
        "sentAt": stamps,
        "properties": mostly(
            st.fixed_dictionaries({}, optional={"revenue": mostly(good_amounts, odd_amounts), "größe": values}),
            any_json,
        ),
        "traits": mostly(st.dictionaries(texts, values, max_size=2), st.sampled_from([None, [], "x"])),
        "context": mostly(contexts, any_json),
        "writeKey": mostly(texts, any_json),
        "integrations": st.just({}),
        "other": values,
    },
)
sdk_batches = st.fixed_dictionaries(
    {"batch": st.lists(mostly(sdk_events, any_event), max_size=6)},
    optional={
        "sentAt": stamps,
        "writeKey": mostly(texts, any_json),
        "context": mostly(st.sampled_from([{}, None]), any_json | st.just({"locale": "fr"})),
        "integrations": mostly(st.sampled_from([{}, None]), any_json | st.just({"All": True})),
        "other": values,
    },
)


def written(value: Any, style: int) -> bytes:
    """JSON as different SDKs write it: Python's, JavaScript's, PHP's, and a person's."""
    if style == 1:
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    elif style == 2:
        text = json.dumps(value, separators=(",", ":")).replace("/", r"\/")
    else:
        text = json.dumps(value, indent=2 if style else None)
    return text.encode("utf-8", "surrogatepass")


styles = st.integers(0, 3)


@given(sdk_batches, st.sampled_from(BATCHES), styles)
@settings(max_examples=250, deadline=None)
def test_a_batch_of_an_sdk_comes_out_as_the_exact_way_says(batch: dict, route: str, style: int) -> None:
    check(written(batch, style), route)


@given(sdk_events | any_event | any_json, st.sampled_from(sorted(ROUTES)), styles)
@settings(max_examples=300, deadline=None)
def test_a_single_event_comes_out_as_the_exact_way_says(event: Any, route: str, style: int) -> None:
    check(written(event, style), route)


@given(any_batch, st.sampled_from(BATCHES), styles)
@settings(max_examples=200, deadline=None)
def test_any_batch_comes_out_as_the_exact_way_says(batch: dict, route: str, style: int) -> None:
    check(written(batch, style), route)


@given(sdk_batches | sdk_events, st.sampled_from(["batch", "track", "identify"]), styles, st.data())
@settings(max_examples=300, deadline=None)
def test_a_damaged_body_comes_out_as_the_exact_way_says(
    value: Any, route: str, style: int, data: st.DataObject
) -> None:
    body = bytearray(written(value, style))
    odd = st.sampled_from([b"", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\\", b"\\u0041", b'"', b"{", b"}", b"[", b"]", b",", b":",
                           b"0", b"-", b"e", b".", b" ", b"\n", b"\x00", b"null", b"\\ud83c", b"\xf0\x9f\x8e\x89"])  # fmt: skip
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(body)))
        body[at : at + data.draw(st.integers(0, 3))] = data.draw(odd | st.binary(max_size=3))
    check(bytes(body), route)


@given(sdk_batches, st.data())
@settings(deadline=None)
def test_a_body_cut_short_comes_out_as_the_exact_way_says(batch: dict, data: st.DataObject) -> None:
    body = written(batch, 1)
    check(body[: data.draw(st.integers(0, len(body)))], "batch")


@given(sdk_events, st.data(), styles)
@settings(max_examples=200, deadline=None)
def test_repeated_and_disguised_members_come_out_as_the_exact_way_says(
    event: dict, data: st.DataObject, style: int
) -> None:
    other = data.draw(sdk_events)
    text = written(event, style).rstrip()[:-1] + b"," + written(other, style).lstrip()[1:]
    names = data.draw(
        st.lists(st.sampled_from(["userId", "event", "type", "messageId", "revenue", "locale", "writeKey"]))
    )
    for name in names:
        text = text.replace(b'"%s"' % name.encode(), rb'"\u%04x%s"' % (ord(name[0]), name[1:].encode()), 1)
    check(text, "track")
    check(b'{"batch":[%s,%s]}' % (text, written(track(), style)), "batch")


@given(st.binary(max_size=200), st.sampled_from(["track", "batch"]))
@settings(deadline=None)
@example(b'{"batch":[]}', "batch")
@example(b'{"batch":[],"batch":[]}', "batch")
@example(b'{"batch":null}', "batch")
@example(b"{}", "track")
@example(b'{"event":"E","userId":"u","messageId":"m","writeKey":"a","writeKey":null}', "track")
def test_any_bytes_come_out_as_the_exact_way_says(body: bytes, route: str) -> None:
    check(body, route)


@pytest.mark.parametrize("body", [*HOSTILE.values(), *WHOLE.values()], ids=[*HOSTILE, *WHOLE])
def test_hostile_and_malformed_bodies_come_out_as_the_exact_way_says(body: bytes) -> None:
    for route, one in (("track", body), ("batch", body), ("batch", b'{"batch":[%s,%s]}' % (body, written(track(), 0)))):
        if len(one) <= 500 * 1024:
            check(one, route)


@pytest.mark.parametrize("levels", range(60, 70))
def test_nesting_is_bounded_as_the_exact_way_bounds_it(levels: int) -> None:
    for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
        deep = opening * levels + b"1" * (opening != b"[") + closing * levels
        for place in (b'"p":%s', b'"properties":{"p":%s}', b'"context":{"p":%s}', b'"traits":{"p":%s}'):
            event = b'{"type":"track","event":"E","userId":"u","messageId":"m",' + place % deep + b"}"
            check(event, "track")
            check(b'{"batch":[' + event + b"]}", "batch")
        check(b'{"batch":[%s],"other":%s}' % (deep, deep), "batch")


@given(stamps, st.integers(-20_000, 20_000))
@settings(max_examples=250, deadline=None)
def test_times_are_read_as_the_exact_way_reads_them(stamp: Any, behind: int) -> None:
    events = [track(timestamp=stamp), track(originalTimestamp=stamp), track(timestamp=stamp, sentAt=NOW + behind)]
    check(written({"batch": events, "sentAt": NOW - behind}, 0), "batch")
    for route in BATCHES:
        check(written({"batch": events, "sentAt": stamp}, 0), route)


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,18})(\.[0-9]{1,18})?([eE][+-]?[0-9]{1,3})?", fullmatch=True))
@settings(max_examples=250, deadline=None)
def test_amounts_are_read_as_the_exact_way_reads_them(number: str) -> None:
    check(b'{"event":"E","userId":"u","messageId":"m","properties":{"revenue":%s}}' % number.encode(), "track")


PIECES = [b"a", b"\x00", b"\x1f", b"\x7f", b'"', b"\\", b"\\n", b"\\x", b"\\u00e4", b"\\uD83C", b"\\udf89", b"\\u12", b"\x80", b"\x8f", b"\x90",
          b"\x9f", b"\xa0", b"\xbf", b"\xc0", b"\xc1", b"\xc2", b"\xdf", b"\xe0", b"\xe1", b"\xed", b"\xef", b"\xf0", b"\xf1", b"\xf4",
          b"\xf5", b"\xff", "ä€🎉".encode(), b"plain text of more than thirty-two bytes"]  # fmt: skip


@given(st.lists(st.sampled_from(PIECES), max_size=6).map(b"".join))
@example(b"\xc0\x80")
@example(b"\xc1\xbf")
@example(b"\xe0\x9f\xbf")
@example(b"\xed\xa0\x80")
@example(b"\xf0\x8f\xbf\xbf")
@example(b"\xf4\x90\x80\x80")
@settings(max_examples=1_000, deadline=None)
def test_a_string_of_any_bytes_is_one_where_the_exact_way_says_so(piece: bytes) -> None:
    event = b'{"event":"E","userId":"u","messageId":"m","p":"%s"}' % piece
    check(event, "track")
    check(b'{"batch":[' + event.replace(b'"event"', b'"type":"track","event"') + b"]}", "batch")


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?", fullmatch=True))
@settings(deadline=None)
def test_numbers_as_ids_are_read_as_the_exact_way_reads_them(number: str) -> None:
    check(b'{"event":"E","userId":%s,"anonymousId":%s,"messageId":"m"}' % ((number.encode(),) * 2), "track")


# -- what must stay fast ----------------------------------------------------------------------------------------------

BROWSER = {
    "timestamp": "2026-11-23T00:55:20.123Z", "integrations": {}, "type": "track", "event": "Signed Up",
    "userId": "user-1", "anonymousId": "3f0e2f5c-0e0f-4d9b-a1b0-6b4d4f7a9b11", "messageId": "ajs-next-1732320920123-0000",
    "properties": {"plan": "pro", "revenue": 12.5}, "sentAt": "2026-11-23T00:55:22.700Z", "writeKey": "wk_1",
    "_metadata": {"bundled": ["Segment.io"], "unbundled": []},
    "context": {"page": {"path": "/", "title": "Grüße"}, "userAgent": "Mozilla/5.0 (X11)", "locale": "de-AT", "timezone": "Europe/Vienna",
                "library": {"name": "analytics.js", "version": "npm:next-1.70.0"}, "active": False},
}  # fmt: skip
FAST = {
    "server SDK": track(timestamp="2026-11-23T00:55:20.123456+00:00", properties={"revenue": 5, "x": [1, {"y": None}]}),
    "browser SDK": BROWSER,
    "identify": {"type": "identify", "userId": "u", "messageId": "m", "traits": {"email": "a@example.com"}},
    "group": {"type": "group", "userId": "u", "groupId": "g", "messageId": "m", "traits": {"plan": "pro"}},
    "page": {"type": "page", "anonymousId": "a", "messageId": "m", "name": "Home", "event": None},
    "number as id": track(userId=42),
    "name with escapes": track(event="Straße 🎉 \\ \"x\"", context={"timezone": "Europe/Vienna"}),
    "unknown zone": track(context={"timezone": "Mars/Olympus", "locale": "klingon"}),
    "no time": track(timestamp=None),
}  # fmt: skip


@pytest.mark.parametrize("event", FAST.values(), ids=FAST)
@pytest.mark.parametrize("style", range(4))
def test_what_sdks_send_is_plain(event: dict, style: int) -> None:
    assert n_plain(written({"batch": [event] * 3, "sentAt": "2026-11-23T00:55:22.700Z"}, style), "batch") == 3
    assert n_plain(written(event, style), event["type"]) == 1
    check(written({"batch": [event] * 3}, style), "batch")
    check(written(event, style), event["type"])


def test_of_the_generated_events_many_are_plain() -> None:
    """Else the properties would hold the exact way against itself."""
    n_found = [0, 0]

    @given(sdk_batches, styles)
    @settings(max_examples=100, deadline=None, derandomize=True)
    def count(batch: dict, style: int) -> None:
        parsed = parse_body(written(batch, style), Route.BATCH)
        if isinstance(parsed, Parsed):
            n_found[0] += parsed.n_plain
            n_found[1] += len(parsed.events)

    count()
    assert n_found[0] > n_found[1] / 6 > 10


def test_one_odd_event_leaves_its_neighbours_plain() -> None:
    events = [track(messageId=f"m{i}", userId=f"u{i % 5}") for i in range(50)]
    events[7] = track(userId=1.5)
    events[20] = {"type": "alias", "userId": "u1", "previousId": "u2"}
    events[33] = track(userId=None)
    events[40] = 5
    body = written({"batch": events}, 0)
    assert n_plain(body, "batch") == 46
    check(body, "batch")


def test_a_full_batch_of_different_names_comes_out_as_the_exact_way_says() -> None:
    rng = random.Random(4)
    names = [f"E{rng.randrange(2_000)}" for _ in range(2_500)]
    events = [{"type": "track", "event": name, "userId": "u", "messageId": name} for name in names]
    body = written({"batch": events}, 1)
    assert n_plain(body, "batch") == 2_500
    check(body, "batch")
    check(written({"batch": [*events, events[0]]}, 1), "batch")


def test_each_kernel_is_compiled_for_one_set_of_types() -> None:
    check(written({"batch": [track(), track(messageId=...)]}, 0), "batch")
    check(written(track(), 0), "track")
    assert [len(kernel.signatures) for kernel in (_scan, _deal)] == [1, 1]


def test_an_event_takes_no_more_of_the_table_of_strings_than_there_is_room_for() -> None:
    zones = b",".join(b'"timezone":"Z%d","locale":"L%d"' % (i, i) for i in range(50))
    event = b'{"type":"track","userId":"u","messageId":"m",%s}' % b",".join(
        b'"event":"E%d","context":{%s}' % (i, zones.replace(b"Z", b"Z%d" % i)) for i in range(50)
    )
    for body, route in ((event, "track"), (b'{"batch":[%s,%s]}' % (event, event), "batch")):
        found = scan(body, ROUTES[route])
        assert found is not None
        assert len(found.strings) <= N_RESERVED + 3 * len(found.rows)
        check(body, route)


def test_a_table_of_too_few_shards_is_refused() -> None:
    parsed = parse_body(written(track(), 0), Route.TRACK)
    assert isinstance(parsed, Parsed)
    with pytest.raises(ValueError, match="partitions"):
        admit(parsed, seed=0, received_at=NOW, client_ip=None, new_message_id=str, shard_of=[0])
