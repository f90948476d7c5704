"""Which trait is the address of a channel, and what is none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperer.eligibility.addresses import address_of
from whisperer.vocabulary.channels import CHANNELS


@pytest.mark.parametrize(
    ("channel", "traits", "address"),
    [
        ("email", {"email": "Ada@Example.com"}, "Ada@example.com"),
        ("email", {"e-mail": "ada@example.com"}, None),
        ("email", {"email": "ada"}, None),
        ("email", {"email": "ada@example.com\nBcc: all@example.com"}, None),
        ("email", {"email": ["ada@example.com"]}, None),
        ("email", {"email": None}, None),
        ("sms", {"phone": "+49 151 23456789"}, "+4915123456789"),
        ("sms", {"phone": 4915123456789}, None),
        ("sms", {"email": "ada@example.com"}, None),
        ("push", {"push_token": "abc"}, "abc"),
        ("push", {"device_token": "abc"}, "abc"),
        ("push", {"push_token": "abc", "device_token": "xyz"}, "abc"),
        ("push", {"push_token": "", "device_token": "xyz"}, "xyz"),
        ("push", {"push_token": 7, "device_token": "xyz"}, "xyz"),
        ("webhook", {}, "u:ada"),
        ("fax", {"fax": "1"}, None),
    ],
)
def test_an_address_is_read_from_the_traits_of_its_channel(
    channel: str, traits: dict[str, object], address: str | None
) -> None:
    written = {name: json.dumps(value).encode() for name, value in traits.items()}
    assert address_of(written, channel, "u:ada") == address


@given(st.binary(max_size=40), st.sampled_from(sorted(CHANNELS)))
def test_a_trait_that_is_no_json_is_no_address_and_no_error(written: bytes, channel: str) -> None:
    traits = dict.fromkeys(["email", "phone", "push_token", "device_token"], written)
    found = address_of(traits, channel, "u:ada")
    assert found is None or found == "u:ada" or written.startswith((b'"', b" ", b"\t", b"\n", b"\r"))


def test_a_lone_surrogate_is_no_address() -> None:
    assert address_of({"email": b'"\\ud800@example.com"'}, "email", "u:ada") is None
