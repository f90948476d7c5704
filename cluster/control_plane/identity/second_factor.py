"""The second factor: codes of an authenticator (TOTP, RFC 6238), each good once, and ten recovery codes.

It counts from when the person has confirmed it with a first code. A code is good for its 30 s and those before and
after, for clocks that differ; never for a step that was used, nor one before that.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

import pyotp
from sqlalchemy import select

from cluster.control_plane.keys import key_hash
from cluster.control_plane.models import PersonRow, RecoveryCodeRow
from cluster.control_plane.transactions import Transactions, now_ms
from whisperer.errors import ConflictError, NotFoundError, RequestError

STEP_S = 30
N_RECOVERY_CODES = 10
_ALPHABET = "23456789abcdefghjkmnpqrstvwxyz"
_GROUPS, _GROUP = 4, 4
"""78 bits: nobody tries them all, and a plain hash is enough to keep them by."""


@dataclass(frozen=True, slots=True)
class Enrolment:
    """What an authenticator is told: the secret, and the same as an otpauth:// address for a QR code."""

    secret: str
    uri: str


class SecondFactors(Transactions):
    """Sets up, checks and removes second factors."""

    def begin_second_factor(self, person_id: str) -> Enrolment:
        """Give a person a secret that is not needed yet, in place of one that they never confirmed.

        Raises ConflictError (`second_factor_set`) where there is one in force.
        """
        with self._writing() as session:
            person = session.get_one(PersonRow, person_id)
            if person.totp_confirmed_at is not None:
                raise ConflictError("there is a second factor; remove it first", code="second_factor_set")
            if person.totp_secret is None:
                person.totp_secret, person.totp_step = pyotp.random_base32(), None
            uri = pyotp.TOTP(person.totp_secret).provisioning_uri(name=person.email, issuer_name="User Whisperer")
            return Enrolment(person.totp_secret, uri)

    def confirm_second_factor(self, person_id: str, code: str) -> list[str]:
        """Put the second factor in force, given a first code; return the recovery codes, which are never shown again.

        Raises RequestError (`wrong_code`) and ConflictError (`second_factor_set`).
        """
        now = now_ms()
        with self._writing() as session:
            person = session.get_one(PersonRow, person_id, with_for_update=True)
            if person.totp_confirmed_at is not None:
                raise ConflictError("there is a second factor; remove it first", code="second_factor_set")
            step = None if person.totp_secret is None else _step(person.totp_secret, code, now, person.totp_step)
            if step is None:
                raise RequestError("this code is not the one that the authenticator shows now", code="wrong_code")
            person.totp_confirmed_at, person.totp_step = now, step
            for old in session.scalars(select(RecoveryCodeRow).where(RecoveryCodeRow.person_id == person_id)):
                session.delete(old)
            codes = [_new_code() for _ in range(N_RECOVERY_CODES)]
            session.add_all(RecoveryCodeRow(person_id=person_id, hash=key_hash(_folded(one))) for one in codes)
            return codes

    def take_second_factor(self, person_id: str, code: str) -> bool:
        """Take a code of the authenticator or a recovery code, which is then used up; return whether it was good."""
        now = now_ms()
        with self._noting() as session:
            person = session.get(PersonRow, person_id, with_for_update=True)
            if person is None or person.totp_secret is None or person.totp_confirmed_at is None:
                return False
            step = _step(person.totp_secret, code, now, person.totp_step)
            if step is not None:
                person.totp_step = step
                return True
        with self._writing() as session:
            found = session.get(RecoveryCodeRow, (person_id, key_hash(_folded(code))), with_for_update=True)
            if found is None or found.used_at is not None:
                return False
            found.used_at = now
            return True

    def remove_second_factor(self, person_id: str) -> None:
        """Remove a person's second factor and recovery codes. Raises NotFoundError (`second_factor_not_found`)."""
        with self._writing() as session:
            person = session.get_one(PersonRow, person_id, with_for_update=True)
            if person.totp_secret is None:
                raise NotFoundError("there is no second factor", code="second_factor_not_found")
            person.totp_secret = person.totp_confirmed_at = person.totp_step = None
            for code in session.scalars(select(RecoveryCodeRow).where(RecoveryCodeRow.person_id == person_id)):
                session.delete(code)

    def n_recovery_codes(self, person_id: str) -> int:
        """Return how many recovery codes of a person are unused."""
        with self._reading() as session:
            unused = select(RecoveryCodeRow).where(
                RecoveryCodeRow.person_id == person_id, RecoveryCodeRow.used_at.is_(None)
            )
            return len(list(session.scalars(unused)))


def _step(secret: str, code: str, now: int, used: int | None) -> int | None:
    """Return the step whose code this is; None if it is none's that is good now."""
    digits = code.replace(" ", "")
    if len(digits) != 6 or not digits.isascii() or not digits.isdigit():
        return None
    current, found = now // 1000 // STEP_S, None
    totp = pyotp.TOTP(secret)
    for step in (current - 1, current, current + 1):  # all of them: the time taken says nothing
        if secrets.compare_digest(totp.generate_otp(step), digits) and (used is None or step > used):
            found = step
    return found


def _new_code() -> str:
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))


def _folded(code: str) -> str:
    return "".join(code.split()).replace("-", "").lower()[:64]
