from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from whisperer.delivery.choice import in_order
from whisperer.delivery.plan import Account

plans = st.lists(st.integers(0, 5), min_size=1, max_size=4).map(
    lambda weights: [Account("ses", name=f"a{n}", weight=weight) for n, weight in enumerate(weights)]
)


@given(plans, st.text(max_size=30))
def test_the_order_follows_from_the_send_key_and_has_everybody(accounts: list[Account], key: str) -> None:
    order = in_order(accounts, key)
    assert order == in_order(accounts, key)
    assert sorted(one.name for one in order) == [one.name for one in accounts]
    weights = [one.weight > 0 for one in order]
    assert weights == sorted(weights, reverse=True), "who stands by comes last"


@given(plans, st.text(max_size=30), st.integers(1, 5))
def test_a_further_account_takes_messages_to_itself_and_moves_no_other(
    accounts: list[Account], key: str, weight: int
) -> None:
    added = Account("ses", name="new", weight=weight)
    order = in_order([*accounts, added], key)
    assert [one for one in order if one is not added] == in_order(accounts, key)


def test_each_has_the_share_of_its_weight() -> None:
    accounts = [Account("ses", name=name, weight=weight) for name, weight in (("a", 3), ("b", 1), ("c", 0))]
    first = Counter(in_order(accounts, f"snd_{n}")[0].name for n in range(20_000))
    assert 0.73 < first["a"] / 20_000 < 0.77
    assert first["c"] == 0
