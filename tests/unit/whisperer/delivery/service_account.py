"""A service account's private key, made here: no page and no test holds one."""

from __future__ import annotations

from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat


@cache
def private_key() -> str:
    made = generate_private_key(public_exponent=65_537, key_size=2_048)
    return made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def with_private_key(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration, with a key where the page that it is from only shows that there is one."""
    if "credentials" not in config:
        return config
    return config | {"credentials": config["credentials"] | {"private_key": private_key()}}


def service_account() -> dict[str, str]:
    """What Google gives for a service account, of a project that does not exist."""
    return {
        "type": "service_account",
        "project_id": "p1",
        "private_key_id": "kid1",
        "private_key": private_key(),
        "client_email": "sa@p1.iam.gserviceaccount.com",
        "client_id": "17",
        "auth_uri": "https://accounts.google.com/o/oauth2/auth",
        "token_uri": "https://oauth2.googleapis.com/token",
        "universe_domain": "googleapis.com",
    }
