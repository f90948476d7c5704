"""The keys with which this installation signs its tokens: made at first need, replaced by command.

Of those that are not retired the newest signs. A retired key verifies for as long as a token that it signed may last
(:data:`LONGEST_TOKEN_MS`), and is deleted at the next rotation after that.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, generate_private_key
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from jwt.algorithms import OKPAlgorithm, RSAAlgorithm
from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.control_plane.identity.jwts import ALGORITHMS, AUDIENCE, MIN_RSA_BITS, PublicKey, Use, public_key
from cluster.control_plane.models import SigningKeyRow
from cluster.control_plane.transactions import Transactions, now_ms
from whisperer.errors import RequestError
from whisperer.ids import new_id
from whisperer.vocabulary.units import DAY_MS

DEFAULT_ALGORITHM = "RS256"
"""Every client's library has it."""
LONGEST_TOKEN_MS = DAY_MS


@dataclass(frozen=True, slots=True)
class SigningKeyInfo:
    """What may be shown of a signing key; ``retired_at`` is None for those that sign, or could."""

    id: str
    algorithm: str
    created_at: int
    retired_at: int | None


class SigningKeys(Transactions):
    """Makes, rotates and lists the installation's signing keys, and signs with the newest."""

    def sign(self, use: Use, claims: dict[str, Any], *, issuer: str, life_s: int) -> str:
        """Return a signed token with these claims, and those that all have: iss, aud, iat, nbf, exp and jti."""
        now_s = now_ms() // 1000
        key_id, algorithm, key = self._signer()
        common = {
            "iss": issuer,
            "aud": AUDIENCE,
            "iat": now_s,
            "nbf": now_s,
            "exp": now_s + life_s,
            "jti": new_id("jwt"),
        }
        return jwt.encode(claims | common, key, algorithm=algorithm, headers={"kid": key_id, "typ": str(use)})

    def rotate_signing_key(self, algorithm: str = DEFAULT_ALGORITHM) -> SigningKeyInfo:
        """Sign with a new key from now on. Raises RequestError (`invalid_algorithm`)."""
        if algorithm not in ALGORITHMS:
            known = " or ".join(ALGORITHMS)
            raise RequestError(f"tokens are signed by {known}, not {algorithm[:20]!r}", code="invalid_algorithm")
        now = now_ms()
        with self._writing() as session:
            for row in session.scalars(select(SigningKeyRow)):
                if row.retired_at is None:
                    row.retired_at = now
                elif _has_ended(row, now):
                    session.delete(row)
            return _info(_add(session, algorithm, now))

    def list_signing_keys(self) -> list[SigningKeyInfo]:
        """Return all signing keys, oldest first."""
        with self._reading() as session:
            return [_info(row) for row in session.scalars(select(SigningKeyRow).order_by(SigningKeyRow.id))]

    def verification_keys(self) -> dict[str, PublicKey]:
        """Return the keys whose tokens are good now, by id."""
        found = (public_key(jwk) for jwk in self.jwks()["keys"])
        return {key.id: key for key in found if key is not None}

    def jwks(self) -> dict[str, list[dict[str, Any]]]:
        """Return these keys as a JSON Web Key Set (RFC 7517)."""
        now = now_ms()
        with self._reading() as session:
            rows = session.scalars(select(SigningKeyRow).order_by(SigningKeyRow.id))
            return {"keys": [row.public_key for row in rows if not _has_ended(row, now)]}

    def _signer(self) -> tuple[str, str, RSAPrivateKey | Ed25519PrivateKey]:
        newest = select(SigningKeyRow).where(SigningKeyRow.retired_at.is_(None)).order_by(SigningKeyRow.id.desc())
        with self._reading() as session:
            row = session.scalars(newest.limit(1)).one_or_none()
        if row is None:
            with self._writing() as session:
                row = session.scalars(newest.limit(1)).one_or_none()  # another process may have made one
                row = row or _add(session, DEFAULT_ALGORITHM, now_ms())
                session.flush()
        key = load_pem_private_key(row.private_key.encode(), None)
        assert isinstance(key, RSAPrivateKey | Ed25519PrivateKey)
        return row.id, row.algorithm, key


def _add(session: Session, algorithm: str, now: int) -> SigningKeyRow:
    id = new_id("sgk")
    key: RSAPrivateKey | Ed25519PrivateKey
    if algorithm == "RS256":
        key = generate_private_key(65_537, MIN_RSA_BITS)
        jwk = RSAAlgorithm.to_jwk(key.public_key())
    else:
        key = Ed25519PrivateKey.generate()
        jwk = OKPAlgorithm.to_jwk(key.public_key())
    shown = {name: value for name, value in json.loads(jwk).items() if name != "key_ops"}
    row = SigningKeyRow(
        id=id,
        algorithm=algorithm,
        private_key=key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
        public_key=shown | {"kid": id, "alg": algorithm, "use": "sig"},
        created_at=now,
    )
    session.add(row)
    return row


def _has_ended(row: SigningKeyRow, now: int) -> bool:
    return row.retired_at is not None and row.retired_at + LONGEST_TOKEN_MS <= now


def _info(row: SigningKeyRow) -> SigningKeyInfo:
    return SigningKeyInfo(row.id, row.algorithm, row.created_at, row.retired_at)
