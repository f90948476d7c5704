"""Check a tenant's channels, and which provider carries each, before they are stored.

Guarantees: whatever the input, either a complete configuration within every limit, defaults filled in, or a
``ChannelError`` with every problem; what :func:`redacted` returns may be shown to anybody who may see the channel.
Leaves to sending whether a host answers, and whether a URL leads to an address that we may call.

    sink     {}
    smtp     {host, port, username, password, tls: none|starttls|tls, sender, timeout_s, answer_timeout_s}
    webhook  {url, secrets: ["whsec_…", …]}
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

from whisperer.delivery.addresses import ascii_host, is_clean, parse_sender
from whisperer.delivery.errors import ChannelError
from whisperer.delivery.webhooks import parse_secret
from whisperer.errors import Problem
from whisperer.vocabulary.channels import CHANNELS

SINK, SMTP, WEBHOOK_POST = "sink", "smtp", "webhook"

PROVIDERS: dict[str, tuple[str, ...]] = {SINK: tuple(CHANNELS), SMTP: ("email",), WEBHOOK_POST: tuple(CHANNELS)}
"""Provider -> the channels it can carry."""

TAKES_KEYS: dict[str, bool] = {
    SINK: True,  # keeps one message per send key
    SMTP: False,  # every copy is a message; nobody has to honour a Message-ID
    WEBHOOK_POST: True,  # `webhook-id` is the send key, which receivers accept once (Standard Webhooks)
}
"""Provider -> whether sending again under the same key is harmless, and so right after an unknown outcome."""

TLS_MODES = ("none", "starttls", "tls")
DEFAULT_PORT = {"none": 25, "starttls": 587, "tls": 465}
DEFAULT_TIMEOUT_S, MIN_TIMEOUT_S, MAX_TIMEOUT_S = 15.0, 1.0, 60.0
MAX_ANSWER_TIMEOUT_S = 600.0
"""Longest wait for the answer after the final dot, and the default: a server may do all its filtering then (RFC 5321,
4.5.3.2.6)."""
MAX_SECRETS = 5
MAX_TEXT, MAX_URL = 512, 2_048
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
_HIDDEN = "…"


def parse_channel(channel: object, provider: object, config: object) -> dict[str, Any]:
    """Check a channel as a caller wants it and return the whole configuration, defaults filled in.

    Raises
    ------
    ChannelError : with every problem found

    Examples
    --------
    >>> parse_channel("email", "smtp", {"host": "mail.example.com", "sender": "Ada <ada@example.com>"})["port"]
    587
    """
    reader = _Reader()
    if not isinstance(channel, str) or channel not in CHANNELS:
        channel = None
        reader.note("/channel", "unknown_channel", f"a channel is one of {', '.join(CHANNELS)}")
    if not isinstance(provider, str) or provider not in PROVIDERS:
        reader.note("/provider", "unknown_provider", f"a provider is one of {', '.join(PROVIDERS)}")
        provider = ""
    elif channel is not None and channel not in PROVIDERS[provider]:
        reader.note("/provider", "unknown_provider", f"{provider} carries {', '.join(PROVIDERS[provider])} only")
    if not isinstance(config, dict):
        reader.note("/config", "invalid_type", "write the provider's configuration as an object")
    read: dict[str, Any] = {}
    if provider in _READERS and isinstance(config, dict):
        read = _READERS[provider](reader, config)
    if reader.problems:
        raise ChannelError(reader.problems)
    return read


def redacted(config: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration as it may be shown: no password, no URL query, the last four characters of a secret.

    >>> redacted({"host": "mail.example.com", "password": "geheim"})
    {'host': 'mail.example.com', 'password': '…'}
    """
    shown = dict(config)
    if shown.get("password"):
        shown["password"] = _HIDDEN
    if "secrets" in shown:
        shown["secrets"] = [f"whsec_{_HIDDEN}{str(secret)[-4:]}" for secret in shown["secrets"]]
    if "url" in shown:
        address, question, _ = str(shown["url"]).partition("?")
        shown["url"] = address + question + (_HIDDEN if question else "")
    return shown


class _Reader:
    """Collect problems; each method returns the value read, or None (a number: its default) after noting a problem."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []

    def note(self, pointer: str, code: str, message: str) -> None:
        self.problems.append(Problem(pointer=pointer, code=code, message=message))

    def fields(self, config: dict[str, Any], known: tuple[str, ...]) -> None:
        unknown = [name for name in config if name not in known]
        if unknown:
            message = f"{len(unknown)} fields here have no meaning; known are {', '.join(known) or 'none'}"
            self.note("/config", "unknown_field", message)

    def text(self, config: dict[str, Any], name: str, most: int = MAX_TEXT, *, required: bool = True) -> str | None:
        at, value = f"/config/{name}", config.get(name)
        if value is None or value == "":
            if required:
                self.note(at, "missing_field", f"{name} is needed")
        elif not isinstance(value, str):
            self.note(at, "invalid_type", f"{name} is a text")
        elif len(value) > most:
            self.note(at, "too_long", f"{len(value)} characters; at most {most}")
        elif not is_clean(value):
            self.note(at, "invalid_text", f"{name} holds a line break or another control character; take it out")
        else:
            return value
        return None

    def number(self, config: dict[str, Any], name: str, default: float, low: float, high: float) -> float:
        value = config.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int | float):
            self.note(f"/config/{name}", "invalid_type", f"{name} is a number from {low:g} to {high:g}")
        elif not low <= value <= high:  # NaN too
            self.note(f"/config/{name}", "out_of_range", f"{name} is a number from {low:g} to {high:g}")
        else:
            return value
        return default


def _read_sink(reader: _Reader, config: dict[str, Any]) -> dict[str, Any]:
    reader.fields(config, ())
    return {}


def _read_smtp(reader: _Reader, config: dict[str, Any]) -> dict[str, Any]:
    known = ("host", "port", "username", "password", "tls", "sender", "timeout_s", "answer_timeout_s")
    reader.fields(config, known)
    host = reader.text(config, "host")
    if host is not None and not _is_host(host):
        reader.note("/config/host", "invalid_host", "host is a host name or an IP address, without port or scheme")
    tls = config.get("tls", "starttls")
    if tls not in TLS_MODES:
        reader.note("/config/tls", "invalid_type", f"tls is one of {', '.join(TLS_MODES)}")
        tls = "starttls"
    port = reader.number(config, "port", DEFAULT_PORT[tls], 1, 65_535)
    if port != int(port):
        reader.note("/config/port", "invalid_type", "port is a whole number")
    elif not is_port_allowed(SMTP, int(port)):
        reader.note("/config/port", "out_of_range", _PORTS[SMTP])
    username = reader.text(config, "username", required=False)
    password = reader.text(config, "password", required=False)
    if password == _HIDDEN:  # the redacted form was sent back
        reader.note("/config/password", "hidden_secret", f"{_HIDDEN} stands for a password; write the password itself")
    if bool(config.get("username")) != bool(config.get("password")):
        lacking = "password" if config.get("username") else "username"
        reader.note(f"/config/{lacking}", "missing_field", "username and password go together")
    if username and tls == "none" and host not in LOOPBACK_HOSTS:
        reader.note("/config/tls", "unencrypted_login", "a password is sent over TLS only; write starttls or tls")
    sender = reader.text(config, "sender")
    if sender is not None and parse_sender(sender) is None:
        message = "sender is an e-mail address, or a name and an address: Ada <ada@example.com>"
        reader.note("/config/sender", "invalid_address", message)
    return {
        "host": host,
        "port": int(port),
        "username": username or "",
        "password": password or "",
        "tls": tls,
        "sender": sender,
        "timeout_s": float(reader.number(config, "timeout_s", DEFAULT_TIMEOUT_S, MIN_TIMEOUT_S, MAX_TIMEOUT_S)),
        "answer_timeout_s": float(
            reader.number(config, "answer_timeout_s", MAX_ANSWER_TIMEOUT_S, MIN_TIMEOUT_S, MAX_ANSWER_TIMEOUT_S)
        ),
    }


def _read_webhook(reader: _Reader, config: dict[str, Any]) -> dict[str, Any]:
    reader.fields(config, ("url", "secrets"))
    url = reader.text(config, "url", MAX_URL)
    problem = None if url is None else _url_problem(url)
    if problem is not None:
        reader.note("/config/url", "invalid_url", problem)
    secrets = config.get("secrets")
    if not isinstance(secrets, list) or not secrets:
        reader.note("/config/secrets", "missing_field", "write a list with at least one secret: whsec_ and base64")
        secrets = []
    if len(secrets) > MAX_SECRETS:
        reader.note("/config/secrets", "too_many", f"{len(secrets)} secrets; at most {MAX_SECRETS} sign at once")
    for index, secret in enumerate(secrets[:MAX_SECRETS]):
        try:
            parse_secret(secret if isinstance(secret, str) else "")
        except ValueError as error:
            reader.note(f"/config/secrets/{index}", "invalid_secret", str(error))
    return {"url": url, "secrets": list(secrets)}


_READERS: dict[str, Callable[[_Reader, dict[str, Any]], dict[str, Any]]] = {
    SINK: _read_sink,
    SMTP: _read_smtp,
    WEBHOOK_POST: _read_webhook,
}


_OWN_PORTS = {SMTP: (25, 465, 587), WEBHOOK_POST: (80, 443)}
_PORTS = {
    SMTP: "the port is 25, 465, 587 or 1024 to 65535",
    WEBHOOK_POST: "the port is 80, 443 or 1024 to 65535",
}


def is_port_allowed(provider: str, port: int) -> bool:
    """Return whether a port is one of the provider's own, or one that no system service conventionally listens on."""
    return port in _OWN_PORTS[provider] or 1_024 <= port <= 65_535


def is_repeatable(channel: str) -> bool:
    """Return whether every provider that may carry a channel honours send keys, for when it is unknown which did."""
    return all(TAKES_KEYS[provider] for provider, carried in PROVIDERS.items() if channel in carried)


def _is_host(host: str) -> bool:
    if host in LOOPBACK_HOSTS or ascii_host(host) == host.lower():
        return True
    try:
        return not ipaddress.ip_address(host).is_unspecified
    except ValueError:
        # A single label is a relay in the same network, as container networks name them.
        return host.isascii() and host.replace("-", "").isalnum() and not host.isdigit() and len(host) <= 63


def _url_problem(url: str) -> str | None:
    """Return what is wrong with a URL, or None, never quoting it: it may carry a token."""
    if not url.isascii() or " " in url or "\\" in url:
        return "write the URL in ASCII, without blanks and backslashes"
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return "this is no URL"
    if parts.scheme not in ("http", "https"):
        return "a webhook's URL starts with https:// or http://"
    if not parts.hostname:
        return "the URL has no host"
    if "@" in parts.netloc:
        return "leave user and password out of the URL; the signature says who is calling"
    if parts.fragment or url.endswith("#"):
        return "leave the part behind # out; it is never sent"
    if port is not None and not is_port_allowed(WEBHOOK_POST, port):
        return _PORTS[WEBHOOK_POST]
    return None
