"""Read what comes back of mail that went out by SMTP: bounces (RFC 3464) and complaints (RFC 5965).

A report is posted as it arrived (``message/rfc822``) by whoever receives the bounces: a pipe of the mail server, or the
feedback loop's mailbox. Nobody signs it, so the secret address alone says that it may be believed. The message's
reference is its header :data:`HEADER`, which a report returns with the message or its headers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from email.message import Message
from typing import Any

from whisperer.delivery.mime import REFERENCE_HEADER
from whisperer.feedback.callbacks.reports import FEEDBACK_REPORT, Report, field, read_report, time_of
from whisperer.feedback.callbacks.spec import CallbackSpec, Fate, Heard, Post, Refusal, Told
from whisperer.feedback.outcome import OutcomeKind

HEADER = REFERENCE_HEADER

_STATUS = re.compile(r"([245])\.(\d{1,3})\.(\d{1,3})")
_REPLY = re.compile(r"\b([45]\d\d)\b")
_GONE_REPLIES = ("550", "551", "553")
"""Replies about the recipient (RFC 5321, 4.2.3), as when we talk to the server ourselves."""
_NO_SUCH_ADDRESS = {(1, 0), (1, 1), (1, 2), (1, 3), (1, 4), (1, 6), (1, 9), (1, 10), (2, 0), (2, 1)}
"""(subject, detail) of an enhanced code about the address: bad mailbox, bad domain, moved, disabled (RFC 3463)."""
_COMPLAINTS = {
    "abuse": OutcomeKind.COMPLAINED,
    "fraud": OutcomeKind.COMPLAINED,
    "miscategorized": OutcomeKind.COMPLAINED,
    "other": OutcomeKind.COMPLAINED,
    "virus": OutcomeKind.COMPLAINED,
    "opt-out": OutcomeKind.UNSUBSCRIBED,
    "opt-out-list": OutcomeKind.UNSUBSCRIBED,
}
"""Feedback-Type -> what it means; `not-spam` and `auth-failure` say nothing about the reader."""


def _read(post: Post, _config: Mapping[str, Any], _certificate: bytes) -> Heard | Refusal:
    report = read_report(post.body)
    if report is None:
        return Refusal(Fate.MALFORMED, "the body is no report of a mail system (RFC 3464, RFC 5965)")
    reference = "".join(report.about(HEADER).split())  # a long header may have been folded
    told = (
        _complaint(report, reference, post.now)
        if report.kind == FEEDBACK_REPORT
        else _status(report, reference, post.now)
    )
    return Heard(n_ignored=1) if told is None else Heard([told])


def _complaint(report: Report, reference: str, now: int) -> Told | None:
    fields = report.groups[0]
    kind = _COMPLAINTS.get(field(fields, "Feedback-Type").casefold())
    arrived = field(fields, "Arrival-Date") or field(fields, "Received-Date")
    return None if kind is None else Told(kind, reference, time_of(arrived, now))


def _status(report: Report, reference: str, now: int) -> Told | None:
    """Return what became of a message; of several recipients the first that something became of, as we send to one."""
    for group in report.groups:
        action = field(group, "Action").casefold()
        found = _STATUS.search(field(group, "Status"))
        code = "" if found is None else found[0]
        at = time_of(field(group, "Last-Attempt-Date"), now)
        if action == "failed":
            return Told(_failure(group, found), reference, at, code)
        if action == "delivered":
            return Told(OutcomeKind.DELIVERED, reference, at, code)
    return None


def _failure(group: Message, status: re.Match[str] | None) -> OutcomeKind:
    """Tell an address that is gone from a mailbox that did not take this message.

    Where the status says no more than "failed", the server's own words may have a better one, or its reply.
    """
    said = field(group, "Diagnostic-Code")
    if status is None or (status[1] == "5" and (int(status[2]), int(status[3])) == (0, 0)):
        status = _STATUS.search(said)
    if status is not None and (int(status[2]), int(status[3])) != (0, 0):
        is_gone = status[1] == "5" and (int(status[2]), int(status[3])) in _NO_SUCH_ADDRESS
    else:
        reply = _REPLY.search(said)
        is_gone = reply is not None and reply[1] in _GONE_REPLIES
    return OutcomeKind.BOUNCED if is_gone else OutcomeKind.SOFT_BOUNCED


SMTP = CallbackSpec("smtp", "", _read)
