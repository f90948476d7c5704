from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from whisperer.delivery.addresses import MAX_EMAIL_CHARS, usable_address
from whisperer.eligibility.suppression import address_hash
from whisperer.vocabulary.channels import CHANNELS

hostile = st.text(alphabet=st.sampled_from('ab.@+-"<>()\\ \t\r\n\0\x85\u2028:;,12\ud800é。'), max_size=40)


@pytest.mark.parametrize(
    ("channel", "text", "used"),
    [
        ("email", "ada@example.com", "ada@example.com"),
        ("email", " Ada.L+x@EXAMPLE.com ", "Ada.L+x@example.com"),
        ("email", "ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("email", "ada@straße.example", "ada@xn--strae-oqa.example"),
        ("email", "o'neil@example.co.uk", "o'neil@example.co.uk"),
        ("sms", "+4915112345678", "+4915112345678"),
        ("sms", " +1 (555) 010-0100 ", "+15550100100"),
        ("push", "fcm:AB_c-1", "fcm:AB_c-1"),
        ("email", "\ufeffada@example.com", "ada@example.com"),
        ("email", "\u00a0ada@example.com\u200b \u00ad", "ada@example.com"),
        ("email", "\u202aada@example.com\u202c", "ada@example.com"),
        ("email", "\u3000\tada@bücher.example\u2060", "ada@xn--bcher-kva.example"),
        ("sms", "\u202d+49\u2009151\u202f234\u2013567\u2212890\u202c", "+49151234567890"),
        ("sms", "\ufeff+49\u00ad151\u200b234567", "+49151234567"),
        ("push", "\u200btoken\ufeff", "token"),
        ("webhook", "u:Zoë Ltd.", "u:Zoë Ltd."),
    ],
)
def test_an_address_is_used_in_one_form(channel: str, text: str, used: str) -> None:
    assert usable_address(channel, text) == used


@pytest.mark.parametrize(
    ("channel", "text"),
    [
        ("email", ""),
        ("email", "ada"),
        ("email", "@example.com"),
        ("email", "ada@localhost"),
        ("email", "ada@[127.0.0.1]"),
        ("email", "ada@127.0.0.1"),
        ("email", "ada@example.123"),
        ("email", "a b@example.com"),
        ("email", '"a b"@example.com'),
        ("email", "a..b@example.com"),
        ("email", ".a@example.com"),
        ("email", "ada@-example.com"),
        ("email", "ada@example..com"),
        ("email", "ada@example.com\r\nBcc: all@example.com"),
        ("email", "ada@example.com\n"),
        ("email", "ada@example.com, bob@example.com"),
        ("email", "Ada <ada@example.com>"),
        ("email", "ada\0@example.com"),
        ("email", "ädä@example.com"),
        ("email", "a" * 65 + "@example.com"),
        ("email", "a@" + ".".join(["b" * 60] * 5) + ".com"),
        ("email", "a@" + "é" * 300 + ".com"),
        ("sms", "015112345678"),
        ("sms", "004915112345678"),
        ("sms", "+0123456789"),
        ("sms", "+49151"),
        ("sms", "+1234567890123456"),
        ("sms", "+٤٩١٥١١٢٣٤٥٦٧٨"),
        ("sms", "+4915112345678\n"),
        ("push", ""),
        ("push", "a b"),
        ("push", "a\nb"),
        ("push", "a" * 4097),
        ("webhook", ""),
        ("webhook", "u:a\r\nb"),
        ("webhook", "u:\ud800"),
        ("webhook", "u:\u2028"),
        ("email", "a" * 1_000_000),
        ("fax", "1"),
    ],
)
def test_what_is_no_address_is_not_used(channel: str, text: str) -> None:
    assert usable_address(channel, text) is None


UNSEEN = "\ufeff\u200b\u00ad\u202a\u202c\u200f\u2060\u00a0\u3000 \t"


@given(
    st.sampled_from(sorted(CHANNELS)),
    st.sampled_from(["ada@example.com", "ada@bücher.example", "+4915123456", "+49 (151) 234-567", "token"]) | hostile,
    st.text(UNSEEN, max_size=4),
    st.text(UNSEEN, max_size=4),
)
def test_what_earlier_releases_could_use_is_used_in_the_same_form_and_has_the_same_hash(
    channel: str, text: str, before: str, after: str
) -> None:
    written = before + text + after
    then = usable_address(channel, written, is_bared=False)
    if then is not None:
        assert usable_address(channel, written) == then
    if CHANNELS[channel].address.kind != "user_key" and (bare := usable_address(channel, text)) is not None:
        assert usable_address(channel, written) == bare
        assert address_hash(channel, written) == address_hash(channel, bare)


@given(st.sampled_from(sorted(CHANNELS)), hostile | st.text(max_size=60))
@example("email", "ada@example.com")
def test_a_usable_address_is_bounded_clean_and_stays_as_it_is(channel: str, text: str) -> None:
    used = usable_address(channel, text)
    if used is None:
        return
    assert 0 < len(used) <= 4096
    assert not any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") for char in used)
    assert usable_address(channel, used) == used
    kind = CHANNELS[channel].address.kind
    if kind != "user_key":
        assert used.isascii()
        assert not set(used) & set(" \r\n")
    if kind == "email":
        assert len(used) <= MAX_EMAIL_CHARS
        assert used.count("@") == 1
        assert not set(used) & set('<>"(),;\\')
