from __future__ import annotations

from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.unit.whisperer.delivery.dispatches import dispatch
from whisperer.delivery.addresses import parse_sender
from whisperer.delivery.errors import UnsendableError
from whisperer.delivery.mime import build_email, message_id
from whisperer.delivery.text import whole

SENDER = "Ada from Example <hello@example.com>"
AT = 1_700_000_000_000
LINK = f"<https://example.com/u/{'a' * 400}>"
UNSUBSCRIBE = {
    "List-Unsubscribe": f"{LINK}, <mailto:u@example.com>",
    "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
}
OURS = {
    "from",
    "to",
    "subject",
    "date",
    "message-id",
    "content-language",
    "mime-version",
    "content-type",
    "content-transfer-encoding",
}

hostile = st.text(
    alphabet=st.sampled_from('ab \r\n\0\x0b\x0c\x1c\x85\u2028\u2029\ud800:=?<>,"é漢م𝕏') | st.characters(), max_size=60
) | st.sampled_from(
    [
        "=?utf-8?q?a=0D=0ABcc:_evil=40example.com?=",
        "=?utf-8?b?DQpCY2M6IGV2aWxAZXhhbXBsZS5jb20=?=",
        "\r\nBcc: e@example.com",
    ]
)


def read(raw: bytes) -> EmailMessage:
    message = message_from_bytes(raw, policy=default)
    assert isinstance(message, EmailMessage)
    return message


def body(message: EmailMessage, kind: str) -> str:
    part = message.get_body((kind,))
    assert part is not None
    return lines(part.get_content()).rstrip("\n")


def lines(text: object) -> str:
    """Line ends as a reader sees them."""
    return str(text).replace("\r\n", "\n").replace("\r", "\n")


def test_an_email_has_everything_a_mailbox_looks_at() -> None:
    message = read(build_email(dispatch(headers=UNSUBSCRIBE), SENDER, AT))
    assert message["From"] == SENDER
    assert message["To"] == "ada@example.com"
    assert message["Subject"] == "Hello Ada"
    assert message["Date"] == "Tue, 14 Nov 2023 22:13:20 +0000"
    assert message["Message-ID"] == f"<{dispatch().send_key}@example.com>"
    assert message["Content-Language"] == "de"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert message.get_content_type() == "multipart/alternative"
    assert [part.get_content_type() for part in message.iter_parts()] == ["text/plain", "text/html"]
    assert body(message, "plain") == "Hello,\nAda"
    assert body(message, "html") == "<p>Hello, Ada</p>"


def test_a_long_unsubscribe_link_goes_over_the_wire_as_it_is() -> None:
    raw = build_email(dispatch(headers=UNSUBSCRIBE), SENDER, AT)
    assert f"List-Unsubscribe: {LINK},\r\n <mailto:u@example.com>\r\n".encode() in raw


def test_the_same_dispatch_gives_the_same_bytes_and_message_id() -> None:
    first, second = (build_email(dispatch(), SENDER, AT) for _ in range(2))
    assert first == second
    retried = read(build_email(dispatch(attempt=3), SENDER, AT + 60_000))
    assert retried["Message-ID"] == read(first)["Message-ID"]
    assert read(build_email(dispatch(1), SENDER, AT))["Message-ID"] != retried["Message-ID"]


@pytest.mark.parametrize(
    "text", ["こんにちは、エイダさん", "مرحبا يا آدا", "Grüße", "x" * 5000, "line\r\nother\rthird\n\n.\n"]
)
def test_every_script_arrives_as_it_was_written(text: str) -> None:
    parts = {"subject": text[:80], "text": text, "html": f"<p>{text}</p>"}
    message = read(build_email(dispatch(parts=parts), SENDER, AT))
    assert body(message, "plain") == lines(text).rstrip("\n")
    assert body(message, "html") == lines(f"<p>{text}</p>")
    assert message["Subject"].split() == text[:80].split()


def test_a_message_of_one_part_has_no_alternatives() -> None:
    for parts, kind in (({"text": "x"}, "text/plain"), ({"html": "<b>x</b>"}, "text/html")):
        assert read(build_email(dispatch(parts=parts), SENDER, AT)).get_content_type() == kind
    with pytest.raises(UnsendableError, match="neither text nor html"):
        build_email(dispatch(parts={"subject": "x"}), SENDER, AT)


@given(subject=hostile, text=hostile, html=hostile, name=hostile, locale=hostile, key=hostile)
@example(
    subject="a\r\nBcc: evil@example.com", text="x", html="", name="b\r\nTo: c", locale="de\r\nX: y", key="k>\r\nZ: "
)
def test_nothing_in_a_message_adds_a_header_a_recipient_or_a_long_line(
    subject: str, text: str, html: str, name: str, locale: str, key: str
) -> None:
    parts = {"subject": subject, "text": text, "html": html or "<p>"}
    sender = f"{name} <hello@example.com>"
    try:
        raw = build_email(dispatch(parts=parts, locale=locale, send_key=key, headers=UNSUBSCRIBE), sender, AT)
    except UnsendableError:
        assert parse_sender(sender) is None  # every other part is made harmless
        return
    assert raw.isascii()
    assert raw.count(b"\r\n") == raw.count(b"\n") == raw.count(b"\r")
    assert max(map(len, raw.split(b"\r\n"))) <= 998
    found = read(raw)
    names = [header.lower() for header in found]
    assert len(names) == len(set(names))
    assert set(names) <= OURS | {"list-unsubscribe", "list-unsubscribe-post"}
    assert [address.addr_spec for address in found["To"].addresses] == ["ada@example.com"]
    assert [address.addr_spec for address in found["From"].addresses] == ["hello@example.com"]
    # What our own parser makes of it is one thing; what the lines say literally is what a mail server goes by.
    head = raw.partition(b"\r\n\r\n")[0]
    fields = [line.partition(b":")[0].decode().lower() for line in head.split(b"\r\n") if line[:1] not in b" \t"]
    assert sorted(fields) == sorted(names)


@given(text=hostile | st.text(max_size=400), html=st.text(min_size=1, max_size=400))
def test_each_part_arrives_as_it_was_written_and_no_line_of_it_is_over_76(text: str, html: str) -> None:
    raw = build_email(dispatch(parts={"subject": "x", "text": text, "html": html}), SENDER, AT)
    parts = [part for part in read(raw).walk() if not part.is_multipart()]
    written = [whole(body) for body in (text, html) if body]
    decoded = [part.get_payload(decode=True) for part in parts]
    assert [lines(one.decode()).rstrip("\n") for one in decoded if isinstance(one, bytes)] == [
        lines(one).rstrip("\n") for one in written
    ]
    assert max(map(len, raw.partition(b"Content-Type: ")[2].split(b"\r\n"))) <= 76


@pytest.mark.parametrize(
    ("headers", "said"),
    [
        ({"Bcc": "evil@example.com"}, "may not bring the header 'Bcc'"),
        ({"subject": "other"}, "may not bring"),
        ({"Content-Type": "text/html"}, "may not bring"),
        ({"X-A\r\nBcc": "evil@example.com"}, "may not bring"),
        ({"X-A": "b\r\nBcc: evil@example.com"}, "line break"),
        ({"X-A": "é"}, "not ASCII"),
        ({"X-A": "b", "x-a": "c"}, "comes twice"),
        ({"List-Unsubscribe": f"<https://example.com/{'a' * 1000}>"}, "longer than a line"),
        ({f"X-{n}": "b" for n in range(21)}, "21 headers"),
    ],
)
def test_a_message_brings_only_harmless_headers(headers: dict[str, str], said: str) -> None:
    with pytest.raises(UnsendableError, match=said):
        build_email(dispatch(headers=headers), SENDER, AT)


def test_addresses_are_looked_at_once_more() -> None:
    with pytest.raises(UnsendableError, match="recipient"):
        build_email(dispatch(address="ada@example.com\r\nBcc: x@example.com"), SENDER, AT)
    with pytest.raises(UnsendableError, match="sender"):
        build_email(dispatch(), "nobody", AT)


def test_a_strange_send_key_still_makes_a_message_id() -> None:
    assert message_id("a\r\nb", "x@example.com").isascii()
    assert message_id("snd_1", "x@example.com") == "<snd_1@example.com>"


@pytest.mark.parametrize("reference", ["rAb_-9", "r" * 256])
def test_a_reference_goes_out_in_a_header_of_its_own(reference: str) -> None:
    mail = read(build_email(dispatch(reference=reference), "ada@example.com", 0))
    assert mail["X-Whisperer-Reference"] == reference


@pytest.mark.parametrize("reference", ["", "r" * 257, "a\r\nBcc: eve@example.com", "a b", "ü"])
def test_what_is_no_reference_does_not(reference: str) -> None:
    mail = read(build_email(dispatch(reference=reference), "ada@example.com", 0))
    assert mail["X-Whisperer-Reference"] is None
    assert mail["Bcc"] is None


def test_who_answers_reaches_whom_the_channel_names() -> None:
    assert "Reply-To" not in read(build_email(dispatch(), "ada@example.com", 0))
    wire = build_email(dispatch(), "ada@example.com", 0, 'Ré "x" <r@x.example>')
    assert wire.isascii()
    found = read(wire)
    assert found["Reply-To"].addresses[0].addr_spec == "r@x.example"
    assert found["From"].addresses[0].addr_spec == "ada@example.com"


def test_no_message_brings_a_reference_of_its_own() -> None:
    with pytest.raises(UnsendableError, match="comes twice"):
        build_email(dispatch(headers={"X-Whisperer-Reference": "r1"}), "ada@example.com", 0)
