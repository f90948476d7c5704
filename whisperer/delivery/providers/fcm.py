"""Read the configuration of Firebase Cloud Messaging, HTTP v1.

{credentials: the service account's JSON, base_url, token_url, timeout_s}

Of the credentials only what is needed is kept. They name addresses of their own (`token_uri` and others), which are not
followed: where a token is asked for is `token_url`.
"""

from __future__ import annotations

import re
from typing import Any

from whisperer.delivery.addresses import usable_of_kind
from whisperer.delivery.providers.endpoints import read_base_url, without_query
from whisperer.delivery.providers.reading import HIDDEN, ConfigReader
from whisperer.delivery.providers.spec import ProviderSpec

PUBLIC = "https://fcm.googleapis.com"
PUBLIC_TOKENS = "https://oauth2.googleapis.com/token"
MAX_KEY_CHARS = 8_192

_AT = "/config/credentials"
_KEPT = ("type", "project_id", "private_key_id", "private_key", "client_email")
_KNOWN = (
    *_KEPT, "client_id", "auth_uri", "token_uri", "auth_provider_x509_cert_url", "client_x509_cert_url",
    "universe_domain",
)  # fmt: skip
_PROJECT = re.compile(r"(?:[a-z0-9.-]{1,63}:)?[a-z][a-z0-9-]{0,62}")
_KEY_ID = re.compile(r"[A-Za-z0-9_-]{1,128}")


def _read(reader: ConfigReader, config: dict[str, Any]) -> dict[str, Any]:
    reader.fields(config, ("credentials", "base_url", "token_url", "timeout_s"))
    return {
        "credentials": _credentials(reader, config.get("credentials")),
        "base_url": read_base_url(reader, config, FCM, PUBLIC),
        "token_url": read_base_url(reader, config, FCM, PUBLIC_TOKENS, "token_url"),
        "timeout_s": reader.timeout_s(config),
    }


def _credentials(reader: ConfigReader, given: object) -> dict[str, str]:
    if given is None or given == "":
        reader.note(_AT, "missing_field", "credentials is needed: the service account's JSON, as Google gives it")
        return {}
    if not isinstance(given, dict):
        reader.note(_AT, "invalid_type", "credentials is the service account's JSON, as an object")
        return {}
    unknown = [name for name in given if name not in _KNOWN]
    if unknown:
        reader.note(_AT, "unknown_field", f"{len(unknown)} fields here are not a service account's")
    for name, told, is_right in (
        ("type", "service_account", lambda text: text == "service_account"),
        ("project_id", "the project's id", _PROJECT.fullmatch),
        ("client_email", "the service account's address", lambda text: usable_of_kind("email", text) == text),
        ("private_key_id", "the key's id", _KEY_ID.fullmatch),
    ):
        value = given.get(name)
        if value is None or value == "":
            reader.note(f"{_AT}/{name}", "missing_field", f"{name} is needed")
        elif not isinstance(value, str) or not is_right(value):
            reader.note(f"{_AT}/{name}", "invalid_text", f"{name} is {told}")
    problem = _key_problem(given.get("private_key"))
    if problem is not None:
        reader.note(f"{_AT}/private_key", *problem)
    return {name: given[name] for name in _KEPT if name in given}


def _key_problem(key: object) -> tuple[str, str] | None:
    """Return the code and the message of what is wrong with the private key, or None, never quoting it."""
    from cryptography.exceptions import UnsupportedAlgorithm  # 15 ms that only who sets this channel waits for
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    if key is None or key == "":
        return "missing_field", "private_key is needed"
    if not isinstance(key, str):
        return "invalid_type", "private_key is a text"
    if HIDDEN in key:
        return "hidden_secret", f"{HIDDEN} stands for a secret; write the secret itself"
    if len(key) > MAX_KEY_CHARS:
        return "too_long", f"{len(key)} characters; at most {MAX_KEY_CHARS}"
    try:
        loaded = load_pem_private_key(key.encode("ascii"), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "invalid_secret", "this is no private key: copy the service account's JSON again"
    if not isinstance(loaded, RSAPrivateKey):
        return "invalid_secret", "the private key of a service account is an RSA key"
    return None


def _shown(credentials: object) -> object:
    if not isinstance(credentials, dict):
        return HIDDEN
    return {name: HIDDEN if name.startswith("private_key") else value for name, value in credentials.items()}


FCM = ProviderSpec(
    "fcm",
    channels=("push",),
    takes_keys=False,
    read=_read,
    shown={"credentials": _shown, "base_url": without_query, "token_url": without_query},
    own_ports=(80, 443),
)
