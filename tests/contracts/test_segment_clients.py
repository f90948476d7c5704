"""Requests captured from official Segment SDKs, replayed: every event is accepted, under the right user and name."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import pytest

from whisperer.events.admit import admit
from whisperer.events.answer import answer
from whisperer.events.block import EventBlock, Payloads, columns_of, keys_of, link_of, message_id_of
from whisperer.events.clock import instant
from whisperer.events.decompress import decompress
from whisperer.events.parse import Parsed, parse_body
from whisperer.events.parts import BlockPart, merge
from whisperer.events.routes import ROUTES
from whisperer.events.traits import traits_of
from whisperer.events.types import EventType, Flag
from whisperer.events.write_key import presented_key
from whisperer.ids import N_PARTITIONS, message_hash, partition_of, tenant_seed

SHARED = Path(os.environ.get("USER_WHISPERER_SHARED", Path(__file__).parents[2] / "../shared"))
CAPTURES = sorted((SHARED / "contracts/clients").glob("segment-*.json"))
SEED = tenant_seed("tn_contract")

pytestmark = pytest.mark.skipif(not CAPTURES, reason="no captured requests: set USER_WHISPERER_SHARED to their folder")

U1, ANON = "u:u1", "a:anon-1"
SERVER_SIDE = [  # what the Python and Node captures did, in this order
    ("identify", U1, "$identify", None),
    ("track", U1, "Order Completed", None),
    ("page", U1, "$page", None),
    ("screen", ANON, "$screen", None),
    ("group", U1, "$group", None),
    ("alias", U1, "$alias", "u:anon-1"),
]
EXPECTED = {
    "segment-py.ok": [
        *SERVER_SIDE,
        ("track", "u:12345", "Numeric Id", None),
        ("track", U1, "Given message id", None),
    ],
    "segment-py.gzip.ok": [
        *SERVER_SIDE,
        ("track", "u:12345", "Numeric Id", None),
        ("track", U1, "Given message id", None),
    ],
    "segment-node.ok": [*SERVER_SIDE, ("track", U1, "Given", None)],
    "segment-py-legacy.ok": [SERVER_SIDE[0], SERVER_SIDE[1], SERVER_SIDE[5]],
    "segment-browser.batching.ok": [
        ("page", "a:1cc394c7-f05b-4abf-826a-5dc77e9ed7ce", "$page", None),
        ("identify", U1, "$identify", "a:1cc394c7-f05b-4abf-826a-5dc77e9ed7ce"),
        ("track", U1, "Order Completed", "a:1cc394c7-f05b-4abf-826a-5dc77e9ed7ce"),
        ("group", U1, "$group", "a:1cc394c7-f05b-4abf-826a-5dc77e9ed7ce"),
        ("alias", U1, "$alias", None),  # the browser SDK aliases u1 to itself
    ],
    "segment-browser.standard.ok": [
        ("page", "a:e02d580e-3129-4cd4-a7b6-c49c5dc272d4", "$page", None),
        ("identify", U1, "$identify", "a:e02d580e-3129-4cd4-a7b6-c49c5dc272d4"),
        ("track", U1, "Order Completed", "a:e02d580e-3129-4cd4-a7b6-c49c5dc272d4"),
        ("group", U1, "$group", "a:e02d580e-3129-4cd4-a7b6-c49c5dc272d4"),
        ("alias", U1, "$alias", None),
    ],
}


def posts(capture: Path) -> list[tuple[str, dict[str, str], bytes]]:
    """(last part of the path, headers in lower case, body) of each request that is not a preflight."""
    requests = json.loads(capture.read_text())["requests"]
    found = []
    for request in requests:
        method, path, _ = request["request_line"].split()
        if method == "POST":
            headers = {name.lower(): value for name, value in request["headers"]}
            found.append((path.rpartition("/")[2], headers, base64.b64decode(request["body_b64"])))
    return found


def sent_at(body: bytes) -> int:
    moment = instant(json.loads(body)["sentAt"])
    assert moment is not None
    return moment


def replay(capture: Path) -> tuple[EventBlock, list[dict]]:
    """The captured requests through the whole of ingestion, received 40 ms after they were sent."""
    parts: list[BlockPart] = []
    sent: list[dict] = []
    for name, headers, raw in posts(capture):
        body = decompress(raw)
        assert isinstance(body, bytes)
        parsed = parse_body(body, ROUTES[name])
        assert isinstance(parsed, Parsed)
        assert presented_key(headers.get("authorization"), parsed.write_key) == "wk_test"
        assert presented_key(None, parsed.write_key) in ("wk_test", None)  # the legacy SDK has it in the header only
        outcome = admit(
            parsed,
            seed=SEED,
            received_at=sent_at(body) + 40,
            client_ip="127.0.0.1",
            new_message_id=lambda: pytest.fail("every SDK sends a messageId"),
            shard_of=[0] * N_PARTITIONS,
        )
        assert answer(outcome) == (200, {"success": True})
        assert not outcome.notices
        parts.append(outcome.parts[0])
        document = json.loads(body)
        sent += document.get("batch", [document])
    return merge("tn_contract", parts), sent


@pytest.fixture(params=CAPTURES, ids=lambda path: path.stem)
def replayed(request: pytest.FixtureRequest) -> tuple[str, EventBlock, list[dict]]:
    return request.param.stem, *replay(request.param)


def test_every_capture_has_its_expectation() -> None:
    assert {path.stem for path in CAPTURES} == set(EXPECTED)


def test_each_call_arrives_as_its_kind_under_its_user_with_its_name_and_its_link(replayed) -> None:
    capture, block, _ = replayed
    links = [link_of(block, i) for i in range(len(block))]
    keys = keys_of(block)
    columns = columns_of(block)
    arrived = [
        (EventType(columns.kind[i]).wire, keys[i], block.names[columns.name[i]], links[i]) for i in range(len(block))
    ]
    assert arrived == EXPECTED[capture]
    assert [bool(flags & Flag.LINK) for flags in columns.flags] == [link is not None for link in links]
    assert columns.partition.tolist() == [partition_of(key, SEED) for key in keys]


def test_what_the_sdk_sent_is_stored_with_its_ids_times_and_revenue(replayed) -> None:
    _, block, sent = replayed
    columns = columns_of(block)
    payloads = Payloads(block)
    for i, event in enumerate(sent):
        assert json.loads(payloads[i]) == event
        assert message_id_of(block, i) == event["messageId"]
        assert columns.message_hash[i].tobytes() == message_hash(event["messageId"])
        assert columns.timestamp[i] == instant(event["timestamp"])
        assert columns.revenue[i] == round(event.get("properties", {}).get("revenue", 0) * 1_000_000)
        assert block.locales[columns.locale[i]] == event["context"].get("locale", "")
        assert block.zones[columns.zone[i]] == event["context"].get("timezone", "")


def test_identify_brings_the_traits_and_group_does_not(replayed) -> None:
    _, block, sent = replayed
    columns = columns_of(block)
    payloads = Payloads(block)
    for i, event in enumerate(sent):
        traits = traits_of(payloads[i], int(columns.kind[i]))
        stated = event["traits"] if event["type"] == "identify" else {}
        assert {name: json.loads(bytes(value)) for name, value in traits.items()} == stated
        assert bool(columns.flags[i] & Flag.TRAITS) == (event["type"] in ("identify", "group"))
