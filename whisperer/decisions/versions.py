"""Write and read a choice's label: who decided, ``<campaign>@<number>``, and the value model's version after it.

    welcome@42               the linear model's publication 42, and no value model
    welcome@42+welcome@3     with the scores of version 3
    welcome@42!welcome@3     version 3 was to score but gave no answer: decided without it
    welcome@42$0.3           0.3 per unit of cost was subtracted from each arm's mean: the campaign's budget

A value model serves the campaign of the same name. No name contains any of ``@$+!``.
"""

from __future__ import annotations

import re
from typing import NamedTuple

WITH, WITHOUT, PRICE = "+", "!", "$"
_PRICE = re.compile(r"[0-9.]+(e-?[0-9]+)?")


class Decider(NamedTuple):
    """Who decided: ``version`` of the user's value model, 0 for none; ``answered``: whether its scores were used;
    ``price`` of spending, 0 without one."""

    campaign: str
    number: int
    model: str
    version: int
    answered: bool
    price: float = 0.0


def priced(policy_version: str, price: float) -> str:
    """Append a price, with at most four digits.

    >>> priced("welcome@42", 0.25), priced("welcome@42", 0.0), priced("welcome@42", 1e20)
    ('welcome@42$0.25', 'welcome@42', 'welcome@42$1e20')
    """
    return policy_version + (f"{PRICE}{price:.4g}".replace("+", "") if price else "")


def labelled(policy_version: str, model: str, version: int, *, answered: bool) -> str:
    """Append a value model's version, and whether it answered."""
    return f"{policy_version}{WITH if answered else WITHOUT}{model}@{version}"


def parsed(policy_version: str) -> Decider | None:
    """Parse a label; return None for a group's rule, which uses no model, and for anything that is not a label.

    >>> parsed("welcome@42+welcome@3")
    Decider(campaign='welcome', number=42, model='welcome', version=3, answered=True)
    >>> parsed("uniform") is None
    True
    """
    mark = next((mark for mark in (WITH, WITHOUT) if mark in policy_version), "")
    linear, _, scored = policy_version.partition(mark) if mark else (policy_version, "", "")
    linear, _, told = linear.partition(PRICE)
    campaign, _, number = linear.rpartition("@")
    model, _, version = scored.rpartition("@") if mark else (campaign, "", "0")
    if not (campaign and model and number.isdecimal() and version.isdecimal() and (not told or _PRICE.fullmatch(told))):
        return None
    return Decider(campaign, int(number), model, int(version), mark != WITHOUT, float(told or 0.0))
