from __future__ import annotations

import json
from typing import Any

import pytest

from tests.unit.whisperer.events.ingesting import ingest
from training.simulator import load_batches


def decoded(bodies: list[bytes]) -> list[dict[str, Any]]:
    return [event for body in bodies for event in json.loads(body)["batch"]]


def test_the_same_arguments_give_the_same_bytes_and_another_seed_others() -> None:
    assert list(load_batches(7, 1_200)) == list(load_batches(7, 1_200))
    assert list(load_batches(7, 1_200)) != list(load_batches(8, 1_200))


def test_message_ids_are_all_new_also_between_seeds() -> None:
    events = decoded([*load_batches(7, 5_300), *load_batches(8, 5_300)])
    assert len({e["messageId"] for e in events}) == len(events) == 10_600


def test_batches_have_the_asked_size_and_the_last_holds_the_rest() -> None:
    sizes = [len(json.loads(body)["batch"]) for body in load_batches(1, 1_050, 250)]
    assert sizes == [250] * 4 + [50]
    assert list(load_batches(1, 0)) == []


def test_events_are_about_450_bytes_and_every_one_is_accepted() -> None:
    bodies = list(load_batches(7, 5_000))
    assert 400 < sum(map(len, bodies)) / 5_000 < 500
    for body in bodies:
        ingested = ingest(body, "batch")
        assert ingested.status == 200
        assert ingested.rejected == []
        assert ingested.notices == {}


def test_users_are_drawn_evenly_and_every_mention_of_one_agrees() -> None:
    events = decoded(list(load_batches(7, 20_000, n_users=100)))
    counts = [0] * 100
    for event in events:
        counts[int(event["userId"].removeprefix("load-"))] += 1
        if event["type"] == "identify":
            assert event["traits"]["email"].split("@")[0] == event["userId"].removeprefix("load-")
    assert min(counts) > 120
    assert max(counts) < 290


def test_the_mix_holds_every_call_that_a_load_needs() -> None:
    events = decoded(list(load_batches(7, 1_000)))
    assert {e["type"] for e in events} == {"track", "page", "screen", "identify"}
    assert sum("revenue" in e.get("properties", {}) for e in events) == 50


@pytest.mark.parametrize("batch", [0, 2_501])
def test_a_batch_that_no_gateway_takes_is_refused(batch: int) -> None:
    with pytest.raises(ValueError, match="1 to 2,500"):
        next(load_batches(1, 10, batch))
