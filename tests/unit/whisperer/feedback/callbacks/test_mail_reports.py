"""Reports of mail systems: bounces (RFC 3464) and complaints (RFC 5965)."""

from __future__ import annotations

from email.message import EmailMessage

import pytest

from tests.unit.registries.callback_peers import NOW, bounce, complaint, post
from whisperer.feedback.callbacks.smtp import SMTP
from whisperer.feedback.callbacks.spec import Fate, Heard, Refusal

REFERENCE = "r" + "Ab_-9" * 50


def read(body: bytes) -> Heard:
    found = SMTP.read(post(body), {}, b"")
    assert isinstance(found, Heard), found
    return found


def kinds(body: bytes) -> list[str]:
    return [str(one.kind) for one in read(body).told]


@pytest.mark.parametrize(
    ("status", "diagnostic", "means"),
    [
        ("5.1.1", "smtp; 550 5.1.1 no such user", "bounced"),
        ("5.1.2", "", "bounced"),
        ("5.1.10", "", "bounced"),
        ("5.2.1", "smtp; 550 disabled", "bounced"),
        ("5.2.2", "smtp; 552 5.2.2 mailbox full", "soft_bounced"),
        ("5.7.1", "smtp; 550 5.7.1 blocked by policy", "soft_bounced"),
        ("4.4.7", "smtp; 451 try later", "soft_bounced"),
        ("4.1.1", "", "soft_bounced"),
        ("5.0.0", "smtp; 550 no such user", "bounced"),
        ("5.0.0", "smtp; 550-5.1.1 The email account does not exist", "bounced"),
        ("5.0.0", "smtp; 550 5.7.1 blocked", "soft_bounced"),
        ("5.0.0", "smtp; 552 too much", "soft_bounced"),
        ("5.0.0", "x-unix; unknown", "soft_bounced"),
        ("nonsense", "smtp; 553 no", "bounced"),
        ("", "", "soft_bounced"),
    ],
)
def test_an_address_that_is_gone_is_told_from_a_mailbox_that_did_not_take_it(
    status: str, diagnostic: str, means: str
) -> None:
    assert kinds(bounce(REFERENCE, status, diagnostic=diagnostic)) == [means]


@pytest.mark.parametrize(
    ("action", "means"), [("delivered", ["delivered"]), ("delayed", []), ("relayed", []), ("", [])]
)
def test_only_what_is_final_is_taken(action: str, means: list[str]) -> None:
    assert kinds(bounce(REFERENCE, "2.0.0", action)) == means


def test_the_reference_is_read_however_its_header_was_folded() -> None:
    assert read(bounce(REFERENCE)).told[0].reference == REFERENCE
    assert read(bounce(REFERENCE[:70] + "\r\n " + REFERENCE[70:])).told[0].reference == REFERENCE


@pytest.mark.parametrize(
    ("kind", "means"),
    [
        ("abuse", ["complained"]),
        ("fraud", ["complained"]),
        ("Virus", ["complained"]),
        ("opt-out", ["unsubscribed"]),
        ("not-spam", []),
        ("auth-failure", []),
    ],
)
def test_each_kind_of_feedback_means_what_it_should(kind: str, means: list[str]) -> None:
    assert kinds(complaint(REFERENCE, kind)) == means


def test_a_complaint_is_of_when_its_mail_arrived_and_never_of_later_than_now() -> None:
    [told] = read(complaint(REFERENCE)).told
    assert told.at == NOW - 3_600_000
    late = complaint(REFERENCE).replace(b"2026 09:00:00", b"2036 09:00:00")
    assert read(late).told[0].at == NOW


def test_a_report_about_a_mail_that_was_returned_whole_is_read() -> None:
    returned = b"Content-Type: message/rfc822\r\n\r\nX-Whisperer-Reference: r1\r\nSubject: x\r\n\r\nbody"
    start = bounce("r0").index(b"Content-Type: text/rfc822-headers")
    whole = bounce("r0")[:start] + returned + b"\r\n--BB/mail--\r\n"
    assert read(whole).told[0].reference == "r1"


def test_a_report_that_returns_nothing_refers_to_nothing() -> None:
    start = bounce("r0").index(b"--BB/mail\r\nContent-Type: text/rfc822-headers")
    assert read(bounce("r0")[:start] + b"--BB/mail--\r\n").told[0].reference == ""


def test_a_mail_that_only_quotes_a_report_is_none() -> None:
    mail = EmailMessage()
    mail["Subject"] = "out of office"
    mail.set_content(bounce("r0").decode())
    found = SMTP.read(post(mail.as_bytes()), {}, b"")
    assert isinstance(found, Refusal)
    assert found.fate == Fate.MALFORMED


def test_what_the_returned_mail_says_of_itself_is_no_report() -> None:
    inner = (
        b"Content-Type: message/delivery-status\r\n\r\nFinal-Recipient: rfc822; eve@example.com\r\nAction: failed\r\n"
    )
    whole = b"Content-Type: multipart/report; boundary=a\r\n\r\n--a\r\nContent-Type: message/rfc822\r\n\r\n" + inner
    assert isinstance(SMTP.read(post(whole + b"\r\n--a--\r\n"), {}, b""), Refusal)
