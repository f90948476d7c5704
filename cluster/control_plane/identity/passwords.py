"""Decides which passwords are good enough, and hashes and checks them with argon2id.

A check takes about as long whether or not there is an account: without one, a hash that no password has is checked.
"""

from __future__ import annotations

import unicodedata

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from whisperer.errors import Problem, ProblemsError

MIN_BYTES, MAX_BYTES = 10, 1_024
_HASHER = PasswordHasher(time_cost=2, memory_cost=19 * 1024, parallelism=1)
"""What OWASP recommends for argon2id; about 30 ms and 19 MB a check."""
_NOBODYS = _HASHER.hash("\0")

_LISTED = """
0123456789 0987654321 1111111111 1122334455 1234512345 12345678910 123456789a 1234567890 12345qwert 123qweasdzxc
1q2w3e4r5t 1q2w3e4r5t6y 1qaz2wsx3edc 1qazxsw23edc 5555555555 987654321a a123456789 aa12345678 abc1234567 abcd123456
abcdefghij abcdefghijk administrator adminadmin asdfasdfasdf asdfghjkl1 asdfghjkl; azertyuiop baseball123 basketball
bienvenue1 changeme12 changeme123 changemenow charlie123 chocolate1 dragon1234 football12 football123 fuckyou123
geheim1234 hallo12345 hello12345 helloworld iloveyou12 iloveyou123 ilovemyself jennifer12 jordan1234 letmein123
letmein1234 linkedin123 liverpool1 loveyou123 manchester manchester1 masterkey1 michael123 microsoft1 monkey1234
motdepasse motdepasse1 mypassword mypassword1 nopassword p@ssw0rd12 p@ssword123 pa$$word123 passw0rd12 passw0rd123
passwort12 passwort123 password00 password01 password12 password123 password1234 password12345 password123456
password99 password! password1! passwordpassword pokemon1234 princess12 princess123 q1w2e3r4t5 q1w2e3r4t5y6 qazwsxedcr
qazwsxedcrfv qwer123456 qwerasdfzxcv qwert12345 qwerty1234 qwerty12345 qwerty123456 qwertyqwerty qwertyuiop
qwertyuiop1 qwertyuiop123 robert1234 samsung123 september1 secret1234 shadow1234 skywalker1 starwars12 sunshine12
sunshine123 superman12 superman123 test123456 testing123 testtest12 thisisapassword trustno1234 unknown123 victoria12
welcome123 welcome1234 welcome12345 whatever12 whatever123 whisperer1 whisperer123 winter2024 winter2025 winter2026
summer2024 summer2025 summer2026 zaq12wsxcde zxcvbnm123 zxcvbnmasd
"""
"""Those of at least ten characters that people choose most."""
_COMMON = frozenset(_LISTED.split())


class PasswordError(ProblemsError):
    """A password is not good enough."""

    subject = "password"
    code = "unusable_password"


def check_usable(password: str, about: str = "", at: str = "/password") -> None:
    """Check a new password; ``about`` is the person's address, which it must not be. Raises PasswordError."""
    size = len(_bytes(password, at))
    folded = password.casefold()
    if size < MIN_BYTES:
        raise _unusable(at, "too_short", f"take at least {MIN_BYTES} bytes; a few words together are easy to remember")
    if size > MAX_BYTES:
        raise _unusable(at, "too_long", f"take at most {MAX_BYTES} bytes")
    if folded in _COMMON or len(set(folded)) < 4 or folded in (about.casefold(), about.casefold().partition("@")[0]):
        raise _unusable(at, "too_common", "this is among the first that somebody would try; take another")


def hashed(password: str) -> str:
    """Return the hash under which a password is stored, in PHC form."""
    return _HASHER.hash(_bytes(password, "/password"))


def matches(password: str, stored: str | None) -> bool:
    """Return whether a password has the stored hash. None, for nobody's, takes as long and is never right."""
    try:
        given = _bytes(password, "/password")[: MAX_BYTES + 1]
        return _HASHER.verify(stored or _NOBODYS, given) and stored is not None
    except (VerificationError, InvalidHashError, PasswordError):
        return False


def _bytes(password: str, at: str) -> bytes:
    try:
        return unicodedata.normalize("NFC", password).encode()
    except UnicodeEncodeError:
        raise _unusable(at, "no_text", "it has half of a character") from None


def _unusable(at: str, code: str, message: str) -> PasswordError:
    return PasswordError([Problem(pointer=at, code=code, message=message)])
