"""The ids of decisions and messages: stored for good, so what they are made of is pinned."""

from __future__ import annotations

from whisperer.decisions.decision import decision_id, seed_of, send_key


def test_ids_of_what_was_stored_yesterday_are_the_same_today() -> None:
    assert decision_id("t", "u:ann", "c", "o") == "dec_xfv091rtx24wy2wws6349yat84"
    assert send_key("dec_1") == "snd_tjqa0ykxks9rg0d7jt5v319hpc"
    assert seed_of("dec_1") == 3896116156126981666


def test_what_two_parts_share_is_not_told_apart_by_where_it_is_cut() -> None:
    assert decision_id("t", "u:ann", "cc", "o") != decision_id("t", "u:annc", "c", "o")


def test_a_user_key_of_half_a_character_has_an_id() -> None:
    assert decision_id("t", "u:\ud800", "c", "o") != decision_id("t", "u:\ud801", "c", "o")
