"""What the client is told."""

from __future__ import annotations

import json

import jsonschema
import pytest

from tests.unit.whisperer.events.ingesting import ingest, track
from whisperer.events.answer import answer, problem
from whisperer.events.refusals import STATUS, Code, Refusal

PROBLEM = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "code", "message", "errors"],
    "properties": {
        "type": {"type": "string", "format": "uri"},
        "title": {"type": "string", "minLength": 3},
        "status": {"type": "integer"},
        "detail": {"type": "string", "minLength": 3},
        "instance": {"type": "string"},
        "errors": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "required": ["pointer", "code", "message"],
                "properties": {"pointer": {"type": "string", "pattern": "^(/.*)?$"}},
            },
        },
    },
}


def test_success_is_exactly_success_where_nothing_was_rejected() -> None:
    assert answer(ingest(track()).result) == (200, {"success": True})
    assert answer(ingest({"batch": [track(), track()]}, "batch").result) == (200, {"success": True})


def test_success_lists_what_was_rejected() -> None:
    got = ingest({"batch": [track(), track(event=..., messageId="m7"), track(), track(userId=...)]}, "batch")
    assert got.body == {
        "success": True,
        "accepted": 2,
        "rejected": [
            {"index": 1, "messageId": "m7", "code": "missing_event", "message": "track needs the name of the event"},
            {
                "index": 3,
                "messageId": "m1",
                "code": "missing_identity",
                "message": "an event needs a userId or an anonymousId",
            },
        ],
    }


def test_a_single_event_rejected_is_a_problem_of_its_code() -> None:
    got = ingest(track(userId={"a": 1}))
    jsonschema.validate(got.body, PROBLEM)
    assert got.body == {
        "type": "urn:user-whisperer:problem:invalid_type",
        "title": "Bad Request",
        "status": 400,
        "detail": "userId must be a string or a number",
        "instance": "/v1/track",
        "code": "invalid_type",
        "message": "userId must be a string or a number",
        "errors": [{"pointer": "/userId", "code": "invalid_type", "message": "userId must be a string or a number"}],
    }


def test_a_batch_rejected_whole_lists_its_events_and_points_at_each() -> None:
    got = ingest({"batch": [track(event=...), track(userId=True)]}, "batch")
    jsonschema.validate(got.body, PROBLEM)
    assert (got.status, got.code, got.body["accepted"]) == (400, "all_events_rejected", 0)
    assert [one["index"] for one in got.body["rejected"]] == [0, 1]
    assert [one["pointer"] for one in got.body["errors"]] == ["/batch/0/event", "/batch/1/userId"]


@pytest.mark.parametrize("code", Code)
def test_every_refusal_is_a_problem_with_its_status(code: Code) -> None:
    status, body = answer(Refusal(code, "something is wrong"))
    jsonschema.validate(body, PROBLEM)
    assert status == body["status"] == STATUS[code]
    assert body["code"] == code.value
    assert "instance" not in body
    assert problem(Refusal(code, "x"), instance="/v1/t")["instance"] == "/v1/t"


def test_rejects_found_at_different_steps_keep_their_places_and_leave_the_others_whole() -> None:
    padded = track(properties={"pad": "x" * 33_000})
    events = [5, track(event=..., userId="lost"), padded, {"type": "page", "userId": "p"}, {"type": "page"},
              {"type": "alias", "userId": "a", "previousId": "b"}, track(userId=True), track(anonymousId="x")]  # fmt: skip
    got = ingest({"batch": events}, "batch")
    assert got.rejected == [
        (0, "invalid_type"),
        (1, "missing_event"),
        (2, "event_too_large"),
        (4, "missing_identity"),
        (6, "invalid_type"),
    ]
    assert sorted((one.name, one.key, one.link, json.loads(one.payload)["userId"]) for one in got.events) == [
        ("$alias", "u:a", "u:b", "a"),
        ("$page", "u:p", None, "p"),
        ("Signed Up", "u:u1", "a:x", "u1"),
    ]
