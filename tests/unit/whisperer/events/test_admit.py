"""What an accepted event becomes: key, link, name, flags, payload."""

from __future__ import annotations

import json

import pytest

from tests.unit.whisperer.events.ingesting import NOW, SEED, SHARD_OF, ingest, track
from whisperer.events.admit import admit
from whisperer.events.block import connection_ip, keys_of, link_of
from whisperer.events.parse import Parsed, parse_body
from whisperer.events.parts import BlockPart, merge
from whisperer.events.routes import ROUTES, Route
from whisperer.events.types import EventType, Flag
from whisperer.ids import N_PARTITIONS, message_hash, partition_of


@pytest.mark.parametrize(
    ("given", "key"),
    [
        ("u1", "u:u1"),
        (0, "u:0"),
        (12, "u:12"),
        (-7, "u:-7"),
        (12.0, "u:12"),
        (12.5, "u:12.5"),
        (123456789012345678901234567890, "u:123456789012345678901234567890"),
        (1e300, "u:1e+300"),
        (" ", "u: "),
        ("Zoë 🎉", "u:Zoë 🎉"),
        ("a:b", "u:a:b"),
        ("' OR 1=1 --", "u:' OR 1=1 --"),
        ("\u0000", "u:\u0000"),
    ],
)
def test_an_id_becomes_a_key_and_numbers_become_text(given: object, key: str) -> None:
    assert ingest(track(userId=given)).only.key == key
    assert ingest(track(userId=None, anonymousId=given)).only.key == "a:" + key[2:]


def test_numbers_written_differently_are_the_same_user() -> None:
    keys = {ingest(b'{"event":"E","userId":%s}' % text).only.key for text in (b"1000", b"1e3", b"1000.0", b"1E+3")}
    assert keys == {"u:1000"}


@pytest.mark.parametrize("number", [b"1e999", b"9" * 5_000])
def test_a_number_no_machine_holds_is_no_id_but_a_fine_property(number: bytes) -> None:
    assert ingest(b'{"event":"E","userId":' + number + b"}").code == "invalid_type"
    body = b'{"event":"E","userId":"u","properties":{"n":' + number + b"}}"
    assert ingest(body).only.payload == body


def test_the_user_id_wins_and_the_anonymous_id_is_linked() -> None:
    event = ingest(track(userId="u1", anonymousId="x")).only
    assert (event.key, event.link, event.flags) == ("u:u1", "a:x", Flag.LINK)
    event = ingest(track(userId=7, anonymousId=9)).only
    assert (event.key, event.link) == ("u:7", "a:9")
    for user in ("", None):
        event = ingest(track(userId=user, anonymousId="x")).only
        assert (event.key, event.link, event.flags) == ("a:x", None, 0)
    event = ingest(track(anonymousId="")).only
    assert (event.key, event.link, event.flags) == ("u:u1", None, 0)


def test_links_point_at_their_events_in_every_shard() -> None:
    events = [track(userId=f"u{i}", anonymousId=f"x{i}" if i % 3 else None, messageId=f"m{i}") for i in range(60)]
    got = ingest({"batch": events}, "batch")
    assert len({one.shard for one in got.events}) == 3
    assert {one.key: one.link for one in got.events} == {f"u:u{i}": f"a:x{i}" if i % 3 else None for i in range(60)}


def test_an_event_lies_in_the_partition_of_its_key_and_that_partition_in_its_shard() -> None:
    got = ingest({"batch": [track(userId=f"ü{i}") for i in range(300)]}, "batch")
    for event in got.events:
        assert event.partition == partition_of(event.key, SEED)
        assert event.shard == SHARD_OF[event.partition]


def test_order_within_a_user_is_the_order_of_the_batch() -> None:
    got = ingest({"batch": [track(userId=f"u{i % 7}", messageId=str(i)) for i in range(200)]}, "batch")
    for user in range(7):
        ids = [int(one.message_id) for one in got.events if one.key == f"u:u{user}"]
        assert ids == sorted(ids)


class TestAlias:
    def test_ties_the_previous_id_to_the_new_one(self) -> None:
        event = ingest({"userId": "new", "previousId": "old", "anonymousId": "x"}, "alias").only
        assert (event.key, event.link, event.flags, event.name) == ("u:new", "u:old", Flag.LINK, "$alias")
        event = ingest({"userId": 2, "previousId": 1}, "alias").only
        assert (event.key, event.link) == ("u:2", "u:1")

    @pytest.mark.parametrize(("user", "previous"), [("u", "u"), (1, "1"), (1, 1.0)])
    def test_to_itself_is_harmless(self, user: object, previous: object) -> None:
        event = ingest({"userId": user, "previousId": previous, "anonymousId": "x"}, "alias").only
        assert (event.link, event.flags) == (None, 0)

    @pytest.mark.parametrize(
        ("event", "pointer"),
        [
            ({"userId": "u"}, "/previousId"),
            ({"userId": "u", "previousId": ""}, "/previousId"),
            ({"userId": "u", "previousId": None}, "/previousId"),
            ({"previousId": "p"}, "/userId"),
            ({"anonymousId": "x", "previousId": "p"}, "/userId"),
        ],
    )
    def test_needs_both_ids(self, event: dict, pointer: str) -> None:
        got = ingest(event, "alias")
        assert (got.status, got.code, got.body["errors"][0]["pointer"]) == (400, "missing_identity", pointer)

    def test_refuses_a_previous_id_of_the_wrong_type(self) -> None:
        assert ingest({"userId": "u", "previousId": {}}, "alias").code == "invalid_type"


class TestTraits:
    @pytest.mark.parametrize(
        ("kind", "members", "carries"),
        [
            ("identify", {"traits": {"a": 1}}, True),
            ("identify", {"context": {"traits": {"a": 1}}}, True),
            ("identify", {"traits": {}, "context": {"traits": {"a": None}}}, True),
            ("identify", {"traits": {}}, False),
            ("identify", {"traits": None, "context": {"traits": {}}}, False),
            ("identify", {}, False),
            ("group", {"traits": {"plan": "pro"}, "groupId": "g"}, True),
            ("group", {"context": {"traits": {"a": 1}}, "groupId": "g"}, False),
            ("track", {"context": {"traits": {"a": 1}}}, False),
            ("track", {"traits": {"a": 1}}, False),
        ],
    )
    def test_are_flagged_where_the_event_states_any(self, kind: str, members: dict, carries: bool) -> None:
        event = ingest({"userId": "u", "event": "E"} | members, kind).only
        assert bool(event.flags & Flag.TRAITS) is carries

    def test_that_are_empty_but_spaced_are_still_empty(self) -> None:
        assert ingest(b'{"userId":"u","traits":{ \n }}', "identify").only.flags == 0

    def test_of_the_wrong_type_are_refused(self) -> None:
        assert ingest({"userId": "u", "traits": [1]}, "identify").code == "invalid_type"
        got = ingest({"userId": "u", "context": {"traits": "x"}}, "identify")
        assert (got.code, got.body["errors"][0]["pointer"]) == ("invalid_type", "/context/traits")


def test_context_active_false_and_nothing_else_marks_an_event_inactive() -> None:
    for active, inactive in ((False, True), (True, False), (None, False), ("false", False), (0, False)):
        event = ingest(track(context={"active": active})).only
        assert bool(event.flags & Flag.INACTIVE) is inactive


@pytest.mark.parametrize(
    ("zone", "locale", "stored", "notices"),
    [
        ("Europe/Vienna", "de-AT", ("Europe/Vienna", "de-AT"), {}),
        ("Mars/Olympus", "de-AT", ("", "de-AT"), {"unknown_time_zone": 1}),
        ("UTC", "klingon", ("UTC", ""), {"unknown_locale": 1}),
        ("../../etc/passwd", "", ("", ""), {"unknown_time_zone": 1}),
        (5, True, ("", ""), {"unknown_time_zone": 1, "unknown_locale": 1}),
        ({}, ["de"], ("", ""), {"unknown_time_zone": 1, "unknown_locale": 1}),
        (None, None, ("", ""), {}),
        ("", "", ("", ""), {}),
    ],
)
def test_an_unknown_zone_or_locale_is_ignored_and_counted(zone, locale, stored, notices) -> None:
    got = ingest(track(context={"timezone": zone, "locale": locale}))
    assert (got.only.zone, got.only.locale) == stored
    assert got.notices == notices


@pytest.mark.parametrize("path", sorted(ROUTES))
def test_every_path_gives_its_type_whatever_the_body_says(path: str) -> None:
    event = track(type="nonsense", previousId="p")
    if ROUTES[path].is_batch:
        got = ingest({"batch": [event | {"type": "screen"}]}, path)
        assert got.only.kind == EventType.SCREEN
    else:
        got = ingest(event, path)
        assert EventType(got.only.kind).wire == ROUTES[path].value
    assert bool(got.only.flags & Flag.HISTORICAL) == (path == "import")


def test_the_short_paths_are_the_browsers() -> None:
    assert {short: ROUTES[short].value for short in "tipsgab"} == {
        "t": "track", "i": "identify", "p": "page", "s": "screen", "g": "group", "a": "alias", "b": "batch",
    }  # fmt: skip


def test_calls_other_than_track_are_counted_under_reserved_names() -> None:
    for kind in ("identify", "page", "screen", "group"):
        event = ingest({"userId": "u", "name": "Home", "event": ["unused"]}, kind).only
        assert event.name == f"${kind}"


@pytest.mark.parametrize("given", [..., None, ""])
def test_a_message_id_is_made_where_there_is_none(given: object) -> None:
    event = ingest(track(messageId=given)).only
    assert event.message_id == "generated-0"
    assert event.hash == message_hash("generated-0")


def test_a_message_id_of_99_characters_is_kept_with_its_hash() -> None:
    event = ingest(track(messageId="é" * 99)).only
    assert (event.message_id, event.hash) == ("é" * 99, message_hash("é" * 99))


def test_the_payload_is_the_clients_own_bytes() -> None:
    one = b'{ "event" : "E",\t"userId":"\\u0075" , "properties":{"__class__":1,"a":1.50,"a":1E2,"<b>":"\\/"} }'
    assert ingest(one).only.payload == one
    assert ingest(b"\n " + one + b" \r\n").only.payload == one
    two = one.replace(b"{ ", b'{"type":"track",', 1)
    got = ingest(b'{"batch":[ ' + two + b" ,\n" + two + b"]}", "batch")
    assert [event.payload for event in got.events] == [two, two]


@pytest.mark.parametrize(
    "text",
    ["__class__", "__proto__", "'; DROP TABLE users; --", "<script>alert(1)</script>", "{{7*7}}", "../../x", "\u202e\ufeff",
     "ﷺ", "Ω≈ç√∫", "👩‍👩‍👧‍👦", "\u0000", "null", "NaN", "1e999", "$where", "a.b[0]", " ", "", "\\ud83c", "%s%n", "C:\\u"],
)  # fmt: skip
def test_naughty_strings_come_back_unchanged(text: str) -> None:
    event = track(properties={text: text, "l": [{text: [text]}]}, context={text: text})
    for as_ascii in (True, False):
        got = ingest(json.dumps(event, ensure_ascii=as_ascii).encode())
        assert json.loads(got.only.payload) == event


def parts_of(*requests: tuple[list[dict], str | None]) -> list[BlockPart]:
    """What some batches, of these events and from these addresses, bring for one shard; a millisecond between them."""
    parts = []
    for i, (events, ip) in enumerate(requests):
        parsed = parse_body(json.dumps({"batch": events}).encode(), Route.BATCH)
        assert isinstance(parsed, Parsed)
        outcome = admit(
            parsed, seed=SEED, received_at=NOW + i, client_ip=ip, new_message_id=str, shard_of=[0] * N_PARTITIONS
        )
        parts.append(outcome.parts[0])
    return parts


def test_the_connections_address_stands_beside_the_events() -> None:
    parts = parts_of(([track()] * 2, "192.0.2.1"), ([track()], None), ([track()] * 3, "2001:db8::1"))
    block = merge("tn_test", parts)
    assert [connection_ip(block, i) for i in range(6)] == ["192.0.2.1"] * 2 + [None] + ["2001:db8::1"] * 3


def test_requests_add_up_in_one_block() -> None:
    block = merge(
        "tn_test", parts_of(*[([track(userId=f"u{i}", anonymousId=f"x{i}", event=f"E{i}")], None) for i in range(3)])
    )
    assert keys_of(block) == ["u:u0", "u:u1", "u:u2"]
    assert [link_of(block, i) for i in range(3)] == ["a:x0", "a:x1", "a:x2"]
    assert [block.names[row["name"]] for row in block.events()] == ["E0", "E1", "E2"]
    assert block.received_at == NOW + 2


def test_a_shards_part_names_only_what_its_own_events_hold() -> None:
    events = [
        track(userId=f"u{i}", event=f"E{i}", context={"timezone": "UTC" if i % 2 else "Europe/Vienna"})
        for i in range(60)
    ]
    for block in ingest({"batch": events}, "batch").blocks.values():
        rows = block.events()
        assert sorted(block.names) == sorted({block.names[code] for code in rows["name"]})
        assert len(block.names) == len(block) < 60
        assert block.zones[0] == ""
