"""A link says what was signed, to whoever has the secret, until it expires; anything else is refused."""

from __future__ import annotations

import base64
import hmac
import pickle
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperer.content.links import LinkMaker
from whisperer.errors import InvariantError
from whisperer.feedback import links
from whisperer.feedback.links import (
    CLICK,
    KINDS,
    LIFETIME_MS,
    MAX_TOKEN_CHARS,
    MAX_URL_CHARS,
    OPEN,
    PATHS,
    UNSUBSCRIBE,
    Link,
    LinkError,
    LinkExpiredError,
    LinkForgedError,
    LinkSigner,
    LinkUnfitError,
    SignedLinks,
    web_address,
)

NOW = 1_772_359_200_000
SIGNER = LinkSigner(b"s" * 32)


def link(kind: str = CLICK, **more: Any) -> Link:
    fields: dict[str, Any] = {
        "kind": kind,
        "tenant": "tn_1",
        "user_key": "u:ada",
        "decision_id": "dec_1",
        "channel": "email",
        "purpose": "marketing",
        "url": "https://app.example/a?b=1" if kind == CLICK else "",
        "issued_at": NOW,
    }
    return Link(**{**fields, **more})


texts = st.text(st.characters(codec="utf-8"), max_size=40)


@given(kind=st.sampled_from(KINDS), tenant=texts, user=texts, decision=texts, channel=texts, purpose=texts)
def test_what_was_signed_is_read(kind: str, tenant: str, user: str, decision: str, channel: str, purpose: str) -> None:
    said = link(kind, tenant=tenant, user_key=user, decision_id=decision, channel=channel, purpose=purpose)
    token = SIGNER.sign(said)
    assert SIGNER.read(token, NOW) == said
    assert set(token) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def test_every_changed_character_is_refused() -> None:
    token = SIGNER.sign(link())
    for at in range(len(token)):
        for other in {chr(ord(token[at]) ^ 1), "A", "B", "-", "=", "ü", ""} - {token[at]}:
            with pytest.raises(LinkForgedError):
                SIGNER.read(token[:at] + other + token[at + 1 :], NOW)


def test_every_flipped_bit_of_what_it_says_is_refused() -> None:
    token = SIGNER.sign(link())
    said = base64.urlsafe_b64decode(token[1:] + "=" * (-len(token[1:]) % 4))
    for bit in range(8 * len(said)):
        changed = bytearray(said)
        changed[bit // 8] ^= 1 << bit % 8
        forged = "2" + base64.urlsafe_b64encode(bytes(changed)).rstrip(b"=").decode()
        with pytest.raises(LinkForgedError):
            SIGNER.read(forged, NOW)


def signed_by_version_1(said: Link, secret: bytes = b"s" * 32) -> str:
    """As releases before made tokens: readable, with an HMAC."""
    text = "1" + base64.urlsafe_b64encode(msgspec.msgpack.encode(said)).rstrip(b"=").decode()
    tag = hmac.digest(secret, b"user-whisperer link\x00" + text.encode(), "sha256")[:16]
    return text + base64.urlsafe_b64encode(tag).rstrip(b"=").decode()


def test_links_in_messages_that_went_out_before_still_work() -> None:
    old = signed_by_version_1(link())
    assert SIGNER.read(old, NOW) == link()
    for at in range(len(old)):
        with pytest.raises(LinkForgedError):
            SIGNER.read(old[:at] + chr(ord(old[at]) ^ 1) + old[at + 1 :], NOW)
    with pytest.raises(LinkForgedError):
        SIGNER.read(signed_by_version_1(link(), b"t" * 32), NOW)
    with pytest.raises(LinkForgedError):
        SIGNER.read("2" + old[1:], NOW)


def test_nothing_can_be_read_in_a_token() -> None:
    token = SIGNER.sign(link())
    raw = base64.urlsafe_b64decode(token[1:] + "=" * (-len(token[1:]) % 4))
    for word in (b"ada", b"tn_1", b"dec_1", b"email", b"marketing", b"example"):
        assert word not in raw
        assert word.decode() not in token


MADE_UP = st.tuples(st.sampled_from("12"), st.binary(max_size=200)).map(
    lambda made: made[0] + base64.urlsafe_b64encode(made[1]).decode()
)


@given(st.text(max_size=300) | MADE_UP)
def test_no_made_up_token_is_read(token: str) -> None:
    with pytest.raises(LinkForgedError):
        SIGNER.read(token, NOW)


def test_another_spelling_of_the_same_bytes_is_refused() -> None:
    token = SIGNER.sign(link())
    spellings = [token + "=", token + "==", token + "\n", " " + token, token[:-1] + chr(ord(token[-1]) + 1), token * 2]
    for other in spellings:
        with pytest.raises(LinkForgedError):
            SIGNER.read(other, NOW)


def test_a_token_of_another_installation_is_refused() -> None:
    token = LinkSigner(b"t" * 32).sign(link())
    with pytest.raises(LinkForgedError):
        SIGNER.read(token, NOW)


@pytest.mark.parametrize(("kind", "days"), [(OPEN, 400), (CLICK, 400), (UNSUBSCRIBE, 1_825)])
def test_a_link_expires_by_its_kind(kind: str, days: int) -> None:
    assert LIFETIME_MS[kind] == days * 86_400_000
    token = SIGNER.sign(link(kind))
    assert SIGNER.read(token, NOW + LIFETIME_MS[kind]).kind == kind
    with pytest.raises(LinkExpiredError) as caught:
        SIGNER.read(token, NOW + LIFETIME_MS[kind] + 1)
    assert (caught.value.code, caught.value.status) == ("link_expired", 410)


HOSTILE = [
    "javascript:alert(1)",
    "data:text/html,x",
    "//evil.example",
    "/relative",
    "ftp://a.example",
    "https://",
    "https:///x",
    "https://user@evil.example/",
    "https://app.example\\@evil.example/",
    "https://app.example\r\nSet-Cookie: x",
    "https://[::1]/",
    "http://a.example:99999/",
    "https://bücher.example/",
    "https://a..%2f/",
    "https://a.example/" + "x" * MAX_URL_CHARS,
    "",
]


@pytest.mark.parametrize("url", HOSTILE)
def test_only_plain_web_addresses_can_be_led_to(url: str) -> None:
    assert web_address(url) is None
    with pytest.raises((LinkUnfitError, InvariantError)):
        SIGNER.sign(link(url=url))
    assert signed().click(url) == url


def test_a_hostile_target_is_refused_even_when_it_is_signed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "web_address", lambda url: url)
    token = SIGNER.sign(link(url="javascript:alert(1)"))
    monkeypatch.undo()
    with pytest.raises(LinkForgedError):
        SIGNER.read(token, NOW)


@given(st.text(max_size=60))
def test_a_web_address_fits_into_a_header_and_stays_what_it_is(text: str) -> None:
    written = web_address(f"https://app.example/{text}")
    if written is not None:
        assert written.isascii()
        assert written.isprintable()
        assert " " not in written
        assert web_address(written) == written
        assert written.startswith("https://app.example/")


def signed(**more: Any) -> SignedLinks:
    said = {"tenant": "tn_1", "user_key": "u:ada", "decision_id": "dec_1", "channel": "email", "purpose": "marketing"}
    return SignedLinks(SIGNER, "https://go.example/", **{**said, "now": NOW, **more})


def test_the_links_of_a_message_are_those_that_are_read() -> None:
    maker: LinkMaker = signed()
    made = {CLICK: maker.click("https://app.example/ä b"), OPEN: maker.open(), UNSUBSCRIBE: maker.unsubscribe()}
    for kind, address in made.items():
        start = "https://go.example" + PATHS[kind]
        assert address.startswith(start)
        found = SIGNER.read(address.removeprefix(start), NOW)
        assert found == link(kind, url="https://app.example/%C3%A4%20b" if kind == CLICK else "")


def test_a_link_that_would_be_too_long_is_left_as_it_is() -> None:
    maker = signed(user_key="u:" + "x" * MAX_TOKEN_CHARS)
    assert maker.click("https://app.example/") == "https://app.example/"
    with pytest.raises(LinkUnfitError):
        maker.unsubscribe()
    with pytest.raises(LinkForgedError):
        SIGNER.read("1" * 1_000_000, NOW)


def test_a_signer_needs_a_secret() -> None:
    with pytest.raises(InvariantError):
        LinkSigner(b"")


@pytest.mark.parametrize("said", [link("visit"), link(OPEN, url="https://a.example/"), link(CLICK, url="")])
def test_a_link_that_makes_no_sense_is_a_bug(said: Link) -> None:
    with pytest.raises(InvariantError):
        SIGNER.sign(said)


@pytest.mark.parametrize("kind", [LinkForgedError, LinkExpiredError, LinkUnfitError])
def test_errors_survive_pickling_and_are_in_the_tree(kind: type[LinkError]) -> None:
    copy = pickle.loads(pickle.dumps(kind("what")))
    assert (type(copy), copy.code, copy.status, copy.message) == (kind, kind.code, kind.status, "what")
    assert kind.__name__ in (links.__doc__ or "")
    assert str(kind.status) in (links.__doc__ or "")
