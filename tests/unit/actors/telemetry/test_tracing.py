"""Which ids are taken over from a request, which are made, and what runs under them."""

from __future__ import annotations

import asyncio
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.telemetry import tracing
from actors.telemetry.tracing import MAX_CARRIED, Trace, of_headers, within

PARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


def test_both_ids_are_taken_over() -> None:
    assert of_headers("req-7", PARENT) == ("req-7", "4bf92f3577b34da6a3ce929d0e0e4736")


def test_what_is_missing_is_made_and_new_every_time() -> None:
    made, other = of_headers(None, None), of_headers(None, None)
    assert re.fullmatch("[0-9a-f]{32}", made.request_id)
    assert re.fullmatch("[0-9a-f]{32}", made.trace_id)
    assert made != other


@pytest.mark.parametrize(
    "request_id",
    [
        "", "x" * 129, "two words", "line\nbreak", "a@b.example", "sk_" + "x" * 43, "wk_abc", "op_abc", '{"a":1}', "ü",
        "<script>", "-leading", "ok\n",
    ],
)  # fmt: skip
def test_a_request_id_that_is_no_plain_short_word_is_made_anew(request_id: str) -> None:
    assert of_headers(request_id, None).request_id != request_id


@pytest.mark.parametrize(
    "parent",
    [
        "", "00", PARENT.upper(), PARENT + "-more", PARENT[:-1], "ff" + PARENT[2:],
        "00-" + "0" * 32 + "-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-" + "0" * 16 + "-01",
    ],
)  # fmt: skip
def test_a_traceparent_that_the_standard_calls_invalid_is_not_taken(parent: str) -> None:
    assert of_headers("r", parent).trace_id not in parent.lower()


def test_a_later_version_of_traceparent_may_have_more_fields() -> None:
    assert of_headers("r", "01" + PARENT[2:] + "-more").trace_id == "4bf92f3577b34da6a3ce929d0e0e4736"


@given(st.text(), st.text())
def test_whatever_is_sent_the_ids_are_short_and_plain(request_id: str, parent: str) -> None:
    trace = of_headers(request_id, parent)
    assert re.fullmatch(r"[!-~]{1,128}", trace.request_id)
    assert re.fullmatch(r"[0-9a-f]{32}", trace.trace_id)


async def test_tasks_made_inside_are_under_the_trace_and_others_are_not() -> None:
    async def seen() -> tuple[Trace, ...]:
        await asyncio.sleep(0)
        return tracing.current()

    one, two = Trace("r1", "t1"), Trace("r2", "t2")
    with within([one]):
        first = asyncio.ensure_future(seen())
        with within([two]):
            second = asyncio.ensure_future(seen())
        assert tracing.trace_id() == "t1"
    assert (await first, await second, await seen()) == ((one,), (two,), ())


def test_a_call_for_many_requests_carries_the_first_few() -> None:
    with within(Trace(f"r{n}", "t") for n in range(100)):
        assert [trace.request_id for trace in tracing.current()] == [f"r{n}" for n in range(MAX_CARRIED)]
