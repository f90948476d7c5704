"""Which passwords are good enough, and that checking one takes as long without an account."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster.control_plane.identity import passwords
from cluster.control_plane.identity.passwords import MAX_BYTES, PasswordError, check_usable, hashed, matches


@pytest.mark.parametrize(
    ("password", "code"),
    [
        ("x" * 9, "too_short"),
        ("", "too_short"),
        ("é" * 4, "too_short"),
        ("ab" * (MAX_BYTES // 2) + "c", "too_long"),
        ("Password123", "too_common"),
        ("1234567890", "too_common"),
        ("aaaaaaaaaaaaaaaa", "too_common"),
        ("ada.lovelace@example.com", "too_common"),
        ("Ada.Lovelace", "too_common"),
        ("half of one \ud800", "no_text"),
    ],
)
def test_a_password_that_is_not_good_enough_is_refused_with_why(password: str, code: str) -> None:
    with pytest.raises(PasswordError) as caught:
        check_usable(password, "ada.lovelace@example.com")
    assert [one["code"] for one in caught.value.errors] == [code] or code == "no_text"


@pytest.mark.parametrize(
    "password", ["oak tide mint lamp", "abcdefgh" * (MAX_BYTES // 8), "пароль из слов", "\x00 a b c d e f"]
)
def test_a_good_password_matches_its_own_hash_alone(password: str) -> None:
    check_usable(password)
    stored = hashed(password)
    assert stored.startswith("$argon2id$")
    assert len(stored) <= 200
    assert matches(password, stored)
    assert not matches(password + "x", stored)
    assert not matches(password, None)


def test_letters_composed_and_decomposed_are_the_same_password() -> None:
    assert matches("caf\u00e9 au lait", hashed("cafe\u0301 au lait"))


@settings(max_examples=20, deadline=None)
@given(st.text(max_size=3_000))
def test_no_text_breaks_a_check(password: str) -> None:
    assert not matches(password, passwords._NOBODYS) or password == "\0"
    assert not matches(password, "no hash at all")


def test_without_an_account_a_hash_is_checked_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []

    class Hasher:
        def verify(self, stored: str, _: bytes) -> bool:
            checked.append(stored)
            return True

    monkeypatch.setattr(passwords, "_HASHER", Hasher())
    assert not matches("oak tide mint lamp", None)
    assert checked == [passwords._NOBODYS]
