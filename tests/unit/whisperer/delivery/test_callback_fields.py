"""What a channel's callbacks are verified with: read next to the provider's own fields, with every problem."""

from __future__ import annotations

import base64

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.registries.callback_peers import TOPIC, sendgrid_config
from whisperer.delivery.callback_fields import CALLBACK_FIELDS, public_key, region_of, take_callback_fields
from whisperer.delivery.channels import parse_channel
from whisperer.delivery.errors import ChannelError
from whisperer.delivery.providers.reading import ConfigReader

GOOD = {"sendgrid": sendgrid_config(), "ses": {"callback_topic_arn": TOPIC}, "sns": {"callback_topic_arn": TOPIC}}


def problems(provider: str, config: dict[str, object]) -> dict[str, str]:
    reader = ConfigReader()
    take_callback_fields(reader, provider, dict(config))
    return {one["pointer"]: one["code"] for one in reader.problems}


@pytest.mark.parametrize("provider", CALLBACK_FIELDS)
def test_good_ones_are_taken_out_of_the_configuration_and_may_be_left_out(provider: str) -> None:
    reader, config = ConfigReader(), {**GOOD[provider], "host": "x"}
    assert take_callback_fields(reader, provider, config) == GOOD[provider]
    assert (config, reader.problems) == ({"host": "x"}, [])
    assert take_callback_fields(reader, provider, {}) == {}


@pytest.mark.parametrize("provider", CALLBACK_FIELDS)
@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("nonsense", "invalid_text"),
        (5, "invalid_type"),
        (["a"], "invalid_type"),
        ("x" * 600, "too_long"),
        ("a\nb", "invalid_text"),
    ],
)
def test_bad_ones_are_refused_at_their_place(provider: str, value: object, code: str) -> None:
    [field] = CALLBACK_FIELDS[provider]
    assert problems(provider, {field.name: value}) == {f"/config/{field.name}": code}


def test_a_key_on_another_curve_verifies_nothing() -> None:
    key = ec.generate_private_key(ec.SECP384R1()).public_key()
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    assert public_key(base64.b64encode(der).decode()) is None


@given(st.text(max_size=200))
def test_any_text_is_a_key_or_none_and_a_topic_or_none(text: str) -> None:
    assert public_key(text) is None
    assert region_of(text) is None


def test_a_provider_without_callbacks_of_its_own_knows_no_such_field() -> None:
    with pytest.raises(ChannelError, match="have no meaning"):
        parse_channel("email", "sink", {"callback_topic_arn": TOPIC})
