"""Private keys for DKIM, made here: no page and no test holds one."""

from __future__ import annotations

from functools import cache
from typing import Any

from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from whisperer.delivery import dkim

KINDS = ("rsa", "ed25519")


@cache
def pem(kind: str) -> str:
    made: Any = {
        "rsa": lambda: rsa.generate_private_key(public_exponent=65_537, key_size=2_048),
        "rsa 1024": lambda: rsa.generate_private_key(public_exponent=65_537, key_size=1_024),
        "ed25519": ed25519.Ed25519PrivateKey.generate,
        "ec": lambda: ec.generate_private_key(ec.SECP256R1()),
        "dsa": lambda: dsa.generate_private_key(1_024),
    }[kind]()
    return str(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode())


def encrypted_pem() -> str:
    key = dkim.load_key(pem("rsa"))
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"pw")).decode()


def public_pem() -> str:
    key = dkim.load_key(pem("rsa")).public_key()
    return key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()


def signing(kind: str = "rsa") -> dict[str, str]:
    """The part `dkim` of a channel's configuration."""
    return {"domain": "example.com", "selector": "s1", "private_key": pem(kind)}


def published(kind: str = "rsa") -> dict[bytes, bytes]:
    """What the domain's owner published: name, with the dot that the DNS has, to text."""
    found = dkim.record("example.com", "s1", dkim.load_key(pem(kind)))
    return {f"{found['name']}.".encode(): found["value"].encode()}


def is_genuine(message: bytes, kind: str = "rsa") -> bool:
    """Whether dkimpy, which knows nothing of ours, finds the signature good. Raises if it is none at all."""
    from dkim import DKIM, ValidationError

    texts = published(kind)
    try:
        return bool(DKIM(message).verify(dnsfunc=lambda name, timeout=5: texts.get(name)))
    except ValidationError:
        return False
