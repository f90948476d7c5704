"""Hold what a rendering may use besides its request: the tenant's catalogues and coupon codes, fetched beforehand.

Nothing is asked for while a template is rendered. A coupon that no code is known for yet is written as a placeholder
and noted, so that whoever renders can have one given and render again; a preview leaves it at that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from liquid.exceptions import LiquidError

from whisperer.content.catalogue.table import EMPTY, ItemTable

MOST_POOLS = 8
"""Coupon pools that one template names."""
_PLACEHOLDER = "PREVIEW"


@dataclass(slots=True)
class Coupons:
    """The codes of one message.

    Attributes
    ----------
    lengths : pool -> characters of its longest code
    given : pool -> its code
    refused : pool -> why there is none: a value of ``Reason``
    asked : pools that a placeholder was written for
    lacking : why the message cannot have a code that it asked for, "" while it can
    """

    lengths: Mapping[str, int] = field(default_factory=dict)
    given: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    asked: set[str] = field(default_factory=set)
    lacking: str = ""

    def code(self, pool: str) -> str:
        """Return the code to write. Raises LiquidError if there is none, or no such pool."""
        if pool in self.given:
            return self.given[pool]
        if pool in self.refused:
            self.lacking = self.refused[pool]
            raise LiquidError(f"there is no code left in the coupon pool {pool}", token=None)
        if pool not in self.lengths:
            raise LiquidError(f"there is no coupon pool {pool!r}", token=None)
        self.asked.add(pool)
        return placeholder(self.lengths[pool])


@dataclass(frozen=True, slots=True)
class Supplies:
    """What one message may be made of.

    Attributes
    ----------
    is_simulated : catalogues that are not here count as empty ones
    picked_urls : of the items that were picked; like those of an offer, links to their hosts are tracked
    """

    catalogues: Mapping[str, ItemTable] = field(default_factory=lambda: EMPTY)
    coupons: Coupons = field(default_factory=Coupons)
    is_simulated: bool = False
    picked_urls: list[str] = field(default_factory=list)


def placeholder(length: int) -> str:
    """Return what stands for a code that was not given, as long as a code of the pool may be.

    >>> placeholder(10), placeholder(4)
    ('PREVIEWXXX', 'PREV')
    """
    return (_PLACEHOLDER + "X" * length)[: length or len(_PLACEHOLDER)]
