"""What a choice says of who decided: ``<campaign>@<number>``, and a value model's version behind it.

    welcome@42               the linear model's publication 42, and no value model
    welcome@42+welcome@3     with the scores of version 3
    welcome@42!welcome@3     version 3 was to score and gave no answer: decided without it
    welcome@42$0.3           from each arm's mean, 0.3 for each unit that it costs was taken off: the campaign's budget

A value model serves the campaign whose name it has. No name contains any of ``@$+!``.
"""

from __future__ import annotations

import re
from typing import NamedTuple

WITH, WITHOUT, PRICE = "+", "!", "$"
_PRICE = re.compile(r"[0-9.]+(e-?[0-9]+)?")


class Decider(NamedTuple):
    """``version``: of the value model whose turn it was, 0 for none; ``answered``: whether its scores were used;
    ``price``: of spending, 0 where there was none."""

    campaign: str
    number: int
    model: str
    version: int
    answered: bool
    price: float = 0.0


def priced(policy_version: str, price: float) -> str:
    """``price`` has four digits at most.

    >>> priced("welcome@42", 0.25), priced("welcome@42", 0.0), priced("welcome@42", 1e20)
    ('welcome@42$0.25', 'welcome@42', 'welcome@42$1e20')
    """
    return policy_version + (f"{PRICE}{price:.4g}".replace("+", "") if price else "")


def labelled(policy_version: str, model: str, version: int, *, answered: bool) -> str:
    return f"{policy_version}{WITH if answered else WITHOUT}{model}@{version}"


def parsed(policy_version: str) -> Decider | None:
    """None for a group's rule, which looks at no model, and for what is no such label.

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
