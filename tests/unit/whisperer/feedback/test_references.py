"""What callbacks refer to: it comes back as it was, says nothing to others, and fits every provider."""

from __future__ import annotations

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperer.feedback.callback_tokens import CallbackToken, CallbackTokens
from whisperer.feedback.links import LinkSigner
from whisperer.feedback.references import MAX_CHARS, Reference, References
from whisperer.feedback.sealing import Seal, sealed_chars

SECRET = b"s" * 32
REFERENCES = References(SECRET)
TENANT, DECISION = "tn_" + "0" * 22, "dec_" + "a" * 26


def reference(user: str = "u:ada", channel: str = "email") -> Reference:
    return Reference(TENANT, user, DECISION, channel, b"h" * 16)


@given(st.text(max_size=40), st.sampled_from(["email", "sms", "push", "webhook"]))
def test_a_reference_comes_back_as_it_was(user: str, channel: str) -> None:
    made = REFERENCES.make(reference(f"u:{user}", channel))
    if made:
        assert REFERENCES.read(made) == reference(f"u:{user}", channel)
        assert set(made) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
    assert len(made) <= MAX_CHARS


@pytest.mark.parametrize(("n", "fits"), [(36, True), (80, True), (100, False), (5_000, False)])
def test_a_uuid_and_more_fits_a_tag_of_ses_and_beyond_there_is_none(n: int, fits: bool) -> None:
    assert bool(REFERENCES.make(reference("u:" + "x" * n))) is fits


def test_a_lone_surrogate_in_an_id_breaks_nothing() -> None:
    assert REFERENCES.make(reference("u:\ud800")) == ""


def test_nothing_can_be_read_in_it() -> None:
    made = REFERENCES.make(reference("u:ada@example.com"))
    raw = base64.urlsafe_b64decode(made[1:] + "=" * (-len(made[1:]) % 4))
    assert not any(word in raw for word in (b"ada", b"example", TENANT.encode(), DECISION.encode(), b"email"))


def test_every_changed_character_is_refused() -> None:
    made = REFERENCES.make(reference())
    for at in range(len(made)):
        for other in {chr(ord(made[at]) ^ 1), "A", "B", "-", "=", "ü", "\n", ""} - {made[at]}:
            assert REFERENCES.read(made[:at] + other + made[at + 1 :]) is None
    assert References(b"t" * 32).read(made) is None


@given(st.text(max_size=300) | st.binary(max_size=200).map(lambda raw: "r" + base64.urlsafe_b64encode(raw).decode()))
def test_no_made_up_reference_is_read(text: str) -> None:
    assert REFERENCES.read(text) is None


@given(st.binary(min_size=1, max_size=200))
def test_a_sealed_text_has_the_length_that_was_told(content: bytes) -> None:
    seal = Seal(SECRET, "tests")
    assert len(seal.close(content)) == sealed_chars(len(content))
    assert seal.open(seal.close(content)) == content


def test_what_is_sealed_for_one_use_opens_for_no_other() -> None:
    tokens = CallbackTokens(SECRET)
    token = tokens.make(CallbackToken(TENANT, "email", "smtp", 1))
    assert tokens.read(token) == CallbackToken(TENANT, "email", "smtp", 1)
    assert REFERENCES.read("r" + token) is None
    assert tokens.read(REFERENCES.make(reference())[1:]) is None
    assert tokens.read("") is None
    assert LinkSigner(SECRET)._opened("2" + token) is None
