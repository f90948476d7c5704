"""Signatures by DKIM, judged by dkimpy, whose code shares nothing with ours."""

from __future__ import annotations

import base64
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.whisperer.delivery import signing_keys
from tests.unit.whisperer.delivery.dispatches import dispatch
from tests.unit.whisperer.delivery.signing_keys import KINDS, is_genuine, pem, signing
from whisperer.delivery import dkim
from whisperer.delivery.channels import parse_channel, redacted
from whisperer.delivery.errors import ChannelError
from whisperer.delivery.mime import build_email
from whisperer.errors import Problem

NOW = 1_700_000_000_000
SIGNERS = {kind: dkim.Signer(signing(kind)) for kind in KINDS}
UNSUBSCRIBE = {
    "List-Unsubscribe": "<https://example.com/u/" + "x" * 300 + ">, <mailto:u@example.com>",
    "List-Unsubscribe-Post": "List-Unsubscribe=One-Click",
}
TEXTS = {
    "plain": "Hello,\nAda",
    "long lines": ("x" * 2_000 + " " + "y" * 5_000 + "\n") * 3,
    "many scripts": "Grüße 你好 שלום 🎉\n" * 50,
    "dots": ".\n..\n.x\n\n.\n",
    "line ends": "a\r\nb\rc\n\n\n",
    "blanks": "a  \t b \t \n \t\n   c\n \n\n  \n",
    "nothing but blanks": "  \n \n",
}


def built(**fields: Any) -> bytes:
    made = dispatch(1, headers=UNSUBSCRIBE, **fields)
    return build_email(made, "Ada Grüße <hello@example.com>", NOW, "r@example.com")


def tags(message: bytes) -> dict[str, str]:
    field = re.split(rb"\r\n(?![ \t])", message)[0].decode("ascii")
    assert field.startswith("DKIM-Signature: ")
    pairs = (tag.split("=", 1) for tag in re.sub(r"\s", "", field.partition(":")[2]).split(";"))
    return dict(pairs)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS.keys())
def test_a_signature_is_genuine_whatever_the_text(kind: str, text: str) -> None:
    for parts in ({"subject": "S", "text": text}, {"subject": "Grüße 🎉 " * 30, "html": text, "text": text}):
        signed = SIGNERS[kind].sign(built(parts=parts), NOW)
        assert is_genuine(signed, kind)


@given(
    body=st.text(st.sampled_from(" \t.a=\r\n\u00e9"), max_size=80),
    subject=st.text(st.sampled_from(" \tab"), max_size=20),
)
@settings(max_examples=200, deadline=None)
def test_bytes_of_any_form_verify(body: str, subject: str) -> None:
    lines = re.sub(r"\r\n|\r|\n", "\r\n", body + "\n").encode("utf-8")
    head = f"From: a@example.com\r\nSubject:{subject}\r\n \t folded\r\nTo:\tb@example.com".encode()
    assert is_genuine(SIGNERS["ed25519"].sign(head + b"\r\n\r\n" + lines, NOW), "ed25519")


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_changed_on_the_way_does_not_verify(kind: str) -> None:
    signed = SIGNERS[kind].sign(built(), NOW)
    assert is_genuine(signed, kind)
    for was, becomes in (
        (b"Hello,", b"Hullo,"),
        (b"Subject: Hello", b"Subject: Other"),
        (b"To: ada@", b"To: eve@"),
        (b"List-Unsubscribe: <https://example.com", b"List-Unsubscribe: <https://evil.example"),
        (b"List-Unsubscribe-Post: List-Unsubscribe=One-Click", b"List-Unsubscribe-Post: none"),
        (b"Reply-To: r@", b"Reply-To: s@"),
        (b"\r\nFrom: ", b"\r\nFrom: eve@example.org\r\nFrom: "),
        (b"t=1700000000", b"t=1700000001"),
    ):
        assert was in signed
        assert not is_genuine(signed.replace(was, becomes), kind), becomes
    assert is_genuine(signed.replace(b"Subject: Hello Ada", b"SUBJECT:   Hello \t Ada  "), kind)  # white space may


def test_the_headers_that_one_click_unsubscription_needs_are_signed_and_the_sender_once_more() -> None:
    found = tags(SIGNERS["rsa"].sign(built(), NOW))
    assert (found["a"], found["c"], found["d"], found["s"]) == ("rsa-sha256", "relaxed/relaxed", "example.com", "s1")
    names = found["h"].split(":")
    assert names.count("from") == 2
    assert set(names) == {
        "from", "to", "subject", "date", "message-id", "reply-to", "list-unsubscribe", "list-unsubscribe-post",
        "mime-version", "content-type",
    }  # fmt: skip
    assert "l" not in found  # a length would let anybody add to the body


def test_a_signature_is_short_lines_of_ascii_and_the_same_each_time() -> None:
    message = built()
    signed = SIGNERS["rsa"].sign(message, NOW)
    assert signed.endswith(message)
    assert signed == dkim.Signer(signing("rsa")).sign(message, NOW)
    assert max(map(len, signed.removesuffix(message).split(b"\r\n"))) <= 78


def test_the_record_holds_the_public_key_as_the_dns_has_it() -> None:
    short = dkim.record("example.com", "s1", dkim.load_key(pem("ed25519")))
    assert (short["name"], short["type"]) == ("s1._domainkey.example.com", "TXT")
    assert short["value"].startswith("v=DKIM1; k=ed25519; p=")
    assert len(base64.b64decode(short["value"].partition("; p=")[2])) == 32
    assert dkim.record("example.com", "s1", dkim.load_key(pem("rsa")))["value"].startswith("v=DKIM1; k=rsa; p=MII")


# -- a channel's configuration ----------------------------------------------------------------------------------------

SMTP = {"host": "mail.example.com", "sender": "hello@example.com"}


def problems(given: object) -> list[Problem]:
    try:
        parse_channel("email", "smtp", SMTP | {"dkim": given})
    except ChannelError as error:
        return error.errors
    return []


@pytest.mark.parametrize(
    ("change", "pointer", "code", "said"),
    [
        ({"private_key": ""}, "private_key", "missing_field", "private_key is needed"),
        ({"private_key": 17}, "private_key", "invalid_type", "a text"),
        ({"private_key": "…"}, "private_key", "hidden_secret", "stands for a secret"),
        ({"private_key": "x" * 9_000}, "private_key", "too_long", "9000 characters"),
        ({"private_key": "MIIB"}, "private_key", "invalid_secret", "no private key in PEM"),
        ({"private_key": "ключ"}, "private_key", "invalid_secret", "no private key in PEM"),
        ({"private_key": "rsa 1024"}, "private_key", "invalid_secret", "1024 bits"),
        ({"private_key": "ec"}, "private_key", "invalid_secret", "RSA or an Ed25519 key"),
        ({"private_key": "dsa"}, "private_key", "invalid_secret", "RSA or an Ed25519 key"),
        ({"private_key": "encrypted"}, "private_key", "invalid_secret", "without a password"),
        ({"private_key": "public"}, "private_key", "invalid_secret", "the public key"),
        ({"domain": ""}, "domain", "missing_field", "domain is needed"),
        ({"domain": "localhost"}, "domain", "invalid_host", "domain that signs"),
        ({"domain": "x.com; p=1"}, "domain", "invalid_host", "domain that signs"),
        ({"selector": "a_b"}, "selector", "invalid_text", "letters, digits and hyphens"),
        ({"selector": "a;p=b"}, "selector", "invalid_text", "letters, digits and hyphens"),
        ({"selector": "-a"}, "selector", "invalid_text", "letters, digits and hyphens"),
        ({"selector": "a\r\nBcc: x"}, "selector", "invalid_text", "letters, digits and hyphens"),
        ({"selector": ".".join(["a" * 60] * 5)}, "selector", "too_long", "253"),
        ({"key": "x"}, "", "unknown_field", "1 fields here"),
    ],
)  # fmt: skip
def test_what_cannot_sign_is_refused_with_the_reason(
    change: dict[str, Any], pointer: str, code: str, said: str
) -> None:
    keys = {
        "encrypted": signing_keys.encrypted_pem, "public": signing_keys.public_pem,
        **{kind: lambda kind=kind: pem(kind) for kind in ("rsa 1024", "ec", "dsa")},
    }  # fmt: skip
    made = {
        name: keys.get(value, lambda value=value: value)() if isinstance(value, str) else value
        for name, value in change.items()
    }
    [problem] = problems(signing() | made)
    assert (problem["pointer"], problem["code"]) == (f"/config/dkim/{pointer}".rstrip("/"), code)
    assert said in problem["message"]
    assert "BEGIN" not in problem["message"].replace("-----BEGIN to its end", "")


def test_what_is_no_object_is_refused() -> None:
    for bad in ("x", [], 1, True):
        [problem] = problems(bad)
        assert (problem["pointer"], problem["code"]) == ("/config/dkim", "invalid_type")


def test_a_channel_shows_the_record_to_publish_and_never_the_key() -> None:
    given = signing("ed25519") | {"domain": "Bücher.Example", "selector": "S1.mail"}
    config = parse_channel("email", "smtp", SMTP | {"dkim": given})
    assert config["dkim"]["private_key"] == pem("ed25519")
    shown = redacted("smtp", config)["dkim"]
    assert shown == {
        "domain": "xn--bcher-kva.example",
        "selector": "s1.mail",
        "private_key": "…",
        "dns_record": dkim.record("xn--bcher-kva.example", "s1.mail", dkim.load_key(pem("ed25519"))),
    }
    assert "PRIVATE" not in repr(shown) + repr(SIGNERS)


def test_a_channel_without_signatures_says_nothing_of_them() -> None:
    for said in (SMTP, SMTP | {"dkim": None}):
        config = parse_channel("email", "smtp", said)
        assert config["dkim"] is None
        assert redacted("smtp", config)["dkim"] is None
    assert redacted("smtp", {"dkim": "what an odd release stored"}) == {"dkim": "…"}
    assert redacted("smtp", {"dkim": {"domain": "x.co", "private_key": "broken"}})["dkim"]["private_key"] == "…"
