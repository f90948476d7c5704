"""Sign mails with DKIM: relaxed/relaxed, RSA or Ed25519 over SHA-256 (RFC 6376, 8301, 8463).

Guarantees: what is signed is the very message that is returned, so that it verifies as long as nobody on the way
changes more than white space; the same message, key and time give the same signature. Signed are the headers that a
reader or their mail program acts on, among them every `List-*` (RFC 8058 wants those of one-click unsubscription).
`From` is signed once more than it is there, so that a second one cannot be put in front of it.

Leaves to whoever sends that line ends are CRLF and no line is longer than mail allows, and to the domain's owner the
DNS record, whose content :func:`record` returns.
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any, TypedDict

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key

from whisperer.errors import InputError

MIN_RSA_BITS, MAX_RSA_BITS = 2_048, 4_096
"""Verifiers need not look at keys above (RFC 8301); those below are not safe."""
SIGNED = ("from", "to", "subject", "date", "message-id", "reply-to", "mime-version", "content-type", "feedback-id")
"""Signed if they are there, and so is every header that begins with `List-`."""
OVERSIGNED = ("from",)
NAMES_A_LINE = 5
BASE64_A_LINE = 72

Key = RSAPrivateKey | Ed25519PrivateKey

_FIELD_END = re.compile(rb"\r\n(?![ \t])")
_FOLDS = re.compile(rb"\r\n(?=[ \t])")


class Record(TypedDict):
    """What the domain's owner publishes. A name server that takes pieces of 255 characters only is given several."""

    name: str
    type: str
    value: str


class KeyProblemError(InputError):
    """Say what is wrong with a private key, never quoting it."""


def load_key(pem: str, *, is_checked: bool = False) -> Key:
    """Return the private key that a PEM text holds. ``is_checked``: it was loaded before, and is not looked through
    again, which takes long.

    Raises
    ------
    KeyProblemError : with a sentence for whoever set the key
    """
    if "PUBLIC KEY-----" in pem:
        raise KeyProblemError("this is the public key; the private one signs")
    try:
        found = load_pem_private_key(pem.encode("ascii"), password=None, unsafe_skip_rsa_key_validation=is_checked)
    except TypeError:
        raise KeyProblemError("the private key is encrypted; write it without a password") from None
    except (ValueError, UnsupportedAlgorithm):
        raise KeyProblemError("this is no private key in PEM, from -----BEGIN to its end") from None
    if isinstance(found, Ed25519PrivateKey):
        return found
    if not isinstance(found, RSAPrivateKey):
        raise KeyProblemError("a DKIM key is an RSA or an Ed25519 key")
    if not MIN_RSA_BITS <= found.key_size <= MAX_RSA_BITS:
        raise KeyProblemError(
            f"an RSA key of {found.key_size} bits; from {MIN_RSA_BITS:,} to {MAX_RSA_BITS:,} are safe"
        )
    return found


def record(domain: str, selector: str, key: Key) -> Record:
    """Return the DNS record by which others verify what a key signs."""
    public = key.public_key()
    if isinstance(key, Ed25519PrivateKey):
        kind, encoded = "ed25519", public.public_bytes(Encoding.Raw, PublicFormat.Raw)
    else:
        kind, encoded = "rsa", public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    value = f"v=DKIM1; k={kind}; p={base64.b64encode(encoded).decode()}"
    return Record(name=f"{selector}._domainkey.{domain}", type="TXT", value=value)


class Signer:
    """Signs a domain's mails. ``config`` is the part `dkim` of a channel's configuration, as it was checked."""

    def __init__(self, config: dict[str, Any]) -> None:
        self._domain: str = config["domain"]
        self._selector: str = config["selector"]
        self._key = load_key(config["private_key"], is_checked=True)
        self._algorithm = "ed25519-sha256" if isinstance(self._key, Ed25519PrivateKey) else "rsa-sha256"

    def __repr__(self) -> str:
        return f"Signer({self._selector}._domainkey.{self._domain})"

    def sign(self, message: bytes, at: int) -> bytes:
        """Return a message, whose line ends are CRLF, with its signature in front. ``at``: ms UTC."""
        head, _, body = message.partition(b"\r\n\r\n")
        fields = dict(_named(field) for field in _FIELD_END.split(head))
        names = [name for name in fields if name in SIGNED or name.startswith("list-")]
        body_hash = base64.b64encode(hashlib.sha256(relaxed_body(body)).digest()).decode()
        lines = (
            f"DKIM-Signature: v=1; a={self._algorithm}; c=relaxed/relaxed; t={at // 1000};",
            f"d={self._domain}; s={self._selector};",
            f"h={_listed([*OVERSIGNED, *names])};",
            f"bh={body_hash};",
            "b=",
        )
        unsigned = "\r\n ".join(lines).encode("ascii")
        own = relaxed_field(*_named(unsigned))
        signature = self._signature(b"".join([*(relaxed_field(name, fields[name]) for name in names), own[:-2]]))
        return unsigned + _wrapped(base64.b64encode(signature)) + b"\r\n" + message

    def _signature(self, text: bytes) -> bytes:
        if isinstance(self._key, Ed25519PrivateKey):
            return self._key.sign(hashlib.sha256(text).digest())
        return self._key.sign(text, PKCS1v15(), hashes.SHA256())


def relaxed_field(name: str, value: bytes) -> bytes:
    r"""Return a header as it is signed (RFC 6376, 3.4.2).

    >>> relaxed_field("Subject", b" Hello \r\n\t Ada \t")
    b'subject:Hello Ada\r\n'
    """
    return name.lower().encode("ascii") + b":" + _one_blank(_FOLDS.sub(b"", value)).strip(b" ") + b"\r\n"


def relaxed_body(body: bytes) -> bytes:
    r"""Return a body as it is hashed (RFC 6376, 3.4.4).

    >>> relaxed_body(b" a \t b \r\n\r\n\r\n"), relaxed_body(b"\r\n")
    (b' a b\r\n', b'')
    """
    text = _one_blank(body).replace(b" \r\n", b"\r\n").rstrip(b" \r\n")
    return text + b"\r\n" if text else b""


def _one_blank(text: bytes) -> bytes:
    """Return a text with one blank in place of each run of them. A regular expression takes several times as long."""
    text = text.replace(b"\t", b" ")
    while b"  " in text:
        text = text.replace(b"  ", b" ")
    return text


def _named(field: bytes) -> tuple[str, bytes]:
    name, _, value = field.partition(b":")
    return name.decode("ascii").strip().lower(), value


def _listed(names: list[str]) -> str:
    """Return names as the tag `h` has them, some in a line."""
    lines = [":".join(names[at : at + NAMES_A_LINE]) for at in range(0, len(names), NAMES_A_LINE)]
    return ":\r\n ".join(lines)


def _wrapped(encoded: bytes) -> bytes:
    """Return base64 with line breaks, which a signature may have anywhere."""
    return b"\r\n ".join(encoded[at : at + BASE64_A_LINE] for at in range(0, len(encoded), BASE64_A_LINE))
