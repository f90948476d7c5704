"""Read the configuration of an SMTP server.

{host, port, username, password, tls: none|starttls|tls, sender, reply_to, timeout_s,
answer_timeout_s, dkim: {domain, selector, private_key}}
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any

from whisperer.delivery.addresses import MAX_DOMAIN_CHARS, ascii_host
from whisperer.delivery.providers.reading import HIDDEN, MIN_TIMEOUT_S, ConfigReader, hidden
from whisperer.delivery.providers.spec import ProviderSpec

TLS_MODES = ("none", "starttls", "tls")
DEFAULT_PORT = {"none": 25, "starttls": 587, "tls": 465}
MAX_ANSWER_TIMEOUT_S = 600.0
"""Longest wait for the answer after the final dot, and the default: a server may do all its filtering then (RFC 5321,
4.5.3.2.6)."""
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")
MAX_KEY_CHARS = 8_192

_DKIM = ("domain", "selector", "private_key")
_AT = "/config/dkim"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
_SELECTOR = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")


def _read(reader: ConfigReader, config: dict[str, Any]) -> dict[str, Any]:
    known = ("host", "port", "username", "password", "tls", "sender", "reply_to", "timeout_s", "answer_timeout_s")
    reader.fields(config, (*known, "dkim"))
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
    elif not SMTP.allows_port(int(port)):
        reader.note("/config/port", "out_of_range", SMTP.ports)
    username = reader.text(config, "username", required=False)
    password = reader.text(config, "password", required=False)
    if password == HIDDEN:  # the redacted form was sent back
        reader.note("/config/password", "hidden_secret", f"{HIDDEN} stands for a password; write the password itself")
    if bool(config.get("username")) != bool(config.get("password")):
        lacking = "password" if config.get("username") else "username"
        reader.note(f"/config/{lacking}", "missing_field", "username and password go together")
    if username and tls == "none" and host not in LOOPBACK_HOSTS:
        reader.note("/config/tls", "unencrypted_login", "a password is sent over TLS only; write starttls or tls")
    return {
        "host": host,
        "port": int(port),
        "username": username or "",
        "password": password or "",
        "tls": tls,
        "sender": reader.sender(config, "sender"),
        "reply_to": reader.sender(config, "reply_to", required=False) or "",
        "timeout_s": reader.timeout_s(config),
        "answer_timeout_s": float(
            reader.number(config, "answer_timeout_s", MAX_ANSWER_TIMEOUT_S, MIN_TIMEOUT_S, MAX_ANSWER_TIMEOUT_S)
        ),
        "dkim": _dkim(reader, config.get("dkim")),
    }


def _dkim(reader: ConfigReader, given: object) -> dict[str, Any] | None:
    """Read by what a channel's mails are signed, None for nothing."""
    if given is None:
        return None
    if not isinstance(given, dict):
        reader.note(_AT, "invalid_type", f"dkim is an object with {', '.join(_DKIM)}")
        return None
    unknown = [name for name in given if name not in _DKIM]
    if unknown:
        reader.note(_AT, "unknown_field", f"{len(unknown)} fields here have no meaning; known are {', '.join(_DKIM)}")
    texts: dict[str, str] = {}
    for name in _DKIM:
        value = given.get(name)
        if value is None or value == "":
            reader.note(f"{_AT}/{name}", "missing_field", f"{name} is needed")
        elif not isinstance(value, str):
            reader.note(f"{_AT}/{name}", "invalid_type", f"{name} is a text")
        else:
            texts[name] = value
    domain, selector = ascii_host(texts.get("domain", "")), texts.get("selector", "").lower()
    if "domain" in texts and domain is None:
        reader.note(f"{_AT}/domain", "invalid_host", "domain is the domain that signs, such as example.com")
    if selector and not _SELECTOR.fullmatch(selector):
        told = "selector is a name in the DNS: letters, digits and hyphens, and dots between them"
        reader.note(f"{_AT}/selector", "invalid_text", told)
    elif domain is not None and len(f"{selector}._domainkey.{domain}") > MAX_DOMAIN_CHARS:
        reader.note(
            f"{_AT}/selector", "too_long", f"selector._domainkey.domain has at most {MAX_DOMAIN_CHARS} characters"
        )
    problem = _key_problem(texts["private_key"]) if "private_key" in texts else None
    if problem is not None:
        reader.note(f"{_AT}/private_key", *problem)
    return {"domain": domain, "selector": selector, "private_key": texts.get("private_key", "")}


def _key_problem(key: str) -> tuple[str, str] | None:
    """Return the code and the message of what is wrong with the private key, or None, never quoting it."""
    from whisperer.delivery import dkim  # 15 ms that only who signs waits for

    if HIDDEN in key:
        return "hidden_secret", f"{HIDDEN} stands for a secret; write the secret itself"
    if len(key) > MAX_KEY_CHARS:
        return "too_long", f"{len(key)} characters; at most {MAX_KEY_CHARS}"
    try:
        dkim.load_key(key)
    except dkim.KeyProblemError as error:
        return "invalid_secret", str(error)
    return None


def _shown_dkim(given: object) -> object:
    """Return what is shown of it: whose signature it is, and the DNS record to publish, which follows from the key."""
    from whisperer.delivery import dkim

    if not isinstance(given, dict):
        return None if given is None else HIDDEN
    shown = {name: HIDDEN if name == "private_key" else given.get(name) for name in _DKIM}
    try:
        key = dkim.load_key(str(given.get("private_key")), is_checked=True)
    except dkim.KeyProblemError:
        return shown
    return shown | {"dns_record": dkim.record(str(shown["domain"]), str(shown["selector"]), key)}


def _is_host(host: str) -> bool:
    if host in LOOPBACK_HOSTS or ascii_host(host) == host.lower():
        return True
    try:
        return not ipaddress.ip_address(host).is_unspecified
    except ValueError:
        # A single label is a relay in the same network, as container networks name them.
        return host.isascii() and host.replace("-", "").isalnum() and not host.isdigit() and len(host) <= 63


SMTP = ProviderSpec(
    "smtp",
    channels=("email",),
    takes_keys=False,  # every copy is a message; nobody has to honour a Message-ID
    read=_read,
    shown={"password": hidden, "dkim": _shown_dkim},
    own_ports=(25, 465, 587),
)
