"""Whom an e-mail names as its sender: what may be written there, and what of it reaches a mailbox."""

from __future__ import annotations

from email import message_from_bytes
from email.header import decode_header, make_header
from email.policy import compat32, default
from email.utils import getaddresses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.whisperer.delivery.dispatches import dispatch
from whisperer.delivery.mime import build_email
from whisperer.delivery.senders import (
    MAX_NAME_CHARS,
    MAX_REPLY_TO_CHARS,
    Unfit,
    from_of,
    name_problem,
    reply_to_of,
    reply_to_problem,
)

CHANNEL = "Ada from Example <hello@example.com>"
GOOD = [
    "Acme",
    "Acme, Inc.",
    'Ada "the first" Lovelace',
    "Ada <3 you",
    "O'Hara & Söhne (Köln); Co: [x] \\ y",
    "محمد من أكمي",
    "דנה מאקמי",
    "\u200eאקמי\u200e",
    "株式会社アクメ",
    "👩\u200d💻 Ada 🏴\U000e0067\U000e0062\U000e007f",
    "Zoë\u0301 नमस्ते",
    "=?utf-8?q?a=0D=0ABcc:_evil=40example.com?=",
    "hello@",
    "x" * MAX_NAME_CHARS,
    "é" * MAX_NAME_CHARS,
    "𝕏" * MAX_NAME_CHARS,
]
BAD = [
    ("", "empty"),
    ("   ", "empty"),
    ("\u200b\u200e\ufeff", "empty"),
    ("a\r\nBcc: evil@example.com", "invalid_text"),
    ("a\n", "invalid_text"),
    ("a\rb", "invalid_text"),
    ("a\tb", "invalid_text"),
    ("a\0b", "invalid_text"),
    ("a\x0bb", "invalid_text"),
    ("a\x1cb", "invalid_text"),
    ("a\x7fb", "invalid_text"),
    ("a\x85b", "invalid_text"),
    ("a\u2028b", "invalid_text"),
    ("a\u2029b", "invalid_text"),
    ("a\ud800b", "invalid_text"),
    ("\u202emca", "invalid_text"),
    ("a\u2066b", "invalid_text"),
    ("{{ traits.manager }} at Acme", "invalid_text"),
    ("{% if x %}Acme{% endif %}", "invalid_text"),
    ("x" * (MAX_NAME_CHARS + 1), "too_long"),
    ("x" * 10_000, "too_long"),
    ("\r\n" * 10_000, "too_long"),
    ("Ada <ada@example.com>", "not_a_name"),
    ("ada@example.com", "not_a_name"),
]


def mailbox(raw: bytes, header: str) -> tuple[str, str]:
    """The one mailbox of a header as a mail program reads it: nothing stands between two encoded words (RFC 2047, 6.2),
    which Python's newer parser of addresses does not know."""
    [(name, address)] = getaddresses([str(message_from_bytes(raw, policy=compat32)[header])])
    return str(make_header(decode_header(name))), address


def code(problem: Unfit | None) -> str:
    return "" if problem is None else problem.code


@pytest.mark.parametrize("name", GOOD, ids=range(len(GOOD)))
def test_a_name_reaches_its_reader_as_it_was_written(name: str) -> None:
    assert name_problem(name) is None
    raw = build_email(dispatch(from_name=name), CHANNEL, 0)
    assert raw.isascii()
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    assert mailbox(raw, "From") == (name, "hello@example.com")


@pytest.mark.parametrize(("name", "expected"), BAD, ids=range(len(BAD)))
def test_a_name_that_could_be_anything_but_a_name_is_refused(name: str, expected: str) -> None:
    problem = name_problem(name)
    assert problem is not None
    assert problem.code == expected
    assert len(problem.message) < 200


@pytest.mark.parametrize("name", [name for name in GOOD if "<" not in name])
def test_where_answers_go_may_have_a_name_too(name: str) -> None:
    text = f"{name} <help@example.org>"
    if name.strip('"') == name:
        assert reply_to_problem(text) is None
    raw = build_email(dispatch(reply_to=text), CHANNEL, 0, "channel@example.com")
    assert mailbox(raw, "Reply-To") == (name, "help@example.org")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("help@example.com", ""),
        ("<help@example.com>", ""),
        (" help@example.com ", ""),
        ("Hilfe <help@bücher.example>", ""),
        ("", "invalid_address"),
        ("nobody", "invalid_address"),
        ("Ada <ada@example.com", "invalid_address"),
        ("ada@localhost", "invalid_address"),
        ("a@example.com, b@example.com", "invalid_address"),
        ("A <a@example.com>, B <b@example.com>", "invalid_address"),
        ("help@example.com\r\nBcc: evil@example.com", "invalid_text"),
        ("Ada\u2028 <help@example.com>", "invalid_text"),
        ("\u202eAda <help@example.com>", "invalid_text"),
        ("{{ traits.manager }} <help@example.com>", "invalid_text"),
        ("{{ traits.mail }}", "invalid_address"),
        (f"{'x' * (MAX_NAME_CHARS + 1)} <help@example.com>", "too_long"),
        (f"{'x' * MAX_REPLY_TO_CHARS} <help@example.com>", "too_long"),
        ("x" * 10_000, "too_long"),
    ],
)
def test_answers_go_to_one_usable_address(text: str, expected: str) -> None:
    assert code(reply_to_problem(text)) == expected


def test_what_a_campaign_names_goes_before_what_the_channel_has_and_each_on_its_own() -> None:
    assert from_of(dispatch(), CHANNEL) == ("Ada from Example", "hello@example.com")
    assert from_of(dispatch(from_name="Acme"), CHANNEL) == ("Acme", "hello@example.com")
    assert from_of(dispatch(from_name="Acme"), "hello@example.com") == ("Acme", "hello@example.com")
    assert from_of(dispatch(from_name="Acme"), "nobody") is None
    assert reply_to_of(dispatch(), "") is None
    assert reply_to_of(dispatch(from_name="Acme"), "r@x.co") == ("", "r@x.co")
    assert reply_to_of(dispatch(reply_to="Help <h@x.co>"), "r@x.co") == ("Help", "h@x.co")
    assert reply_to_of(dispatch(reply_to="nobody"), "r@x.co") == ("", "r@x.co")


def test_a_message_without_a_sender_of_its_own_has_the_bytes_it_always_had() -> None:
    plain = build_email(dispatch(), CHANNEL, 0, "Ré <r@x.example>")
    assert b"\r\nReply-To: =?utf-8?b?UsOp?=\r\n <r@x.example>\r\n" in plain
    assert plain.startswith(b"From: Ada from Example <hello@example.com>\r\n")


@given(
    st.text(
        alphabet=st.sampled_from('ab \r\n\0\x85\u2028\u202e\u200d=?<>,;:"\\@é漢م𝕏👩') | st.characters(), max_size=110
    )
)
def test_whatever_is_taken_as_a_name_names_nobody_else_and_adds_no_header(text: str) -> None:
    if name_problem(text) is not None:
        return
    raw = build_email(dispatch(from_name=text, reply_to=f"{text} <r@x.example>"), CHANNEL, 0)
    assert raw.isascii()
    head = raw.partition(b"\r\n\r\n")[0]
    fields = [line.partition(b":")[0].lower() for line in head.split(b"\r\n") if line[:1] not in b" \t"]
    assert (fields.count(b"from"), fields.count(b"reply-to"), fields.count(b"to"), b"bcc" in fields) == (1, 1, 1, False)
    found = message_from_bytes(raw, policy=default)
    assert [address.addr_spec for address in found["From"].addresses] == ["hello@example.com"]
    assert [address.addr_spec for address in found["Reply-To"].addresses] == ["r@x.example"]
    assert not any(len(line) > 76 for line in head.split(b"\r\n") if b"=?utf-8?" in line.lower())


def test_length_is_looked_at_before_anything_else() -> None:
    """A name is bounded before it is walked: what is long costs no more than what is not."""
    long = "ab{<@\u202e\n" * 150_000
    assert code(name_problem(long)) == code(reply_to_problem(long)) == "too_long"
