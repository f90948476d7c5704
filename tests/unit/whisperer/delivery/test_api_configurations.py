"""The configurations of providers over HTTP: what is wrong with them is said, and what is right is complete."""

from __future__ import annotations

from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1
from cryptography.hazmat.primitives.asymmetric.ec import generate_private_key as generate_ec_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from tests.unit.whisperer.delivery.service_account import service_account
from whisperer.delivery.channels import parse_channel, redacted
from whisperer.delivery.errors import ChannelError
from whisperer.delivery.providers import PROVIDERS

AWS = {"region": "eu-central-1", "access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "s3cr3t"}
SENDGRID = {"api_key": "SG.test", "sender": "Ada <ada@example.com>"}
TWILIO = {"account_sid": "AC" + "0" * 32, "auth_token": "tok", "sender": "+15005550001"}


def checked(name: str, config: dict[str, Any]) -> dict[str, Any]:
    return parse_channel(PROVIDERS[name].channels[0], name, config)


def problems(name: str, config: dict[str, Any]) -> dict[str, str]:
    try:
        checked(name, config)
    except ChannelError as error:
        return {problem["pointer"].removeprefix("/config/"): problem["code"] for problem in error.errors}
    return {}


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("https://api.eu.sendgrid.com", "https://api.eu.sendgrid.com"),
        ("https://proxy.example.com/sendgrid//", "https://proxy.example.com/sendgrid"),
        ("http://127.0.0.1:8025/", "http://127.0.0.1:8025"),
    ],
)
def test_a_base_url_may_have_a_path_and_loses_its_slash(url: str, kept: str) -> None:
    assert checked("sendgrid", SENDGRID | {"base_url": url})["base_url"] == kept


@pytest.mark.parametrize(
    "url",
    [
        "ftp://api.example.com", "api.example.com", "https://", "https://ada:pw@api.example.com", "https://x.com/?a=b",
        "https://x.com#f", "https://x.com:22", "https://x.com:99999", "https://ä.com", "https://x.com/a b",
        "https://x.com\\@y.com", "https://[::1", "https://x.com?",
    ],
)  # fmt: skip
def test_what_is_no_base_url_is_refused(url: str) -> None:
    assert problems("sendgrid", SENDGRID | {"base_url": url}) == {"base_url": "invalid_url"}


def test_amazons_public_endpoints_follow_the_region() -> None:
    ses = AWS | {"sender": "ada@example.com"}
    assert checked("ses", ses)["base_url"] == "https://email.eu-central-1.amazonaws.com"
    assert checked("sns", AWS | {"region": "us-gov-west-1"})["base_url"] == "https://sns.us-gov-west-1.amazonaws.com"
    assert checked("sns", AWS | {"region": "cn-north-1"})["base_url"] == "https://sns.cn-north-1.amazonaws.com.cn"
    for region in ("frankfurt", "EU-CENTRAL-1", "eu-central-1.evil.example", "eu central 1", "-"):
        assert problems("sns", AWS | {"region": region}) == {"region": "invalid_text"}


def test_secrets_are_what_a_header_can_carry() -> None:
    for bad in ("a b", "é", "", "…", "x\ny"):
        assert set(problems("sendgrid", SENDGRID | {"api_key": bad})) == {"api_key"}
    assert problems("ses", AWS | {"access_key_id": "akia", "sender": "ada@example.com"}) == {
        "access_key_id": "invalid_secret"
    }


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"auth_token": ""}, {"auth_token": "missing_field"}),
        ({"api_key": "SK" + "1" * 32}, {"api_secret": "missing_field"}),
        ({"api_secret": "x"}, {"api_key": "missing_field"}),
        ({"api_key": "SK" + "1" * 32, "api_secret": "x"}, {}),
        ({"api_key": "SK" + "1" * 32, "api_secret": "x", "auth_token": ""}, {}),
        ({"api_key": "SK1", "api_secret": "x"}, {"api_key": "invalid_secret"}),
        ({"account_sid": "SK" + "0" * 32}, {"account_sid": "invalid_text"}),
        ({"sender": ""}, {"sender": "missing_field"}),
        ({"messaging_service_sid": "MG" + "0" * 32}, {"sender": "conflicting_fields"}),
        ({"sender": "", "messaging_service_sid": "MG" + "0" * 32}, {}),
        ({"sender": "Example 1"}, {}),
        ({"sender": "12345"}, {}),
        ({"sender": "Example123456"}, {"sender": "invalid_text"}),
        ({"sender": "+0151"}, {"sender": "invalid_text"}),
        ({"status_callback": "javascript:x"}, {"status_callback": "invalid_url"}),
        ({"status_callback": "https://x.example/v1/callbacks/twilio/t"}, {}),
    ],
)
def test_twilio_needs_one_way_in_and_one_sender(change: dict[str, str], found: dict[str, str]) -> None:
    assert problems("twilio", TWILIO | change) == found


@pytest.mark.parametrize("sender_id", ["Example", "A", "12a", "Ex-1"])
def test_a_sender_id_of_sns_is_short_and_has_a_letter(sender_id: str) -> None:
    assert checked("sns", AWS | {"sender_id": sender_id})["sender_id"] == sender_id
    for bad in ("123", "-a", "a-", "a b", "ExampleExample", "é"):
        assert problems("sns", AWS | {"sender_id": bad}) == {"sender_id": "invalid_text"}


def test_of_a_service_account_only_what_is_needed_is_kept() -> None:
    kept = checked("fcm", {"credentials": service_account()})["credentials"]
    assert set(kept) == {"type", "project_id", "private_key_id", "private_key", "client_email"}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"type": "authorized_user"}, {"credentials/type": "invalid_text"}),
        ({"project_id": "P/../x"}, {"credentials/project_id": "invalid_text"}),
        ({"client_email": "nobody"}, {"credentials/client_email": "invalid_text"}),
        ({"private_key": "x"}, {"credentials/private_key": "invalid_secret"}),
        ({"private_key": "é"}, {"credentials/private_key": "invalid_secret"}),
        ({"private_key": "…"}, {"credentials/private_key": "hidden_secret"}),
        ({"private_key": "x" * 9_000}, {"credentials/private_key": "too_long"}),
        ({"private_key": 17}, {"credentials/private_key": "invalid_type"}),
        ({"private_key": ""}, {"credentials/private_key": "missing_field"}),
        ({"private_key_id": ["a"]}, {"credentials/private_key_id": "invalid_text"}),
        ({"colour": "red"}, {"credentials": "unknown_field"}),
    ],
)
def test_what_is_wrong_with_a_service_account_is_said(change: dict[str, Any], found: dict[str, str]) -> None:
    assert problems("fcm", {"credentials": service_account() | change}) == found


def test_a_key_of_another_kind_is_no_service_accounts() -> None:
    made = generate_ec_key(SECP256R1())
    key = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    assert problems("fcm", {"credentials": service_account() | {"private_key": key}}) == {
        "credentials/private_key": "invalid_secret"
    }


def test_what_is_shown_tells_keys_apart_and_opens_nothing() -> None:
    shown = redacted("ses", checked("ses", AWS | {"sender": "ada@example.com"}))
    assert (shown["access_key_id"], shown["secret_access_key"]) == ("…MPLE", "…")
    shown = redacted("twilio", checked("twilio", TWILIO | {"status_callback": "https://x.example/cb/secret?t=1"}))
    assert (shown["auth_token"], shown["api_key"], shown["status_callback"]) == ("…", "", "https://x.example/…")
    shown = redacted("fcm", checked("fcm", {"credentials": service_account()}))
    assert shown["credentials"]["private_key"] == shown["credentials"]["private_key_id"] == "…"
    assert shown["credentials"]["project_id"] == "p1"
    assert redacted("fcm", {"credentials": "stored otherwise"}) == {"credentials": "…"}
