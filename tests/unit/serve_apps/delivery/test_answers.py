"""Answers over HTTP: one table, whatever the provider and whatever it says."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from serve_apps.delivery.admission import MayLeave
from serve_apps.delivery.answers import Fault, document, form_of, receipt_of
from serve_apps.delivery.exchange import Answer
from serve_apps.delivery.resending import Resending
from tests.unit.whisperer.delivery.dispatches import dispatch
from whisperer.delivery.dispatch import Dispatch, Receipt, Verdict

FAULTS = {fault.value: fault for fault in Fault}
MEANT = {
    Fault.ADDRESS: Verdict.BOUNCED,
    Fault.MESSAGE: Verdict.REJECTED,
    Fault.ACCOUNT: Verdict.RETRY,
    Fault.BUSY: Verdict.RETRY,
}


def read(status: int, code: str = "", headers: dict[str, str] | None = None) -> Receipt:
    answer = Answer(status, headers or {}, b"words")
    return receipt_of(dispatch(), "sendgrid", answer, 0, FAULTS, provider_id="id-1", code=code)


@given(st.integers(100, 599), st.sampled_from(["", "other", *FAULTS]))
def test_an_answer_means_one_thing_and_says_no_more_than_its_numbers(status: int, code: str) -> None:
    receipt = read(status, code)
    unclear = status < 200 or (status >= 500 and status != 503)
    if 200 <= status < 300:
        assert (receipt.status, receipt.provider_id, receipt.detail) == (Verdict.ACCEPTED, "id-1", "")
    elif unclear:
        assert (receipt.status, receipt.repeatable) == (Verdict.UNKNOWN, False)
    elif code in FAULTS:
        assert receipt.status == MEANT[FAULTS[code]]
    else:
        assert receipt.status in (Verdict.RETRY, Verdict.REJECTED)
    assert "words" not in receipt.detail
    assert receipt.provider_id == ("id-1" if receipt.status == Verdict.ACCEPTED else "")
    if receipt.status != Verdict.ACCEPTED:
        assert receipt.detail.startswith(f"the provider answered {status}" + (f" {code}" if code else ""))


@pytest.mark.parametrize("status", [401, 402, 403, 404, 405, 301, 307])
def test_what_is_about_the_account_says_so_and_is_tried_again(status: int) -> None:
    receipt = read(status)
    assert receipt.status == Verdict.RETRY
    assert "about the account" in receipt.detail


@pytest.mark.parametrize("status", [429, 503, 408, 425])
def test_who_is_busy_says_when_to_come_back(status: int) -> None:
    assert read(status, headers={"retry-after": "90"}).retry_after_s == 90
    assert read(status, headers={"retry-after": "soon"}).retry_after_s is None
    assert read(400, "busy", {"retry-after": "90"}).retry_after_s == 90


@given(st.binary(max_size=200) | st.sampled_from([b'{"a": 1}', b"[1]", b'"x"', b"[" * 5_000, b"\xff"]))
def test_any_body_is_read_as_an_object_or_as_an_empty_one(body: bytes) -> None:
    assert isinstance(document(Answer(400, {}, body)), dict)


@given(st.none() | st.booleans() | st.integers() | st.text() | st.lists(st.text()))
def test_a_code_has_its_form_or_is_none(value: object) -> None:
    form = re.compile(r"[1-9][0-9]{4}")
    found = form_of(value, form)
    assert found == "" or form.fullmatch(found)
    assert form_of(21_610, form) == form_of("21610", form) == "21610"


class Answering:
    """A provider that answers with a status."""

    def __init__(self, status: Verdict) -> None:
        self.status, self.is_closed = status, False

    async def send(self, dispatch: Dispatch, may_leave: MayLeave | None = None) -> Receipt:
        return Receipt(dispatch.send_key, self.status)

    async def aclose(self) -> None:
        self.is_closed = True


@pytest.mark.parametrize("status", Verdict)
async def test_by_choice_what_is_unknown_is_repeated_and_nothing_else(status: Verdict) -> None:
    inner = Answering(status)
    resending = Resending(inner)
    receipt = await resending.send(dispatch())
    assert receipt == Receipt(dispatch().send_key, status, repeatable=status == Verdict.UNKNOWN)
    await resending.aclose()
    assert inner.is_closed
