"""Signs and reads JSON Web Tokens, strictly.

Decides what a token may look like before any key is touched: three parts in base 64, :data:`MAX_TOKEN_BYTES` in all,
JSON objects without duplicate names, one of :data:`ALGORITHMS`, and no header that names a key, fetches one or changes
what is signed. The key is found by the caller from what it has configured, never from the token, and each key is good
for one algorithm. PyJWT checks signature, times, issuer and audience.
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from whisperer.errors import InvalidKeyError
from whisperer.vocabulary.named import Named

MAX_TOKEN_BYTES = 8 << 10
ALGORITHMS = ("RS256", "EdDSA")
MIN_RSA_BITS = 2_048
LEEWAY_S = 5
"""How far the clocks of two of our machines may differ."""
FOREIGN_LEEWAY_S = 30
AUDIENCE = "user-whisperer"

_KEY_ID = re.compile(r"[\x21-\x7e]{1,200}")
_REFUSED_HEADERS = frozenset({"jwk", "jku", "x5u", "x5c", "crit", "b64", "zip", "enc", "cty"})
"""They bring a key along, say where to fetch one, or change how the token is to be read."""
_BASE64 = re.compile(r"[A-Za-z0-9_-]*")


class Use(Named):
    """What a token of ours is for: its header `typ`. One is never good for another use."""

    ACCESS = "at+jwt"
    STEP = "step+jwt"
    """Between two pages of signing in."""
    RESET = "reset+jwt"
    """In a link that sets a new password."""


@dataclass(frozen=True, slots=True)
class PublicKey:
    """A key that signatures are checked with; good for its algorithm alone."""

    id: str
    algorithm: str
    key: RSAPublicKey | Ed25519PublicKey


@dataclass(frozen=True, slots=True)
class Unverified:
    """What a token says, none of which may be believed yet."""

    token: str
    key_id: str | None
    algorithm: str
    type: str | None
    issuer: str
    claims: dict[str, Any]


def refused(why: str) -> InvalidKeyError:
    """Return the error for a token that is not good here (`invalid_token`)."""
    return InvalidKeyError(f"this token is not good here: {why}", code="invalid_token")


def is_like_a_token(presented: str) -> bool:
    """Return whether this is meant as a JSON Web Token: keys have no dots."""
    return "." in presented


def read(token: str) -> Unverified:
    """Return what a token says. Raises InvalidKeyError (`invalid_token`)."""
    if len(token) > MAX_TOKEN_BYTES:
        raise refused(f"it is longer than {MAX_TOKEN_BYTES >> 10} KB")
    parts = token.split(".")
    if len(parts) != 3 or not all(parts):
        raise refused("it is not three parts with dots between them")
    header, claims = _object(parts[0]), _object(parts[1])
    if named := sorted(_REFUSED_HEADERS & header.keys()):
        raise refused(f"its header has {named[0]}")
    algorithm, key_id, kind, issuer = header.get("alg"), header.get("kid"), header.get("typ"), claims.get("iss")
    if algorithm not in ALGORITHMS:
        raise refused("it is signed by none of " + ", ".join(ALGORITHMS))
    if key_id is not None and not (isinstance(key_id, str) and _KEY_ID.fullmatch(key_id)):
        raise refused("its kid is not the id of a key")
    if kind is not None and not isinstance(kind, str):
        raise refused("its typ is not a text")
    if not isinstance(issuer, str):
        raise refused("it names no issuer")
    return Unverified(token, key_id, algorithm, kind, issuer, claims)


def verified(
    unverified: Unverified, key: PublicKey, *, issuer: str, audience: str, is_ours: bool = True
) -> dict[str, Any]:
    """Return the claims of a token that the key has signed, for us, and for now.

    Raises InvalidKeyError (`invalid_token`).
    """
    if unverified.algorithm != key.algorithm:
        raise refused("its algorithm is not that of its key")
    required = ["exp", "iat", "iss", "aud", "sub", *(("nbf", "jti") if is_ours else ())]
    try:
        found: dict[str, Any] = jwt.decode(
            unverified.token,
            key.key,
            algorithms=[key.algorithm],
            audience=audience,
            issuer=issuer,
            leeway=LEEWAY_S if is_ours else FOREIGN_LEEWAY_S,
            options={"require": required, "strict_aud": is_ours},
        )
    except jwt.ExpiredSignatureError:
        raise refused("it has expired") from None
    except jwt.ImmatureSignatureError:
        raise refused("it is not valid yet") from None
    except jwt.InvalidAudienceError:
        raise refused("it is for somebody else (aud)") from None
    except jwt.InvalidIssuerError:
        raise refused("it has another issuer") from None
    except jwt.MissingRequiredClaimError as error:
        raise refused(f"it lacks {error.claim}") from None
    except (jwt.PyJWTError, ValueError, TypeError, OverflowError):  # the last three: times that are no times
        raise refused("its signature or its claims are invalid") from None
    return found


def public_key(jwk: dict[str, Any]) -> PublicKey | None:
    """Return the key of a JWK; None if it is of no kind that is used here, or is not for signatures."""
    kind, key_id = jwk.get("kty"), jwk.get("kid")
    algorithm = "RS256" if kind == "RSA" else "EdDSA" if kind == "OKP" and jwk.get("crv") == "Ed25519" else None
    if algorithm is None or jwk.get("alg", algorithm) != algorithm or jwk.get("use", "sig") != "sig":
        return None
    if not isinstance(key_id, str) or not _KEY_ID.fullmatch(key_id):
        return None
    try:
        key = jwt.PyJWK({**jwk, "alg": algorithm}).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if isinstance(key, RSAPublicKey):
        return PublicKey(key_id, algorithm, key) if key.key_size >= MIN_RSA_BITS else None
    return PublicKey(key_id, algorithm, key) if isinstance(key, Ed25519PublicKey) else None


def _object(part: str) -> dict[str, Any]:
    """Return the JSON object of a token's part."""
    try:
        if not _BASE64.fullmatch(part):
            raise ValueError
        text = base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)).decode()
        found = json.loads(text, object_pairs_hook=_without_duplicates, parse_constant=_no_number)
    except (ValueError, binascii.Error, RecursionError):
        raise refused("its parts are not JSON objects in base 64, or name something twice") from None
    if not isinstance(found, dict):
        raise refused("its parts are not JSON objects")
    return found


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):  # another reader might take the other one
        raise ValueError
    return found


def _no_number(_: str) -> Any:
    raise ValueError
