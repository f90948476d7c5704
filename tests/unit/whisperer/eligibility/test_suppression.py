"""A suppressed address stays suppressed, however it is spelt, and no other one is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperer.eligibility.standing import Standing, Suppression
from whisperer.eligibility.suppression import address_hash, is_suppressed, suppress


def suppressing(channel: str, address: str) -> Standing:
    standing = Standing()
    suppress(standing, channel, address, 1, "bounced")
    return standing


@pytest.mark.parametrize(
    ("channel", "address", "other_spelling"),
    [
        ("email", "ada@example.com", "Ada@EXAMPLE.com"),
        ("email", "ada@example.com", " ada@example.com "),
        ("email", "ada@bücher.example", "ada@xn--bcher-kva.example"),
        ("sms", "+4915123456789", "+49 (151) 234-567.89"),
        ("push", "token", " token "),
        ("webhook", "u:ada", "u:ada"),
        ("email", "no address", " No Address "),
    ],
)
def test_another_spelling_of_a_suppressed_address_is_suppressed(
    channel: str, address: str, other_spelling: str
) -> None:
    assert is_suppressed(suppressing(channel, address), channel, other_spelling)


@pytest.mark.parametrize(
    ("channel", "address", "other"),
    [
        ("email", "ada@example.com", "ada@example.org"),
        ("email", "ada@example.com", "ada+news@example.com"),
        ("sms", "+4915123456789", "+4915123456780"),
        ("push", "token", "TOKEN"),
        ("webhook", "u:ada", "a:ada"),
    ],
)
def test_another_address_is_not(channel: str, address: str, other: str) -> None:
    assert not is_suppressed(suppressing(channel, address), channel, other)


def test_the_same_text_on_another_channel_is_not_suppressed() -> None:
    assert not is_suppressed(suppressing("push", "x"), "webhook", "x")
    assert address_hash("push", "x") != address_hash("webhook", "x")


def test_the_first_suppression_is_kept_because_it_says_why() -> None:
    standing = Standing()
    assert suppress(standing, "email", "ada@example.com", 2, "complained")
    assert not suppress(standing, "email", "ADA@example.com", 1, "bounced")
    assert not suppress(standing, "email", "ada@example.com", 3, "by hand")
    assert standing.suppressed == {"email": [Suppression(1, "bounced", address_hash("email", "ada@example.com"))]}


@given(st.permutations([f"user{n}@example.com" for n in range(5)]))
def test_suppressions_are_stored_alike_whatever_their_order(addresses: list[str]) -> None:
    standing = Standing()
    for address in addresses:
        suppress(standing, "email", address, 1, "bounced")
    hashes = [stop.address_hash for stop in standing.suppressed["email"]]
    assert hashes == sorted(hashes)
    assert all(is_suppressed(standing, "email", address) for address in addresses)
    assert not is_suppressed(standing, "email", "another@example.com")


def test_a_hash_never_changes_between_releases() -> None:
    assert address_hash("email", "ada@example.com").hex() == "0f1dde75b6895c1e616cc9c284c8fbb2"


@given(st.text(), st.sampled_from(["email", "sms", "push", "webhook", "fax"]))
def test_any_text_can_be_hashed(text: str, channel: str) -> None:
    assert len(address_hash(channel, text)) == 16
    assert is_suppressed(suppressing(channel, text), channel, text)
