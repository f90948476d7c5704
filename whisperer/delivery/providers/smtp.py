"""Read the configuration of an SMTP server.

{host, port, username, password, tls: none|starttls|tls, sender, reply_to, timeout_s,
answer_timeout_s}
"""

from __future__ import annotations

import ipaddress
from typing import Any

from whisperer.delivery.addresses import ascii_host
from whisperer.delivery.providers.reading import HIDDEN, MIN_TIMEOUT_S, ConfigReader, hidden
from whisperer.delivery.providers.spec import ProviderSpec

TLS_MODES = ("none", "starttls", "tls")
DEFAULT_PORT = {"none": 25, "starttls": 587, "tls": 465}
MAX_ANSWER_TIMEOUT_S = 600.0
"""Longest wait for the answer after the final dot, and the default: a server may do all its filtering then (RFC 5321,
4.5.3.2.6)."""
LOOPBACK_HOSTS = ("localhost", "127.0.0.1", "::1")


def _read(reader: ConfigReader, config: dict[str, Any]) -> dict[str, Any]:
    known = ("host", "port", "username", "password", "tls", "sender", "reply_to", "timeout_s", "answer_timeout_s")
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
    }


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
    shown={"password": hidden},
    own_ports=(25, 465, 587),
)
