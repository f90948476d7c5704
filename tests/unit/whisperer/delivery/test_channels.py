from __future__ import annotations

import json
import pickle
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from whisperer.delivery.addresses import parse_sender
from whisperer.delivery.channels import parse_channel, redacted
from whisperer.delivery.errors import ChannelError
from whisperer.delivery.providers import PROVIDERS
from whisperer.vocabulary.channels import CHANNELS

SECRET = "whsec_" + "QUJD" * 10
SMTP: dict[str, Any] = {"host": "mail.example.com", "sender": "Ada <ada@example.com>"}
WEBHOOK: dict[str, Any] = {"url": "https://hooks.example.com/in?token=geheim", "secrets": [SECRET]}


def problems(channel: object, provider: object, config: object) -> dict[str, str]:
    with pytest.raises(ChannelError) as refused:
        parse_channel(channel, provider, config)
    assert refused.value.code == "invalid_channel"
    assert refused.value.status == 400
    return {problem["pointer"]: problem["code"] for problem in refused.value.errors}


def test_defaults_are_filled_in() -> None:
    assert parse_channel("email", "smtp", SMTP) == SMTP | {
        "port": 587,
        "username": "",
        "password": "",
        "tls": "starttls",
        "reply_to": "",
        "timeout_s": 15.0,
        "answer_timeout_s": 600.0,
        "dkim": None,
        "resend_unknown": False,
    }
    assert parse_channel("email", "smtp", SMTP | {"tls": "tls"})["port"] == 465
    assert parse_channel("sms", "sink", {}) == {}
    assert parse_channel("push", "webhook", WEBHOOK) == WEBHOOK


def test_a_checked_configuration_checks_to_itself() -> None:
    for channel, provider, config in (("email", "smtp", SMTP), ("webhook", "webhook", WEBHOOK), ("sms", "sink", {})):
        once = parse_channel(channel, provider, config)
        assert parse_channel(channel, provider, once) == once
        assert json.loads(json.dumps(once)) == once


def test_all_problems_are_told_at_once() -> None:
    config = {"host": "a b", "port": 0, "tls": "ssl", "username": "u", "sender": "x", "timeout_s": 1e9, "colour": "red"}
    assert problems("email", "smtp", config) == {
        "/config": "unknown_field",
        "/config/host": "invalid_host",
        "/config/port": "out_of_range",
        "/config/tls": "invalid_type",
        "/config/password": "missing_field",
        "/config/sender": "invalid_address",
        "/config/timeout_s": "out_of_range",
    }
    assert problems("email", "smtp", {}) == {"/config/host": "missing_field", "/config/sender": "missing_field"}
    assert problems("webhook", "webhook", {}) == {"/config/url": "missing_field", "/config/secrets": "missing_field"}
    assert problems("fax", "pigeon", []) == {
        "/channel": "unknown_channel",
        "/provider": "unknown_provider",
        "/config": "invalid_type",
    }
    assert problems("sms", "smtp", SMTP) == {"/provider": "unknown_provider"}


def test_a_password_goes_over_tls_or_stays_on_this_machine() -> None:
    login = SMTP | {"username": "ada", "password": "geheim", "tls": "none"}
    assert problems("email", "smtp", login) == {"/config/tls": "unencrypted_login"}
    assert parse_channel("email", "smtp", login | {"host": "127.0.0.1"})["password"] == "geheim"
    assert parse_channel("email", "smtp", login | {"tls": "starttls"})["password"] == "geheim"


@pytest.mark.parametrize("host", ["mail", "smtp-1", "mail.example.com", "127.0.0.1", "::1", "2001:db8::1", "10.0.0.1"])
def test_a_mail_server_may_be_anywhere(host: str) -> None:
    assert parse_channel("email", "smtp", SMTP | {"host": host})["host"] == host


@pytest.mark.parametrize(
    "host", ["smtp://x.com", "mail.example.com:25", "mail\r\n", "-", "0.0.0.0", "ma il", "12345", "é"]
)
def test_a_host_is_a_host(host: str) -> None:
    assert "/config/host" in problems("email", "smtp", SMTP | {"host": host})


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com",
        "file:///etc/passwd",
        "https://",
        "https:///path",
        "//example.com",
        "example.com",
        "https://user:geheim@example.com",
        "https://example.com:25/",
        "https://example.com:22/",
        "https://example.com:99999/",
        "https://example.com:x/",
        "https://example.com/#part",
        "https://exa mple.com/",
        "https://example.com\\@evil.com/",
        "https://example.com/\r\nX: y",
        "https://exämple.com/",
        "http://[::1",
        "https://example.com/" + "a" * 3000,
        "gopher://127.0.0.1:6379/_",
        "",
    ],
)
def test_a_url_that_is_none_of_a_webhook_is_refused_and_not_repeated(url: str) -> None:
    with pytest.raises(ChannelError) as refused:
        parse_channel("webhook", "webhook", WEBHOOK | {"url": url})
    assert [problem["pointer"] for problem in refused.value.errors] == ["/config/url"]
    assert "geheim" not in str(refused.value)


@pytest.mark.parametrize("url", ["http://example.com", "https://example.com:8443/a?b=c", "http://127.0.0.1:9000/"])
def test_a_url_of_a_webhook_is_taken(url: str) -> None:
    assert parse_channel("webhook", "webhook", WEBHOOK | {"url": url})["url"] == url


def test_every_secret_is_checked() -> None:
    config = WEBHOOK | {"secrets": [SECRET, "whsec_kurz", 7]}
    assert problems("webhook", "webhook", config) == {
        "/config/secrets/1": "invalid_secret",
        "/config/secrets/2": "invalid_secret",
    }
    assert problems("webhook", "webhook", WEBHOOK | {"secrets": [SECRET] * 6}) == {"/config/secrets": "too_many"}
    assert problems("webhook", "webhook", WEBHOOK | {"secrets": SECRET}) == {"/config/secrets": "missing_field"}


def test_what_is_shown_holds_no_secret() -> None:
    smtp = redacted("smtp", parse_channel("email", "smtp", SMTP | {"username": "ada", "password": "geheim"}))
    webhook = redacted("webhook", parse_channel("webhook", "webhook", WEBHOOK))
    assert "geheim" not in repr((smtp, webhook))
    assert SECRET not in repr(webhook)
    assert smtp["password"] == "…"
    assert webhook == {"url": "https://hooks.example.com/in?…", "secrets": ["whsec_…QUJD"]}
    assert redacted("smtp", smtp | {"password": ""})["password"] == ""


def test_of_a_provider_that_a_newer_release_stored_nothing_is_shown() -> None:
    assert redacted("pigeon", {"coop": "north", "ring": "geheim"}) == {"coop": "…", "ring": "…"}


def test_a_hidden_password_that_is_sent_back_does_not_become_the_password() -> None:
    shown = redacted("smtp", parse_channel("email", "smtp", SMTP | {"username": "ada", "password": "geheim"}))
    assert problems("email", "smtp", shown | {"port": 2525}) == {"/config/password": "hidden_secret"}
    shown = redacted("webhook", parse_channel("webhook", "webhook", WEBHOOK))
    assert problems("webhook", "webhook", shown) == {
        "/config/url": "invalid_url",
        "/config/secrets/0": "invalid_secret",
    }


def test_the_error_survives_pickling() -> None:
    error = ChannelError([{"pointer": "/config", "code": "unknown_field", "message": "x"}])
    again = pickle.loads(pickle.dumps(error))
    assert again.errors == error.errors
    assert str(again) == str(error)


@pytest.mark.parametrize(
    "text", ["", "Ada", "Ada <ada@example.com", "Ada ada@example.com>", "<>", "a\r\n <a@example.com>"]
)
def test_a_sender_is_an_address_with_or_without_a_name(text: str) -> None:
    assert parse_sender(text) is None
    assert parse_sender("ada@example.com") == ("", "ada@example.com")
    assert parse_sender('"Ada, Inc." <ada@example.com>') == ("Ada, Inc.", "ada@example.com")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
fields = st.sampled_from(
    ["host", "port", "username", "password", "tls", "sender", "timeout_s", "url", "secrets", "colour"]
)


@given(
    st.sampled_from(sorted(CHANNELS)) | json_values,
    st.sampled_from(sorted(PROVIDERS)) | json_values,
    st.dictionaries(fields, json_values, max_size=8) | json_values,
)
def test_whatever_comes_is_a_configuration_or_one_error(channel: object, provider: object, config: object) -> None:
    try:
        read = parse_channel(channel, provider, config)
    except ChannelError as error:
        problems = error.errors
    else:
        problems = []
        assert parse_channel(channel, provider, read) == read
        assert isinstance(provider, str)
        redacted(provider, read)
    assert problems or isinstance(config, dict)
    json.dumps(problems, ensure_ascii=False).encode()
