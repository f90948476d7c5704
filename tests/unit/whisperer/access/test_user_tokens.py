"""A user's token speaks for exactly that user."""

from __future__ import annotations

import string

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from whisperer.access.user_tokens import MAX_CHARACTERS, MAX_USER_ID_BYTES, new_user_token, read_user_token
from whisperer.ids import TenantId

ACME, GLOBEX = TenantId("tn_acme"), TenantId("tn_globex")
SECRET, OTHER = b"s" * 32, b"o" * 32
UNTIL = 2_000_000_000
ids = st.text(min_size=1, max_size=40) | st.text(alphabet="ab.:/%\x00 _-", min_size=1, max_size=8)


def spoken_for(token: str, secrets: list[bytes], now_s: float = 0) -> tuple[str, str] | None:
    found = read_user_token(token)
    return (found.tenant_id, found.user_id) if found is not None and found.is_good(secrets, now_s) else None


@given(user=ids)
@example("u.1")
@example("\ud800")
@example("a" * MAX_USER_ID_BYTES)
def test_a_token_speaks_for_its_user_while_it_is_good(user: str) -> None:
    token = new_user_token(ACME, user, UNTIL, SECRET)
    assert len(token) <= MAX_CHARACTERS
    assert spoken_for(token, [OTHER, SECRET], UNTIL - 1) == (ACME, user)
    assert spoken_for(token, [SECRET], UNTIL) is None
    assert spoken_for(token, [OTHER]) is None
    assert spoken_for(token, []) is None


@given(mine=ids, theirs=ids)
@example("u1", "u1.")
@example("u1", "u11")
@example("a.b", "a")
@example("u", "u\x00")
@example("é", "e\u0301")
def test_no_part_of_one_users_token_makes_anothers(mine: str, theirs: str) -> None:
    one, other = (new_user_token(ACME, user, UNTIL, SECRET).split(".") for user in (mine, theirs))
    for parts in ([one[0], other[1], *one[2:]], [*one[:3], other[3]], [*other[:3], one[3]]):
        found = spoken_for(".".join(parts), [SECRET])
        assert found is None or mine == theirs


@given(user=ids, place=st.integers(0, 10_000), letter=st.sampled_from(string.printable))
def test_a_token_that_was_touched_anywhere_speaks_for_nobody(user: str, place: int, letter: str) -> None:
    token = new_user_token(ACME, user, UNTIL, SECRET)
    at = place % len(token)
    touched = token[:at] + letter + token[at + 1 :]
    assert spoken_for(touched, [SECRET]) is None or touched == token
    for other in (token[:at], token[:at] + letter + token[at:], token + letter, letter + token):
        assert spoken_for(other, [SECRET]) is None


def test_a_later_end_or_another_tenant_cannot_be_written_in() -> None:
    token = new_user_token(ACME, "u", UNTIL, SECRET)
    assert spoken_for(token.replace(str(UNTIL), str(UNTIL + 1)), [SECRET]) is None
    assert spoken_for(token.replace(ACME, GLOBEX), [SECRET]) is None


@given(st.text(max_size=200) | st.from_regex(r"ut_[\w.-]{0,80}"))
def test_any_other_text_is_no_token(text: str) -> None:
    assert spoken_for(text, [SECRET]) is None


@pytest.mark.parametrize("user", ["", "x" * (MAX_USER_ID_BYTES + 1)])
def test_an_id_that_is_empty_or_too_long_gets_none(user: str) -> None:
    with pytest.raises(ValueError, match="bytes"):
        new_user_token(ACME, user, UNTIL, SECRET)
